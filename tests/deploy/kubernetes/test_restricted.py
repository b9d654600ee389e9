"""The rules for pods let nothing pass that they are there to find."""

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


def test_a_restricted_pod_is_let_pass() -> None:
    assert list(violations(GOOD)) == []


@pytest.mark.parametrize(
    ("of_pod", "of_container", "found"),
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
def test_a_pod_that_asks_for_more_is_found(of_pod, of_container, found: str) -> None:
    pod = deepcopy(GOOD) | of_pod
    pod["containers"][0] |= of_container
    assert found in violations(pod)


def test_containers_that_run_before_are_looked_at_too() -> None:
    assert "first: capabilities" in violations({**GOOD, "initContainers": [{"name": "first"}]})
