"""Asks the service on this machine how it is, as a container's health check does.

Nothing of the service itself is imported: a probe is a process of its own every few seconds, and
should cost little.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from ipaddress import ip_address
from threading import Thread

LIVE, READY = "/health/live", "/health/ready"

TIMEOUT_S = 3.0

BODY_BYTES = 64 * 1024
"""How much of an answer is read: more than a service says of itself."""

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
"""Where a service is asked that listens on all addresses."""


def check_health(host: str, port: int, path: str, seconds: float = TIMEOUT_S) -> str | None:
    """What is wrong with the service, in a line; None when it is well.

    Args:
        host: as the service was told where to listen; it may mean all addresses, or have several.
        port: the same.
        path: ``LIVE`` or ``READY``.
        seconds: how long that may take.
    """
    said: list[str | None] = []
    # In a thread that is left behind: a socket's time-out is for each piece of an answer, and the
    # look-up of a name has none.
    asking = Thread(target=lambda: said.append(_complaint(host, port, path)), daemon=True)
    asking.start()
    asking.join(seconds)
    return said[0] if said else f"no answer within {seconds:g} seconds"


def _complaint(host: str, port: int, path: str) -> str | None:
    """As `check_health`, for as long as it takes."""
    said = "it has no address here"
    try:
        for address in _addresses(host, port):
            connection = http.client.HTTPConnection(address, port)
            with closing(connection):
                try:
                    connection.connect()
                except OSError as error:  # the next may be the one
                    said = f"{address}, port {port}: {error.strerror or error}"
                    continue
                return _asked(connection, path)
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


def _asked(connection: http.client.HTTPConnection, path: str) -> str | None:
    """What is wrong by the service's own answer; raises what goes wrong on the way."""
    connection.request("GET", path, headers={"Connection": "close"})
    answer = connection.getresponse()
    body = answer.read(BODY_BYTES)
    if len(body) < BODY_BYTES and answer.length:
        raise http.client.IncompleteRead(body, answer.length)
    if answer.status == HTTPStatus.OK:
        return None
    try:
        return " ".join(str(json.loads(body)["error"]).split())
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{path} is answered with {answer.status}"
