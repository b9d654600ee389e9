"""Services, network policies, autoscalers and budgets select the right pods and ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kubernetes.manifests import Manifests, Object

SERVICE, TRAINER = "service", "trainer"


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a selector, which may only have labels, selects an object with labels."""
    assert set(selector) <= {"matchLabels"}
    return set(selector.get("matchLabels", {}).items()) <= set(labels.items())


def selected_components(manifests: Manifests, selector: dict[str, Any]) -> set[str]:
    """Return the components of the pods that a selector selects."""
    labels = [pod["metadata"]["labels"] for pod in manifests.pods]
    return {each["app.kubernetes.io/component"] for each in labels if selects(selector, each)}


def policies(manifests: Manifests, component: str, kind: str) -> Iterator[Object]:
    """Yield the network policies of a kind, Ingress or Egress, for a component's pods."""
    for each in manifests.of("NetworkPolicy"):
        spec = each["spec"]
        if (
            component in selected_components(manifests, spec["podSelector"])
            and kind in spec["policyTypes"]
        ):
            yield spec


def test_all_objects_are_in_one_namespace(manifests: Manifests, prepared: Manifests) -> None:
    name = prepared.one("Namespace")["metadata"]["name"]
    claims = prepared.of("PersistentVolumeClaim")
    assert {each["metadata"]["namespace"] for each in manifests.objects + claims} == {name}


def test_overlays_contain_no_namespace_claim_or_secret(manifests: Manifests) -> None:
    for kind in ("Namespace", "PersistentVolumeClaim", "Secret"):
        assert not manifests.of(kind)


def test_deployment_selects_its_pods(manifests: Manifests) -> None:
    spec = manifests.one("Deployment")["spec"]
    assert selects(spec["selector"], spec["template"]["metadata"]["labels"])
    assert selected_components(manifests, spec["selector"]) == {SERVICE}


def test_service_targets_the_port_of_the_image(manifests: Manifests, repository: Path) -> None:
    image = (repository / "deploy" / "service.Dockerfile").read_text("utf-8")
    (image_port,) = re.findall(r"PIGEONHOLE_PORT=(\d+)", image)
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": int(image_port)}
    service = manifests.one("Service")
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    assert selected_components(manifests, {"matchLabels": service["spec"]["selector"]}) == {SERVICE}


def test_ingress_policies_name_sources_and_the_http_port(manifests: Manifests) -> None:
    for policy in policies(manifests, SERVICE, "Ingress"):
        for rule in policy.get("ingress", []):
            assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
            assert rule["from"]


def test_every_pod_has_ingress_and_egress_policies(manifests: Manifests) -> None:
    for pod in manifests.pods:
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for kind in ("Ingress", "Egress"):
            assert list(policies(manifests, component, kind))


def test_service_without_components_has_no_egress(build) -> None:
    base = build("deploy/kubernetes/base")
    assert [policy["egress"] for policy in policies(base, SERVICE, "Egress")] == [[]]


def test_trainer_has_no_ingress_and_no_egress(build) -> None:
    manifests = build("deploy/kubernetes/overlays/volume")
    for kind in ("Ingress", "Egress"):
        assert [policy[kind.lower()] for policy in policies(manifests, TRAINER, kind)] == [[]]


def test_egress_policy_allows_the_traces_endpoint(build_component) -> None:
    manifests = build_component("traced")
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (endpoint,) = [
        each["value"] for each in container["env"] if each["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT"
    ]
    namespace, port = re.fullmatch(r"http://[a-z-]+\.([a-z-]+):(\d+)", endpoint).groups()
    rules = [rule for policy in policies(manifests, SERVICE, "Egress") for rule in policy["egress"]]
    to = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    assert {"to": [to], "ports": [{"protocol": "TCP", "port": int(port)}]} in rules


@pytest.mark.parametrize("component", ["traced", "models-bucket"])
def test_pods_that_call_host_names_may_reach_dns(build_component, component: str) -> None:
    rules = [
        rule
        for policy in policies(build_component(component), SERVICE, "Egress")
        for rule in policy["egress"]
    ]
    ports = [(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]]
    assert {("UDP", 53), ("TCP", 53)} <= set(ports)


def test_autoscaler_alone_sets_the_size_of_the_deployment(manifests: Manifests) -> None:
    deployment = manifests.one("Deployment")
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"] == {
            "apiVersion": deployment["apiVersion"],
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
        }
        assert "replicas" not in deployment["spec"]
        assert scaler["spec"]["maxReplicas"] > scaler["spec"]["minReplicas"]


def test_autoscaler_target_is_below_the_requested_cpu(manifests: Manifests) -> None:
    (container,) = manifests.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"]
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        (cpu,) = [each for each in scaler["spec"]["metrics"] if each["type"] == "Resource"]
        assert cpu["resource"]["name"] == "cpu"
        assert cpu["resource"]["target"]["averageUtilization"] < 100


def test_eviction_is_possible_and_leaves_a_pod(manifests: Manifests) -> None:
    budgets = manifests.of("PodDisruptionBudget")
    assert len(budgets) == len(manifests.of("HorizontalPodAutoscaler"))
    for budget in budgets:
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["maxUnavailable"] == 1
        assert selected_components(manifests, budget["spec"]["selector"]) == {SERVICE}
        assert manifests.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_service_and_trainer_share_the_model_volume(build, prepared: Manifests) -> None:
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
