"""The objects around the pods mean the pods, and the port on which the image serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kubernetes.manifests import Manifests, Object

SERVICE, TRAINER = "service", "trainer"


def means(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector with labels alone, as all of ours are, selects what carries some."""
    assert set(selector) <= {"matchLabels"}
    return set(selector.get("matchLabels", {}).items()) <= set(labels.items())


def meant(manifests: Manifests, selector: dict[str, Any]) -> set[str]:
    """Which pods a selector selects, by their component."""
    labels = [pod["metadata"]["labels"] for pod in manifests.pods]
    return {each["app.kubernetes.io/component"] for each in labels if means(selector, each)}


def policies(manifests: Manifests, component: str, kind: str) -> Iterator[Object]:
    """The network policies of a kind, Ingress or Egress, for a component's pods."""
    for each in manifests.of("NetworkPolicy"):
        spec = each["spec"]
        if component in meant(manifests, spec["podSelector"]) and kind in spec["policyTypes"]:
            yield spec


def test_everything_is_in_the_one_namespace(manifests: Manifests, prepared: Manifests) -> None:
    name = prepared.one("Namespace")["metadata"]["name"]
    claims = prepared.of("PersistentVolumeClaim")
    assert {each["metadata"]["namespace"] for each in manifests.objects + claims} == {name}


def test_what_outlives_an_overlay_is_in_none(manifests: Manifests) -> None:
    for kind in ("Namespace", "PersistentVolumeClaim", "Secret"):
        assert not manifests.of(kind)


def test_the_deployment_knows_its_pods(manifests: Manifests) -> None:
    spec = manifests.one("Deployment")["spec"]
    assert means(spec["selector"], spec["template"]["metadata"]["labels"])
    assert meant(manifests, spec["selector"]) == {SERVICE}


def test_the_service_leads_to_the_port_of_the_image(manifests: Manifests, repository: Path) -> None:
    image = (repository / "deploy" / "service.Dockerfile").read_text("utf-8")
    (served,) = re.findall(r"PIGEONHOLE_PORT=(\d+)", image)
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": int(served)}
    service = manifests.one("Service")
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    assert meant(manifests, {"matchLabels": service["spec"]["selector"]}) == {SERVICE}


def test_every_policy_names_a_port_that_its_pods_have(manifests: Manifests) -> None:
    for policy in policies(manifests, SERVICE, "Ingress"):
        for rule in policy.get("ingress", []):
            assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
            assert rule["from"]


def test_nobody_reaches_a_pod_and_no_pod_anybody_unless_it_is_said(manifests: Manifests) -> None:
    for pod in manifests.pods:
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for kind in ("Ingress", "Egress"):
            assert list(policies(manifests, component, kind))


def test_the_service_alone_calls_nobody(build) -> None:
    base = build("deploy/kubernetes/base")
    assert [policy["egress"] for policy in policies(base, SERVICE, "Egress")] == [[]]


def test_the_trainer_speaks_with_nobody(build) -> None:
    made = build("deploy/kubernetes/overlays/volume")
    for kind in ("Ingress", "Egress"):
        assert [policy[kind.lower()] for policy in policies(made, TRAINER, kind)] == [[]]


def test_traces_reach_the_collector_that_they_are_sent_to(build_component) -> None:
    made = build_component("traced")
    (container,) = made.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (endpoint,) = [
        each["value"] for each in container["env"] if each["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT"
    ]
    namespace, port = re.fullmatch(r"http://[a-z-]+\.([a-z-]+):(\d+)", endpoint).groups()
    rules = [rule for policy in policies(made, SERVICE, "Egress") for rule in policy["egress"]]
    to = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    assert {"to": [to], "ports": [{"protocol": "TCP", "port": int(port)}]} in rules


@pytest.mark.parametrize("component", ["traced", "models-bucket"])
def test_whoever_calls_by_name_may_ask_for_names(build_component, component: str) -> None:
    rules = [
        rule
        for policy in policies(build_component(component), SERVICE, "Egress")
        for rule in policy["egress"]
    ]
    ports = [(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]]
    assert {("UDP", 53), ("TCP", 53)} <= set(ports)


def test_the_autoscaler_means_the_deployment_and_owns_its_size(manifests: Manifests) -> None:
    deployment = manifests.one("Deployment")
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"] == {
            "apiVersion": deployment["apiVersion"],
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
        }
        assert "replicas" not in deployment["spec"]
        assert scaler["spec"]["maxReplicas"] > scaler["spec"]["minReplicas"]


def test_the_autoscaler_counts_in_what_is_requested(manifests: Manifests) -> None:
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"]
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        (cpu,) = [each for each in scaler["spec"]["metrics"] if each["type"] == "Resource"]
        assert cpu["resource"]["name"] == "cpu"
        assert cpu["resource"]["target"]["averageUtilization"] < 100


def test_an_eviction_is_always_possible_and_leaves_a_pod(manifests: Manifests) -> None:
    budgets = manifests.of("PodDisruptionBudget")
    assert len(budgets) == len(manifests.of("HorizontalPodAutoscaler"))
    for budget in budgets:
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["maxUnavailable"] == 1
        assert meant(manifests, budget["spec"]["selector"]) == {SERVICE}
        assert manifests.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_all_pods_share_the_volume_of_the_models(build, prepared: Manifests) -> None:
    (claim,) = [
        each
        for each in prepared.of("PersistentVolumeClaim")
        if each["metadata"]["name"] == "pigeonhole-models"
    ]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = [
        volume
        for pod in build("deploy/kubernetes/overlays/volume").pods
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "models"
    ]
    assert [each["persistentVolumeClaim"] for each in volumes] == [
        {"claimName": "pigeonhole-models"}
    ] * 2
