"""Violations of Kubernetes's Pod Security Standards at the level "restricted".

The API server enforces the level in namespaces with the label
``pod-security.kubernetes.io/enforce: restricted``. This check is stricter: it rejects all sysctls,
added capabilities and profiles, of which the standards allow a few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}

SHARED_WITH_NODE = ("hostNetwork", "hostPID", "hostIPC")

EXCEPTIONS = ("privileged", "procMount", "seLinuxOptions", "windowsOptions", "appArmorProfile")

PROFILES = ("RuntimeDefault", "Localhost")


def violations(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield the violations of a pod's ``spec``."""
    context = pod.get("securityContext", {})
    yield from (name for name in SHARED_WITH_NODE if pod.get(name))
    yield from (name for name in (*EXCEPTIONS, "sysctls") if context.get(name))
    for volume in pod.get("volumes", []):
        yield from (f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, []):
            for violation in _container_violations(container, context):
                yield f"{container['name']}: {violation}"


def _container_violations(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield the violations of a container.

    Args:
        container: the container.
        pod: security context of the pod, which the container's overrides.
    """
    own = container.get("securityContext", {})
    effective = {**pod, **own}
    capabilities = own.get("capabilities", {})
    yield from (name for name in EXCEPTIONS if own.get(name))
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in capabilities.get("drop", []) or capabilities.get("add"):
        yield "capabilities"
    if effective.get("runAsNonRoot") is not True or effective.get("runAsUser") == 0:
        yield "runs as root"
    if effective.get("seccompProfile", {}).get("type") not in PROFILES:
        yield "seccompProfile"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "host" in container.get(probe, {}).get("httpGet", {}):
            yield f"host of {probe}"
