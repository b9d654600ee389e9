"""All objects match the schemas of Kubernetes, the Prometheus operator and KServe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.kubernetes.manifests import COMPONENTS, OVERLAYS, Manifests

OLDEST = "1.29"
"""The oldest supported release, as in docs/deployment.md."""

CUSTOM = ("monitoring.coreos.com/", "serving.kserve.io/")


@pytest.fixture(params=[OLDEST, kubernetes_validate.latest_version()])
def release(request: pytest.FixtureRequest) -> str:
    return request.param


def test_objects_match_the_schemas_of_kubernetes(manifests: Manifests, release: str) -> None:
    for each in manifests.objects:
        if not each["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(each, release, strict=True)


def test_namespace_and_claims_match_the_schemas_of_kubernetes(
    prepared: Manifests, release: str
) -> None:
    for each in prepared.objects:
        kubernetes_validate.validate(each, release, strict=True)


def test_unknown_field_of_kubernetes_is_found(prepared: Manifests) -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(prepared.objects[0] | {"spek": {}}, OLDEST, strict=True)


def test_custom_resources_match_their_schemas(
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


def test_unknown_field_of_a_custom_resource_is_found(build, schema_problems) -> None:
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
        "ServingRuntime.spec.multiModel: 'yes' is not a bool",
    ]


def test_all_kustomizations_are_tested(repository: Path) -> None:
    folder = repository / "deploy" / "kubernetes"
    assert {each.name for each in (folder / "overlays").iterdir()} == set(OVERLAYS)
    assert {each.name for each in (folder / "components").iterdir()} == set(COMPONENTS)
