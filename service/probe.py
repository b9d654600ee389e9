"""Asks the service on this machine how it is, as a container's health check does.

Nothing of the service itself is imported: a probe is a process of its own every few seconds, and
should cost little.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from ipaddress import ip_address

LIVE, READY = "/health/live", "/health/ready"

TIMEOUT_S = 3.0

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
"""Where a service is asked that listens on all addresses."""


def complaint(host: str, port: int, path: str, seconds: float = TIMEOUT_S) -> str | None:
    """What is wrong with the service, in a line; None when it is well.

    Args:
        host: as the service was told where to listen; it may mean all addresses, or have several.
        port: the same.
        path: ``LIVE`` or ``READY``.
        seconds: how long that may take.
    """
    end = time.monotonic() + seconds
    said = "it has no address here"
    try:
        for address in _addresses(host, port):
            try:
                return _asked(address, port, path, end)
            except ConnectionRefusedError as error:
                said = f"{address}, port {port}: {error.strerror}"  # the next may be the one
    except TimeoutError:
        return f"no answer within {seconds:g} seconds"
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:
        return f"{host!r} can be no host"
    except http.client.HTTPException as error:
        return f"no answer in HTTP: {type(error).__name__}"
    return said


def _addresses(host: str, port: int) -> Iterator[str]:
    """The addresses at which a service that listens on a host is found from this machine."""
    for family, *_, address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM):
        found = str(address[0])
        yield LOOPBACK[family] if ip_address(found).is_unspecified else found


def _asked(address: str, port: int, path: str, end: float) -> str | None:
    """As `complaint`, of one address; raises what goes wrong on the way."""
    with closing(http.client.HTTPConnection(address, port, timeout=_left(end))) as connection:
        connection.connect()
        connection.sock.settimeout(_left(end))
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
    if answer.status == HTTPStatus.OK:
        return None
    try:
        return " ".join(str(json.loads(body)["error"]).split())
    except (ValueError, LookupError, TypeError):
        return f"{path} is answered with {answer.status}"


def _left(end: float) -> float:
    """Seconds to go, or too late."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
