"""The probe: asks a service on this machine, and says in a line what is wrong."""

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


class Service:
    """Answers every request with the same bytes, after reading its head.

    One that keeps its connections open may go on with more bytes, in small pieces without end.

    Attributes:
        port: where it listens.
        heads: what it was asked.
    """

    def __init__(self, host: str, answer: bytes, *, keeps_open: bool, then: bytes = b"") -> None:
        self.heads: list[bytes] = []
        over = self._over = threading.Event()
        heads = self.heads

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                heads.append(self.request.recv(10_000))
                self.request.sendall(answer)
                while keeps_open and then and not over.wait(0.05):
                    self.request.sendall(then)
                if keeps_open:
                    over.wait(30)

        class Server(socketserver.ThreadingTCPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,)).start()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


Serve = Callable[..., Service]


@pytest.fixture
def serve() -> Iterator[Serve]:
    services: list[Service] = []

    def started(
        answer: bytes, host: str = "127.0.0.1", *, keeps_open: bool = False, then: bytes = b""
    ) -> Service:
        services.append(Service(host, answer, keeps_open=keeps_open, then=then))
        return services[-1]

    yield started
    for service in services:
        service.close()


@contextmanager
def nobody() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def probe(*arguments: object, **environment: str) -> Result:
    clean: dict[str, str | None] = {"PIGEONHOLE_HOST": None, "PIGEONHOLE_PORT": None}
    return CliRunner().invoke(main, ["probe", *map(str, arguments)], env=clean | environment)


def test_it_asks_what_the_service_answers() -> None:
    assert LIVE in health.LIVE
    assert READY in health.READY


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0.0.0.0", "0", "", "localhost"])  # noqa: S104 - asked
def test_a_service_is_found_wherever_it_was_told_to_listen(serve: Serve, host: str) -> None:
    service = serve(GOOD)
    assert check_health(host, service.port, LIVE) is None
    assert service.heads[0].startswith(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_service_is_found_at_an_address_of_ipv6(serve: Serve, host: str) -> None:
    service = serve(GOOD, "::1")
    assert check_health(host, service.port, READY) is None
    assert service.heads[0].startswith(b"GET /health/ready HTTP/1.1\r\nHost: [::1]:")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NOT_READY + b'{"error":"not ready: no model\\nhere"}', "not ready: no model here"),
        (NOT_READY + b"{}", "/health/ready is answered with 503"),
        (NOT_READY + b"[]", "/health/ready is answered with 503"),
        (NOT_READY + b"\xff", "/health/ready is answered with 503"),
        (NOT_READY + b"[" * 60_000, "/health/ready is answered with 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "/health/ready is answered with 404"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer in HTTP: BadStatusLine"),
        (b"", "Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "no answer in HTTP: IncompleteRead"),
    ],
)
def test_whatever_else_is_answered_is_a_complaint_in_a_line(serve: Serve, answer, said) -> None:
    assert check_health("127.0.0.1", serve(answer).port, READY) == said


def test_a_service_that_says_nothing_is_not_waited_for(serve: Serve) -> None:
    for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n"):
        port = serve(answer, keeps_open=True).port
        assert check_health("127.0.0.1", port, LIVE, 0.2) == "no answer within 0.2 seconds"


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1300\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_nor_is_one_that_says_it_bit_by_bit(serve: Serve, answer: bytes, then: bytes) -> None:
    port = serve(answer, keeps_open=True, then=then).port
    assert check_health("127.0.0.1", port, LIVE, 0.3) == "no answer within 0.3 seconds"


def test_an_answer_is_read_no_further_than_it_can_say_anything(serve: Serve) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * BODY_BYTES
    assert check_health("127.0.0.1", serve(endless, keeps_open=True).port, LIVE) is None


def test_an_address_that_is_out_of_reach_is_passed_over(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def named(host: str, *others: object, **named: object) -> list[tuple[Any, ...]]:
        meant = ("255.255.255.255", "127.0.0.1") if host == "here" else (host,)
        return [found for name in meant for found in look_up(name, *others, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    assert check_health("here", serve(GOOD).port, LIVE) is None


def test_where_nobody_listens_that_is_the_complaint() -> None:
    with nobody() as port:
        said = f"127.0.0.1, port {port}: Connection refused"
        assert check_health("127.0.0.1", port, LIVE) == said


@pytest.mark.parametrize("host", ["host.invalid", "a" * 70, "a..b"])
def test_a_host_that_there_is_not_is_a_complaint(host: str) -> None:
    assert check_health(host, 80, LIVE)


def test_the_exit_code_is_0_for_a_service_that_is_well(serve: Serve) -> None:
    service = serve(GOOD)
    for arguments, told in (((), "live"), (("--live",), "live"), (("--ready",), "ready")):
        result = probe(*arguments, PIGEONHOLE_PORT=str(service.port))
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"{told}\n", "")
    assert [head.split(b" ")[1] for head in service.heads] == [
        *(b"/health/live", b"/health/live", b"/health/ready"),
    ]


def test_the_exit_code_is_1_and_the_reason_a_line_for_one_that_is_not(serve: Serve) -> None:
    port = serve(NOT_READY + b'{"error":"not ready: no model"}').port
    result = probe("--ready", "--host", "127.0.0.1", "--port", port, PIGEONHOLE_PORT="1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: not ready: no model.\n"


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ("0", "the system chose the port: name it with --port"),
        ("x", "PIGEONHOLE_PORT is 'x', expected a whole number from 0 to 65535"),
    ],
)
def test_a_port_that_tells_nothing_is_no_good_either(port: str, said: str) -> None:
    result = probe(PIGEONHOLE_PORT=port)
    assert (result.exit_code, result.stderr) == (1, f"Error: {said}.\n")


def test_a_probe_loads_neither_a_server_nor_numbers() -> None:
    code = (
        "import sys, service.__main__, service.probe\n"
        "print([m for m in ('onnxruntime', 'numpy', 'gunicorn', 'flask') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
