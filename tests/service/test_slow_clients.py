"""Slow, silent or too many clients, and slow models, do not disturb other clients."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from selectors import EVENT_READ, DefaultSelector

import httpx
import pytest

from tests.tiny_models import write_heavy_model

pytestmark = pytest.mark.slow

BODY = b'{"instances": [[172, 95]]}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
SLOW = 200
"""Clients of each slow kind."""


@contextmanager
def steady_clients(port: int, clients: int = 4) -> Iterator[list[int]]:
    """Run clients that repeat a request on one connection each; yield their statuses."""
    over, statuses = threading.Event(), []

    def repeat() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not over.is_set():
            connection.request("POST", "/predict", BODY)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()

    threads = [threading.Thread(target=repeat) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def connect(port: int, count: int, stack: ExitStack) -> list[socket.socket]:
    return [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        for _ in range(count)
    ]


def dribble(connections: Sequence[socket.socket], piece: bytes) -> dict[socket.socket, bytes]:
    """Send a byte on each connection, repeatedly, until all are closed; return what each received."""
    received = dict.fromkeys(connections, b"")
    deadline = time.monotonic() + 60
    with DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, EVENT_READ)
        while selector.get_map():
            assert time.monotonic() < deadline
            for key, _ in selector.select(0.05):
                connection = key.fileobj
                more = connection.recv(65536)
                received[connection] += more
                if not more:
                    selector.unregister(connection)
            for key in selector.get_map().values():
                if not received[key.fileobj]:
                    key.fileobj.send(piece)
    return received


def test_slow_client_is_cut_off_while_others_are_answered(serve, tmp_path, write_model) -> None:
    write_model(tmp_path)
    server = serve(
        *(tmp_path, "--workers", "2", "--header-seconds", "1", "--body-seconds", "1.5"),
        *("--drain-seconds", "0.1", "--max-connections", "1000"),
    )
    server.until(lambda: len(server.lines("model live")) == 2)
    with ExitStack() as stack, steady_clients(server.port) as statuses:
        heads = connect(server.port, SLOW, stack)
        bodies = connect(server.port, SLOW, stack)
        for connection in heads:
            connection.sendall(HEAD + b"X: ")
        for connection in bodies:
            connection.sendall(HEAD + b"\r\n")
        received = dribble(heads + bodies, b"x")
        count = len(statuses)
    for connections, part in ((heads, b"headers"), (bodies, b"body")):
        for connection in connections:
            response = received[connection]
            assert response.startswith(b"HTTP/1.1 408 "), response
            assert b"\r\nconnection: close\r\n" in response
            assert b'"the %b took too long to arrive"' % part in response
    assert count > 20
    assert set(statuses) == {200}


def test_server_at_its_connection_limit_closes_silent_connections_first(
    serve, tmp_path, write_model
) -> None:
    write_model(tmp_path)
    server = serve(
        *(tmp_path, "--workers", "1", "--max-connections", "50", "--drain-seconds", "0.1")
    )
    server.until(lambda: len(server.lines("model live")) == 1)
    with ExitStack() as stack, steady_clients(server.port) as statuses:
        silent = connect(server.port, SLOW, stack)
        deadline = time.monotonic() + 30
        left = silent
        while len(left) > 50 - 4:
            assert time.monotonic() < deadline
            left = [connection for connection in left if not is_closed(connection)]
        assert statuses
    assert set(statuses) == {200}


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.001)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_unread_streams_disturb_no_client_and_finish_before_the_stop(
    serve, tmp_path, write_model
) -> None:
    write_model(tmp_path)
    server = serve(
        *(tmp_path, "--workers", "1", "--drain-seconds", "0.1", "--graceful-seconds", "20")
    )
    server.until(lambda: len(server.lines("model live")) == 1)
    body = b"\n".join([b"[172, 95]"] * 100_000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    with ExitStack() as stack:
        readers = connect(server.port, 20, stack)
        for reader in readers:
            reader.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert reader.recv(10).startswith(b"HTTP/1.1 ")
        with steady_clients(server.port) as statuses:
            server.until(lambda: len(statuses) > 200)
        assert set(statuses) == {200}
        for reader in readers[2:]:
            reader.close()
        server.process.send_signal(signal.SIGTERM)
        for reader in readers[:2]:
            received = b""
            while not received.endswith(b"\r\n0\r\n\r\n"):
                piece = reader.recv(1 << 20)
                assert piece
                received += piece
            assert received.count(b'"label"') == 100_000
    assert server.stop() == 0
    assert not [line for line in server.lines() if line["level"] != "INFO"]


def test_health_and_metrics_are_answered_while_a_heavy_model_runs(serve, tmp_path) -> None:
    write_heavy_model(tmp_path, products=40)
    server = serve(tmp_path, "--workers", "1", "--drain-seconds", "0.1")
    server.until(lambda: len(server.lines("model live")) == 1)
    with ExitStack() as stack:
        heavy = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        stack.callback(heavy.close)
        client = stack.enter_context(
            httpx.Client(base_url=server.address, trust_env=False, timeout=60)
        )

        def rounds_meanwhile() -> int:
            """Return how often all pages were answered before the prediction."""
            heavy.request("POST", "/predict", b'{"instances": [[2]]}')
            rounds = 0
            while not select.select([heavy.sock], [], [], 0)[0]:
                for path in ("/health/live", "/health/ready", "/metrics"):
                    assert client.get(path).status_code == 200
                rounds += 1
            response = heavy.getresponse()
            assert response.status == 200
            assert json.loads(response.read())["predictions"][0]["label"] == "more"
            return rounds

        # One round may be answered before the worker has received the prediction request.
        assert max(rounds_meanwhile() for _ in range(10)) > 2
