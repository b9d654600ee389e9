"""The probe: asks a service on this machine for its health and reports a problem in one line."""

from __future__ import annotations

import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pigeonhole.service.__main__ import main
from pigeonhole.service.probe import BODY_BYTES, LIVE, READY, check_health
from pigeonhole.service.web.monitoring import health

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + b'{"live":true}'
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n"


class FakeService:
    """Answers every request with the same bytes, after reading its head.

    Args:
        host: the address to listen on.
        response: the bytes.
        keeps_open: whether connections stay open.
        then: bytes sent again and again on a connection that stays open.

    Attributes:
        port: the port.
        heads: the heads of all requests.
    """

    def __init__(self, host: str, response: bytes, *, keeps_open: bool, then: bytes = b"") -> None:
        self.heads: list[bytes] = []
        over = self._over = threading.Event()
        heads = self.heads

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                heads.append(self.request.recv(10_000))
                self.request.sendall(response)
                while keeps_open and then and not over.wait(0.05):
                    self.request.sendall(then)
                if keeps_open:
                    over.wait(30)

        class TcpServer(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = TcpServer((host, 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


Serve = Callable[..., FakeService]


@pytest.fixture
def serve() -> Iterator[Serve]:
    services: list[FakeService] = []

    def start(
        response: bytes, host: str = "127.0.0.1", *, keeps_open: bool = False, then: bytes = b""
    ) -> FakeService:
        services.append(FakeService(host, response, keeps_open=keeps_open, then=then))
        return services[-1]

    yield start
    for service in services:
        service.close()


@contextmanager
def unused_port() -> Iterator[int]:
    """A port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def probe(*arguments: object, **environment: str) -> Result:
    clean: dict[str, str | None] = {"PIGEONHOLE_HOST": None, "PIGEONHOLE_PORT": None}
    return CliRunner().invoke(main, ["probe", *map(str, arguments)], env=clean | environment)


def test_probe_uses_the_health_routes_of_the_service() -> None:
    assert LIVE in health.LIVE
    assert READY in health.READY


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0.0.0.0", "0", "", "localhost"])  # noqa: S104 - the host to probe
def test_service_is_found_at_any_host_setting(serve: Serve, host: str) -> None:
    service = serve(GOOD)
    assert check_health(host, service.port, LIVE) is None
    assert service.heads[0].startswith(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize("host", ["::1", "::"])
def test_service_is_found_at_an_ipv6_address(serve: Serve, host: str) -> None:
    service = serve(GOOD, "::1")
    assert check_health(host, service.port, READY) is None
    assert service.heads[0].startswith(b"GET /health/ready HTTP/1.1\r\nHost: [::1]:")


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (NOT_READY + b'{"error":"not ready: no model\\nhere"}', "not ready: no model here"),
        (NOT_READY + b"{}", "/health/ready returned status 503"),
        (NOT_READY + b"[]", "/health/ready returned status 503"),
        (NOT_READY + b"\xff", "/health/ready returned status 503"),
        (NOT_READY + b"[" * 60_000, "/health/ready returned status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "/health/ready returned status 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP response: BadStatusLine"),
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "not an HTTP response: IncompleteRead"),
    ],
)
def test_any_other_response_is_reported_in_one_line(serve: Serve, response, problem) -> None:
    assert check_health("127.0.0.1", serve(response).port, READY) == problem


def test_silent_service_is_reported_after_the_timeout(serve: Serve) -> None:
    for response in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"):
        port = serve(response, keeps_open=True).port
        assert check_health("127.0.0.1", port, LIVE, 0.2) == "no response within 0.2 seconds"


@pytest.mark.parametrize(
    ("response", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1300\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_dribbling_service_is_reported_after_the_timeout(
    serve: Serve, response: bytes, then: bytes
) -> None:
    port = serve(response, keeps_open=True, then=then).port
    assert check_health("127.0.0.1", port, LIVE, 0.3) == "no response within 0.3 seconds"


def test_endless_response_is_not_read_to_its_end(serve: Serve) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * BODY_BYTES
    assert check_health("127.0.0.1", serve(endless, keeps_open=True).port, LIVE) is None


def test_unreachable_address_is_skipped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.getaddrinfo

    def resolve(host: str, *arguments: object, **options: object) -> list[tuple[Any, ...]]:
        hosts = ("255.255.255.255", "127.0.0.1") if host == "here" else (host,)
        return [found for name in hosts for found in original(name, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert check_health("here", serve(GOOD).port, LIVE) is None


def test_refused_connection_is_reported() -> None:
    with unused_port() as port:
        problem = f"127.0.0.1, port {port}: Connection refused"
        assert check_health("127.0.0.1", port, LIVE) == problem


@pytest.mark.parametrize("host", ["host.invalid", "a" * 70, "a..b"])
def test_unknown_host_is_reported(host: str) -> None:
    assert check_health(host, 80, LIVE)


def test_exit_code_is_0_for_a_healthy_service(serve: Serve) -> None:
    service = serve(GOOD)
    for arguments, output in (((), "live"), (("--live",), "live"), (("--ready",), "ready")):
        result = probe(*arguments, PIGEONHOLE_PORT=str(service.port))
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{output}\n", "")
    assert [head.split(b" ")[1] for head in service.heads] == [
        *(b"/health/live", b"/health/live", b"/health/ready"),
    ]


def test_exit_code_is_1_for_an_unhealthy_service(serve: Serve) -> None:
    port = serve(NOT_READY + b'{"error":"not ready: no model"}').port
    result = probe("--ready", "--host", "127.0.0.1", "--port", port, PIGEONHOLE_PORT="1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: not ready: no model.\n"


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        ("0", "the system chose the port; pass it with --port"),
        ("x", "PIGEONHOLE_PORT is 'x', expected a whole number from 0 to 65535"),
    ],
)
def test_unusable_port_is_reported(port: str, problem: str) -> None:
    result = probe(PIGEONHOLE_PORT=port)
    assert (result.exit_code, result.stderr) == (1, f"Error: {problem}.\n")


def test_probe_loads_neither_a_server_nor_numpy() -> None:
    code = (
        "import sys, service.__main__, service.probe\n"
        "print([m for m in ('onnxruntime', 'numpy', 'gunicorn', 'flask') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "[]\n"
