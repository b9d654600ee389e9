"""The pods' containers run under Docker with the limits and volumes of their pods."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from pigeonhole.service.api_keys import METRICS, PREDICT, READ, new_key
from tests.deploy.containers import ANSWER_S, Container, Docker
from tests.deploy.kubernetes.manifests import Object

pytestmark = pytest.mark.slow

ROW = {"instances": [[172, 95]]}


def flags_of(pod: Object, container: Object, folders: Mapping[str, Path]) -> list[str]:
    """Return the flags of ``docker run`` that run a container as in its pod.

    Args:
        pod: the pod's ``spec``.
        container: a container of the pod.
        folders: folders for the volumes other than ``emptyDir``, by name.
    """
    context = {**pod.get("securityContext", {}), **container["securityContext"]}
    limits = container["resources"]["limits"]
    flags = ["--user", f"{context['runAsUser']}:{context.get('runAsGroup', 0)}"]
    flags += ["--security-opt", "no-new-privileges"] * (not context["allowPrivilegeEscalation"])
    flags += ["--read-only"] * context["readOnlyRootFilesystem"]
    flags += [f"--cap-drop={each}" for each in context["capabilities"]["drop"]]
    flags += ["--cpus", str(min(int(limits["cpu"]), os.cpu_count() or 1))]
    flags += ["--memory", limits["memory"].removesuffix("i")]
    flags += [f"--env={each['name']}={each['value']}" for each in container.get("env", [])]
    flags += [
        f"--publish=127.0.0.1::{each['containerPort']}" for each in container.get("ports", [])
    ]
    empty = {each["name"]: each["emptyDir"] for each in pod["volumes"] if "emptyDir" in each}
    for mount in container["volumeMounts"]:
        name, path = mount["name"], mount["mountPath"]
        if name in empty:
            flags += ["--tmpfs", f"{path}:size={empty[name]['sizeLimit'].removesuffix('i')}"]
        else:
            access = "ro" if mount.get("readOnly") else "rw"
            flags += ["--volume", f"{folders[name]}:{path}:{access}"]
    return flags


def probe_status(container: Container, probe: Mapping[str, Any], port: int = 8000) -> int:
    """Return the status of a probe, or 0 if the connection fails."""
    answer = container.get(probe["httpGet"]["path"], port)
    return answer.status_code if answer else 0


@pytest.fixture(scope="module")
def tokens() -> dict[str, tuple[str, str]]:
    """Tokens and entries of two keys: one predicts, the other is Prometheus's."""
    scopes = {"alice": [PREDICT, READ], "prometheus": [METRICS]}
    return {name: new_key(name, allowed) for name, allowed in scopes.items()}


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, tokens: dict[str, tuple[str, str]]
) -> dict[str, Path]:
    """Folders for the volumes: keys, a table, and an empty model folder."""
    found = {name: tmp_path_factory.mktemp(name) for name in ("keys", "tables", "models")}
    (found["keys"] / "keys.toml").write_text("\n".join(entry for _, entry in tokens.values()))
    sample = [sys.executable, "-m", "pigeonhole", "sample", "bodymass", "--rows", "1000"]
    with (found["tables"] / "bodymass.csv").open("wb") as table:
        subprocess.run(sample, check=True, stdout=table)
    for folder in found.values():
        folder.chmod(0o777)  # in a cluster they belong to the pod's fsGroup
    return found


def test_pods_of_the_overlay_volume_train_and_serve(
    build,
    docker: Docker,
    run_container: Callable[..., Container],
    service_image: str,
    trainer_image: str,
    folders: dict[str, Path],
    tokens: dict[str, tuple[str, str]],
) -> None:
    overlay = build("deploy/kubernetes/overlays/volume")
    serving, fitting = (pod["spec"] for pod in overlay.pods)
    (service,), (trainer,) = serving["containers"], fitting["containers"]
    pod = run_container(service_image, *flags_of(serving, service, folders))
    pod.until(lambda: probe_status(pod, service["startupProbe"]) == 200)
    assert probe_status(pod, service["readinessProbe"]) == 503

    flags = flags_of(fitting, trainer, folders)
    output = docker("run", "--rm", *flags, trainer_image, *trainer["args"], timeout=200)
    assert "Published /models/bodymass/1/model.onnx" in output
    pod.until(lambda: probe_status(pod, service["readinessProbe"]) == 200)

    predict = f"{pod.address()}/v1/models/bodymass:predict"
    assert httpx.post(predict, json=ROW, timeout=ANSWER_S).status_code == 401
    alice, prometheus = (
        {"Authorization": f"Bearer {tokens[name][0]}"} for name in ("alice", "prometheus")
    )
    answer = httpx.post(predict, json=ROW, headers=alice, timeout=ANSWER_S).json()
    assert answer["predictions"][0]["label"] == "overweight"
    (endpoint,) = overlay.one("ServiceMonitor")["spec"]["endpoints"]
    metrics = f"{pod.address()}{endpoint['path']}"
    assert (
        "pigeonhole_requests_total" in httpx.get(metrics, headers=prometheus, timeout=ANSWER_S).text
    )

    assert pod.stop(serving["terminationGracePeriodSeconds"]) == 0


def test_development_pod_serves_anonymous_clients(
    build, run_container: Callable[..., Container], service_image: str
) -> None:
    (pod,) = (pod["spec"] for pod in build("deploy/kubernetes/overlays/development").pods)
    (service,) = pod["containers"]
    running = run_container(service_image, *flags_of(pod, service, {}))
    running.until(lambda: probe_status(running, service["readinessProbe"]) == 200)
    predict = f"{running.address()}/v1/models/bodymass:predict"
    answer = httpx.post(predict, json=ROW, timeout=ANSWER_S).json()
    assert answer["predictions"][0]["label"] == "overweight"


def test_kserve_container_serves_its_model(
    build, run_container: Callable[..., Container], service_image: str, repository: Path
) -> None:
    runtime = build("deploy/kserve").one("ServingRuntime")["spec"]
    (container,) = runtime["containers"]
    arguments = [each.replace("{{.Name}}", "weights") for each in container["args"]]
    fetched = repository / "models" / "bodymass" / "1"
    flags = flags_of(runtime, container, {})
    flags += ["--volume", f"{fetched}:/mnt/models:ro"]
    running = run_container(service_image, *flags, command=tuple(arguments))
    (port,) = (each["containerPort"] for each in container["ports"])
    running.until(lambda: probe_status(running, container["readinessProbe"], port) == 200)
    assert probe_status(running, container["livenessProbe"], port) == 200
    predict = f"{running.address(port)}/v1/models/weights:predict"
    answer = httpx.post(predict, json=ROW, timeout=ANSWER_S).json()
    assert answer["predictions"][0]["label"] == "overweight"
