"""Ask the service on this machine for its health, as the health check of a container does.

Imports nothing of the service itself: a probe is a new process every few seconds and must cost
little.
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
"""Most bytes of a response that are read; a health report has fewer."""

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
"""Where to ask a service that listens on all addresses."""


def check_health(host: str, port: int, path: str, seconds: float = TIMEOUT_S) -> str | None:
    """Return the service's problem in one line; None if it is healthy.

    Args:
        host: the setting of the service; may mean all addresses, or have several.
        port: the setting of the service.
        path: ``LIVE`` or ``READY``.
        seconds: the timeout.
    """
    problems: list[str | None] = []
    # In a thread that is left behind: the timeout of a socket applies to each piece of a response,
    # and a name lookup has none.
    thread = Thread(target=lambda: problems.append(_problem(host, port, path)), daemon=True)
    thread.start()
    thread.join(seconds)
    return problems[0] if problems else f"no response within {seconds:g} seconds"


def _problem(host: str, port: int, path: str) -> str | None:
    """As `check_health`, without a timeout."""
    problem = "the host has no address on this machine"
    try:
        for address in _addresses(host, port):
            connection = http.client.HTTPConnection(address, port)
            with closing(connection):
                try:
                    connection.connect()
                except OSError as error:  # the service may listen on the next address
                    problem = f"{address}, port {port}: {error.strerror or error}"
                    continue
                return _reported_problem(connection, path)
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:
        return f"{host!r} is not a valid host"
    except http.client.HTTPException as error:
        return f"not an HTTP response: {type(error).__name__}"
    return problem


def _addresses(host: str, port: int) -> Iterator[str]:
    """Yield the addresses where this machine reaches a service that listens on a host."""
    for family, *_, address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM):
        found = str(address[0])
        yield LOOPBACK[family] if ip_address(found).is_unspecified else found


def _reported_problem(connection: http.client.HTTPConnection, path: str) -> str | None:
    """Return the problem that the service reports; raises connection errors."""
    connection.request("GET", path, headers={"Connection": "close"})
    response = connection.getresponse()
    body = response.read(BODY_BYTES)
    if len(body) < BODY_BYTES and response.length:
        raise http.client.IncompleteRead(body, response.length)
    if response.status == HTTPStatus.OK:
        return None
    try:
        return " ".join(str(json.loads(body)["error"]).split())
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{path} returned status {response.status}"
