"""What every pod keeps to, held against the service that it runs."""

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
"""Who the images are made for."""

BODIES_MIB = 256
"""What each worker may hold of large bodies (docs/operations.md, Overload)."""

HEARD_S = 10
"""How long it may take until every node knows that a pod is going."""

LAST_S = 5
"""What the last workers may take to go, after the seconds that they are given."""

MIB = {"Mi": 1, "Gi": 1024}


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", [])}


def service_of(manifests: Manifests) -> dict[str, Any]:
    (found,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def secrets_of(manifests: Manifests) -> set[str]:
    """The Secrets that anything refers to, by their names."""
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


def test_every_pod_is_restricted(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert list(violations(pod["spec"])) == []


def test_the_namespace_admits_no_other_pod(prepared: Manifests) -> None:
    labels = prepared.one("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_pod_runs_as_the_user_of_the_images_and_writes_nothing_else(
    manifests: Manifests,
) -> None:
    for pod in manifests.pods:
        context = pod["spec"]["securityContext"]
        assert {context[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}
    for container in manifests.containers:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert "runAsUser" not in container["securityContext"]


def test_no_pod_can_ask_the_api_server(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_no_service_becomes_a_setting(manifests: Manifests) -> None:
    for pod in manifests.pods:
        assert pod["spec"]["enableServiceLinks"] is False


def test_every_variable_is_a_setting_with_a_good_value(manifests: Manifests) -> None:
    environment = variables(service_of(manifests))
    assert unknown_variables(environment) == []
    Settings.read(environment)
    assert all(name.startswith((PREFIX, "OTEL_")) for name in environment)


def test_strangers_are_kept_away_by_keys_or_by_the_network(manifests: Manifests) -> None:
    settings = Settings.read(variables(service_of(manifests)))
    (policy,) = [
        each for each in manifests.of("NetworkPolicy") if each["metadata"]["name"] == "pigeonhole"
    ]
    only_neighbors = [
        {"from": [{"podSelector": {}}], "ports": policy["spec"]["ingress"][0]["ports"]}
    ]
    assert settings.allow_anonymous is not bool(settings.keys)
    assert settings.allow_anonymous is (policy["spec"]["ingress"] == only_neighbors)


def test_only_development_is_anonymous(build) -> None:
    for overlay, is_anonymous in (("development", True), ("volume", False), ("bucket", False)):
        made = build(f"deploy/kubernetes/overlays/{overlay}")
        assert Settings.read(variables(service_of(made))).allow_anonymous is is_anonymous


def test_keys_are_where_the_service_looks_for_them(manifests: Manifests) -> None:
    container = service_of(manifests)
    settings = Settings.read(variables(container))
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    if settings.keys:
        folder, _, name = settings.keys.rpartition("/")
        assert name == "keys.toml"
        # A mount of the whole folder follows the Secret; one of a single file would not.
        assert "subPath" not in mounted[folder]
    else:
        assert "/keys" not in mounted


def test_a_pod_has_the_time_to_stop_without_losing_anything(manifests: Manifests) -> None:
    pod = manifests.one("Deployment")["spec"]["template"]["spec"]
    settings = Settings.read(variables(service_of(manifests)))
    assert settings.drain_seconds >= HEARD_S
    needed = settings.drain_seconds + settings.graceful_seconds + LAST_S
    assert pod["terminationGracePeriodSeconds"] >= needed
    assert "lifecycle" not in service_of(manifests)


def test_a_release_takes_no_pod_away_before_another_is_ready(manifests: Manifests) -> None:
    strategy = manifests.one("Deployment")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy["rollingUpdate"]["maxSurge"] >= 1


def test_probes_ask_for_what_the_service_answers(manifests: Manifests) -> None:
    container = service_of(manifests)
    for probe, paths in (
        ("startupProbe", LIVE),
        ("readinessProbe", READY),
        ("livenessProbe", LIVE),
    ):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == "http"


def test_the_startup_may_wait_for_the_models(manifests: Manifests) -> None:
    container = service_of(manifests)
    probe = container["startupProbe"]
    patience = probe["periodSeconds"] * probe["failureThreshold"]
    assert patience >= 2 * Settings.read(variables(container)).load_wait_seconds


def test_every_container_says_what_it_needs_and_may_take(manifests: Manifests) -> None:
    for container in manifests.containers:
        requests, limits = (container["resources"][part] for part in ("requests", "limits"))
        assert 0 < cores(requests["cpu"]) <= cores(limits["cpu"])
        assert 0 < mebibytes(requests["memory"]) <= mebibytes(limits["memory"])


def test_the_memory_suffices_for_workers_full_of_large_bodies(manifests: Manifests) -> None:
    limits = service_of(manifests)["resources"]["limits"]
    workers = math.ceil(cores(limits["cpu"]))
    assert mebibytes(limits["memory"]) >= workers * (BODIES_MIB + 60) + 30


def test_every_image_is_pinned(manifests: Manifests) -> None:
    for container in manifests.containers:
        name, _, tag = container["image"].rpartition(":")
        if name.startswith("pigeonhole-"):
            assert tag == __version__
        else:
            assert re.fullmatch(r"\d+\.\d+\.\d+", tag), container["image"]
        assert container.get("imagePullPolicy") != "Always"


def test_every_mount_has_its_volume_and_every_volume_its_mount(manifests: Manifests) -> None:
    for pod in manifests.pods:
        spec = pod["spec"]
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        for container in containers:
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(paths)) == len(paths)


def test_the_service_only_reads_its_models(manifests: Manifests) -> None:
    for mount in service_of(manifests)["volumeMounts"]:
        assert mount.get("readOnly", False) is (mount["mountPath"] != "/tmp")  # noqa: S108 - the pod's


def test_every_claim_is_there_to_be_applied_first(
    manifests: Manifests, prepared: Manifests
) -> None:
    named = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in manifests.pods
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    claims = prepared.of("PersistentVolumeClaim")
    assert named <= {claim["metadata"]["name"] for claim in claims}


def test_how_to_make_each_secret_is_documented(manifests: Manifests, repository: Path) -> None:
    documented = (repository / "docs" / "deployment.md").read_text("utf-8")
    for name in secrets_of(manifests):
        assert f"create secret generic {name} " in documented, name


def test_pods_spread_over_zones_and_nodes(manifests: Manifests) -> None:
    template = manifests.one("Deployment")["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]
    for each in spread:
        # Soft: a cluster of one node runs them too.
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"] == template["metadata"]["labels"]
    assert {each["topologyKey"] for each in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }


@pytest.mark.parametrize(("quantity", "figure"), [("100m", 0.1), ("2", 2)])
def test_cores_are_read_as_kubernetes_reads_them(quantity: str, figure: float) -> None:
    assert cores(quantity) == figure
