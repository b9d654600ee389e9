"""Every object is one that Kubernetes, the Prometheus operator and KServe know, to the last field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifests

OLDEST = "1.29"
"""The oldest release that docs/deployment.md promises."""

CUSTOM = ("monitoring.coreos.com/", "serving.kserve.io/")


@pytest.fixture(params=[OLDEST, kubernetes_validate.latest_version()])
def release(request: pytest.FixtureRequest) -> str:
    return request.param


def test_kubernetes_knows_every_field(manifests: Manifests, release: str) -> None:
    for each in manifests.objects:
        if not each["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(each, release, strict=True)


def test_kubernetes_knows_what_is_applied_before(prepared: Manifests, release: str) -> None:
    for each in prepared.objects:
        kubernetes_validate.validate(each, release, strict=True)


def test_a_field_that_there_is_not_is_found(prepared: Manifests) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(prepared.objects[0] | {"spek": {}}, OLDEST, strict=True)


def test_the_prometheus_operator_and_kserve_know_every_field(
    build: Callable[[str], Manifests], schema_problems, repository: Path
) -> None:
    example = (repository / "deploy" / "kserve" / "inference-service.yaml").read_text("utf-8")
    objects = build("deploy/kubernetes/overlays/volume").objects + build("deploy/kserve").objects
    custom = [each for each in objects if each["apiVersion"].startswith(CUSTOM)]
    assert {each["kind"] for each in custom} == {
        "ServiceMonitor",
        "PrometheusRule",
        "ServingRuntime",
    }
    assert schema_problems([*custom, yaml.safe_load(example)]) == []


def test_a_field_that_they_do_not_know_is_found(build, schema_problems) -> None:
    monitor = build("deploy/kubernetes/overlays/volume").one("ServiceMonitor")
    runtime = build("deploy/kserve").one("ServingRuntime")
    assert schema_problems(
        [
            monitor | {"spec": monitor["spec"] | {"selektor": {}}},
            runtime | {"spec": runtime["spec"] | {"multiModel": "yes", "protocolVersion": ["v1"]}},
        ]
    ) == [
        "ServiceMonitor.spec.selektor: no such field",
        "ServingRuntime.spec.protocolVersion: no such field",
        "ServingRuntime.spec.multiModel: 'yes' is no bool",
    ]


def test_no_kustomization_is_left_out_here(repository: Path) -> None:
    folder = repository / "deploy" / "kubernetes"
    assert {each.name for each in (folder / "overlays").iterdir()} == set(OVERLAYS)
    assert {each.name for each in (folder / "components").iterdir()} == set(COMPONENTS)
