"""What keeps a pod from being admitted where pods are restricted.

These are the rules of Kubernetes's Pod Security Standards, level "restricted" with "baseline" in it,
which the label ``pod-security.kubernetes.io/enforce: restricted`` of a namespace has the API server hold
pods against. Of what they allow in part - a few sysctls, capabilities and profiles - nothing is allowed.
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
    """What a pod's ``spec`` asks for that it may not, each as a text."""
    context = pod.get("securityContext", {})
    yield from (name for name in SHARED_WITH_NODE if pod.get(name))
    yield from (name for name in (*EXCEPTIONS, "sysctls") if context.get(name))
    for volume in pod.get("volumes", []):
        yield from (f"volume {kind}" for kind in set(volume) - {"name"} - VOLUMES)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, []):
            for found in _of_container(container, context):
                yield f"{container['name']}: {found}"


def _of_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    """The same of one container.

    Args:
        container: an entry of the pod's.
        pod: the pod's own security context, which counts where the container says nothing.
    """
    own = container.get("securityContext", {})
    either = {**pod, **own}
    capabilities = own.get("capabilities", {})
    yield from (name for name in EXCEPTIONS if own.get(name))
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in capabilities.get("drop", []) or capabilities.get("add"):
        yield "capabilities"
    if either.get("runAsNonRoot") is not True or either.get("runAsUser") == 0:
        yield "runs as root"
    if either.get("seccompProfile", {}).get("type") not in PROFILES:
        yield "seccompProfile"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "host" in container.get(probe, {}).get("httpGet", {}):
            yield f"host of {probe}"
