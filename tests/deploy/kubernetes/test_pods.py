"""The pods: security, settings, probes, resources, mounts and secrets."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from pigeonhole import __version__
from pigeonhole.service.settings import PREFIX, Settings, unknown_variables
from pigeonhole.service.web.monitoring.health import LIVE, READY
from tests.deploy.kubernetes.manifests import Manifests
from tests.deploy.kubernetes.restricted import violations

USER = 10001
"""User of the images."""

BODIES_MIB = 256
"""Memory of each worker for large bodies (docs/operations.md, Overload)."""

ENDPOINTS_S = 10
"""Seconds until all nodes stop sending requests to a pod that terminates."""

EXIT_S = 5
"""Seconds that the last workers may take to exit after the graceful period."""

MIB = {"Mi": 1, "Gi": 1024}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", [])}


def service_of(manifests: Manifests) -> dict[str, Any]:
    (found,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def secrets_of(manifests: Manifests) -> set[str]:
    """Return the names of all referenced Secrets."""
    volumes = [volume for pod in manifests.pods for volume in pod["spec"]["volumes"]]
    named = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    for container in manifests.containers:
        named |= {each["secretRef"]["name"] for each in container.get("envFrom", [])}
    for monitor in manifests.of("ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            named.add(endpoint["authorization"]["credentials"]["name"])
    return named


def mebibytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * MIB[unit]


def cores(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def test_pods_meet_the_restricted_standard(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert list(violations(pod["spec"])) == []


def test_namespace_enforces_the_restricted_standard(prepared: Manifests) -> None:
    labels = prepared.one("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_run_as_the_image_user_with_read_only_root(manifests: Manifests) -> None:
    for pod in manifests.pods:
        context = pod["spec"]["securityContext"]
        assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}
    for container in manifests.containers:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "runAsUser" not in container["securityContext"]


def test_pods_have_no_service_account_token(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_pods_have_no_variables_of_other_services(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert pod["spec"]["enableServiceLinks"] is False


def test_variables_are_known_and_valid_settings(manifests: Manifests) -> None:
    environment = variables(service_of(manifests))
    assert unknown_variables(environment) == []
    Settings.read(environment)
    assert all(name.startswith((PREFIX, "OTEL_")) for name in environment)


def test_anonymous_access_is_limited_to_the_namespace(manifests: Manifests) -> None:
    settings = Settings.read(variables(service_of(manifests)))
    (policy,) = [
        each for each in manifests.of("NetworkPolicy") if each["metadata"]["name"] == "pigeonhole"
    ]
    from_namespace = [
        {"from": [{"podSelector": {}}], "ports": policy["spec"]["ingress"][0]["ports"]}
    ]
    assert settings.allow_anonymous is not bool(settings.keys)
    assert settings.allow_anonymous is (policy["spec"]["ingress"] == from_namespace)


def test_only_the_development_overlay_is_anonymous(build) -> None:
    for overlay, is_anonymous in (("development", True), ("volume", False), ("bucket", False)):
        manifests = build(f"deploy/kubernetes/overlays/{overlay}")
        assert Settings.read(variables(service_of(manifests))).allow_anonymous is is_anonymous


def test_key_file_is_mounted_where_the_service_reads_it(manifests: Manifests) -> None:
    container = service_of(manifests)
    settings = Settings.read(variables(container))
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    if settings.keys:
        folder, _, name = settings.keys.rpartition("/")
        assert name == "keys.toml"
        # Kubernetes updates a mounted folder with the Secret, but not a subPath.
        assert "subPath" not in mounted[folder]
    else:
        assert "/keys" not in mounted


def test_pod_has_time_to_drain(manifests: Manifests) -> None:
    pod = manifests.one("Deployment")["spec"]["template"]["spec"]
    settings = Settings.read(variables(service_of(manifests)))
    assert settings.drain_seconds >= ENDPOINTS_S
    needed = settings.drain_seconds + settings.graceful_seconds + EXIT_S
    assert pod["terminationGracePeriodSeconds"] >= needed
    assert "lifecycle" not in service_of(manifests)


def test_rolling_update_keeps_all_pods_available(manifests: Manifests) -> None:
    strategy = manifests.one("Deployment")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy["rollingUpdate"]["maxSurge"] >= 1


def test_probes_use_the_health_routes(manifests: Manifests) -> None:
    container = service_of(manifests)
    for probe, paths in (
        ("startupProbe", LIVE),
        ("readinessProbe", READY),
        ("livenessProbe", LIVE),
    ):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == "http"


def test_startup_probe_allows_the_wait_for_models(manifests: Manifests) -> None:
    container = service_of(manifests)
    probe = container["startupProbe"]
    limit_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert limit_s >= 2 * Settings.read(variables(container)).load_wait_seconds


def test_containers_have_requests_and_limits(manifests: Manifests) -> None:
    for container in manifests.containers:
        requests, limits = (container["resources"][part] for part in ("requests", "limits"))
        assert 0 < cores(requests["cpu"]) <= cores(limits["cpu"])
        assert 0 < mebibytes(requests["memory"]) <= mebibytes(limits["memory"])


def test_memory_limit_suffices_for_large_bodies_in_all_workers(manifests: Manifests) -> None:
    limits = service_of(manifests)["resources"]["limits"]
    workers = math.ceil(cores(limits["cpu"]))
    assert mebibytes(limits["memory"]) >= workers * (BODIES_MIB + 60) + 30


def test_images_are_pinned(manifests: Manifests) -> None:
    for container in manifests.containers:
        name, _, tag = container["image"].rpartition(":")
        if name.startswith("pigeonhole-"):
            assert tag == __version__
        else:
            assert re.fullmatch(r"\d+\.\d+\.\d+", tag), container["image"]
        assert container.get("imagePullPolicy") != "Always"


def test_mounts_and_volumes_match(manifests: Manifests) -> None:
    for pod in manifests.pods:
        spec = pod["spec"]
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        for container in containers:
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(paths)) == len(paths)


def test_service_mounts_only_tmp_writable(manifests: Manifests) -> None:
    for mount in service_of(manifests)["volumeMounts"]:
        assert mount.get("readOnly", False) is (mount["mountPath"] != "/tmp")  # noqa: S108 - the pod's


def test_used_volume_claims_exist(manifests: Manifests, prepared: Manifests) -> None:
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in manifests.pods
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    claims = prepared.of("PersistentVolumeClaim")
    assert used <= {claim["metadata"]["name"] for claim in claims}


def test_command_for_each_secret_is_documented(manifests: Manifests, repository: Path) -> None:
    documented = (repository / "docs" / "deployment.md").read_text("utf-8")
    for name in secrets_of(manifests):
        assert f"create secret generic {name} " in documented, name


def test_pods_spread_over_zones_and_nodes(manifests: Manifests) -> None:
    template = manifests.one("Deployment")["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]
    for each in spread:
        # Otherwise a cluster of one node could not run two pods.
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"] == template["metadata"]["labels"]
    assert {each["topologyKey"] for each in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }


@pytest.mark.parametrize(("quantity", "figure"), [("100m", 0.1), ("2", 2)])
def test_quantities_of_cores_are_parsed(quantity: str, figure: float) -> None:
    assert cores(quantity) == figure
