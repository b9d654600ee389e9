"""The check of pods against the Pod Security Standards."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.deploy.kubernetes.restricted import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "one",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}


def test_restricted_pod_has_no_violations() -> None:
    assert list(violations(GOOD)) == []


@pytest.mark.parametrize(
    ("pod_changes", "container_changes", "violation"),
    [
        ({"hostNetwork": True}, {}, "hostNetwork"),
        ({"hostPID": True}, {}, "hostPID"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, {}, "volume hostPath"),
        ({"securityContext": {}}, {}, "one: runs as root"),
        ({"securityContext": {"runAsNonRoot": True}}, {}, "one: seccompProfile"),
        ({}, {"securityContext": {}}, "one: allowPrivilegeEscalation"),
        ({}, {"securityContext": {"capabilities": {"drop": ["KILL"]}}}, "one: capabilities"),
        (
            {},
            {"securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}},
            "one: capabilities",
        ),
        ({}, {"securityContext": {"privileged": True}}, "one: privileged"),
        ({}, {"securityContext": {"runAsUser": 0}}, "one: runs as root"),
        ({}, {"securityContext": {"runAsNonRoot": False}}, "one: runs as root"),
        (
            {},
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            "one: seccompProfile",
        ),
        ({}, {"ports": [{"containerPort": 80, "hostPort": 80}]}, "one: hostPort"),
        (
            {},
            {"livenessProbe": {"httpGet": {"host": "elsewhere"}}},
            "one: host of livenessProbe",
        ),
    ],
)
def test_violation_is_found(pod_changes, container_changes, violation: str) -> None:
    pod = deepcopy(GOOD) | pod_changes
    pod["containers"][0] |= container_changes
    assert violation in violations(pod)


def test_init_containers_are_checked() -> None:
    assert "first: capabilities" in violations({**GOOD, "initContainers": [{"name": "first"}]})
