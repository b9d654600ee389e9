"""The service as KServe's ServingRuntime starts it, and KServe's own client."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pigeonhole import __version__
from pigeonhole.service.__main__ import main
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.monitoring.health import LIVE, READY
from tests.clients.client_programs import RunClient
from tests.deploy.kubernetes.manifests import Object
from tests.deploy.kubernetes.restricted import violations
from tests.running_service import RunningService

NAME, MODELS = "{{.Name}}", "/mnt/models"

GRACE_S = 30
"""Seconds that a pod has to stop: the default of Kubernetes."""


@pytest.fixture(scope="module")
def runtime(build) -> dict[str, Any]:
    return build("deploy/kserve").one("ServingRuntime")


@pytest.fixture(scope="module")
def container(runtime: Object) -> dict[str, Any]:
    (found,) = runtime["spec"]["containers"]
    return found


@pytest.fixture(scope="module")
def example(repository: Path) -> dict[str, Any]:
    text = (repository / "deploy" / "kserve" / "inference-service.yaml").read_text("utf-8")
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def settings(container: dict[str, Any]) -> Settings:
    """The service's settings from the container's arguments, for the model bodymass."""
    command, *arguments = (each.replace(NAME, "bodymass") for each in container["args"])
    assert command == "serve"
    return Settings.read({}, main.commands[command].make_context(command, arguments).params)


def test_service_finds_kserves_model_folder_and_model_name(
    settings: Settings, container: dict[str, Any]
) -> None:
    assert (settings.models, settings.model_name) == (Path(MODELS), "bodymass")
    assert container["name"] == "kserve-container"


def test_port_is_the_same_in_settings_probes_and_annotations(
    settings: Settings, runtime: Object, container: dict[str, Any]
) -> None:
    (port,) = container["ports"]
    assert port["containerPort"] == settings.port == 8080
    annotations = runtime["spec"]["annotations"]
    assert annotations["prometheus.kserve.io/port"] == str(settings.port)
    assert annotations["prometheus.kserve.io/path"] == "/metrics"
    for probe, paths in (("readinessProbe", READY), ("livenessProbe", LIVE)):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == settings.port


def test_liveness_probe_starts_after_the_wait_for_models(
    settings: Settings, container: dict[str, Any]
) -> None:
    assert container["livenessProbe"]["initialDelaySeconds"] > settings.load_wait_seconds


def test_service_stops_within_the_grace_period(settings: Settings) -> None:
    assert settings.drain_seconds >= 5
    assert settings.drain_seconds + settings.graceful_seconds + 5 <= GRACE_S


def test_container_is_restricted_and_pinned(runtime: Object, container: dict[str, Any]) -> None:
    assert list(violations(runtime["spec"])) == []
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["image"] == f"pigeonhole-service:{__version__}"
    assert set(container["resources"]) == {"requests", "limits"}


def test_runtime_offers_both_protocols_and_is_not_selected_automatically(runtime: Object) -> None:
    assert runtime["spec"]["protocolVersions"] == ["v1", "v2"]
    for each in runtime["spec"]["supportedModelFormats"]:
        assert each["autoSelect"] is False


def test_example_names_the_runtime_and_a_supported_format(example: Object, runtime: Object) -> None:
    model = example["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {
        each["name"] for each in runtime["spec"]["supportedModelFormats"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["model.onnx", "anything.onnx", "3/model.onnx"])
def test_kserve_client_calls_the_service_that_the_runtime_starts(
    container: dict[str, Any],
    serve: Callable[..., RunningService],
    run_client: RunClient,
    repository: Path,
    tmp_path: Path,
    layout: str,
) -> None:
    fetched = tmp_path / "models" / layout
    fetched.parent.mkdir(parents=True)
    shutil.copy(repository / "models" / "bodymass" / "1" / "model.onnx", fetched)
    replaced = {MODELS: str(tmp_path / "models"), NAME: "bodymass", "8080": "0"}
    flags = container["args"][1:]
    for known, own in replaced.items():
        assert any(known in flag for flag in flags)
        flags = [flag.replace(known, own) for flag in flags]
    # No load balancer has to notice the stop here.
    server = serve(tmp_path / "models", *flags, "--drain-seconds=0")
    results = run_client("kserve_rest.py", server.address)
    for question in ("v1_live", "v1_model_ready", "v2_live", "v2_ready", "v2_model_ready"):
        assert results[question] is True
    assert results["v2_no_model_ready"] is False
    labels = [each["label"] for each in results["v1_predict"]["predictions"]]
    assert labels == ["overweight", "underweight"]
    for form in ("json_json", "binary_binary"):
        answer = results[f"v2_infer_{form}"]
        assert answer["model"] == "bodymass"
        assert answer["tensors"]["label"] == labels
