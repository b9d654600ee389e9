"""The server of one worker over real sockets: deadlines, limits, balancing and drain."""

from __future__ import annotations

import gc
import logging
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import pytest

from pigeonhole.service.web.http.connection import Connection
from pigeonhole.service.web.http.server import refuse_new_connections

GET = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
NEVER = b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /large=30000000 HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="such filters are Linux's")


def later(seconds: float) -> bytes:
    return b"GET /later=%a HTTP/1.1\r\nHost: x\r\n\r\n" % seconds


def receive_all(connection: socket.socket) -> bytes:
    """Return the bytes received until the server closes or resets."""
    received = bytearray()
    try:
        while part := connection.recv(1 << 20):
            received += part
    except ConnectionResetError:
        pass
    return bytes(received)


def request_once(connection: socket.socket) -> bytes:
    """Return the response to a request on a connection that stays open."""
    connection.sendall(GET)
    return connection.recv(10_000)


def small_reader(tiny) -> socket.socket:
    """Return a client with a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", tiny.port))
    return connection


def any_lingering(tiny) -> bool:
    return any(connection._writer.is_lingering for connection in [*tiny.server.connections])


# Deadlines.


@pytest.mark.parametrize("start", [GET[:20], HEAD % 10_000 + b"abc", GET + GET[:20]])
def test_slow_client_gets_408_however_often_it_sends(start_tiny, responses, start: bytes) -> None:
    tiny = start_tiny(head_s=0.4, body_s=0.4)
    with tiny.connect() as connection:
        connection.sendall(start)
        began = time.monotonic()
        tiny.until(lambda: connection.sendall(b"a") or any_lingering(tiny))
        assert time.monotonic() - began >= 0.35
        connection.shutdown(socket.SHUT_WR)
        *_, response = responses(receive_all(connection))
    assert (response.status, response.closes) == (408, True)
    assert response.json["code"] == "request_too_slow"


def test_silent_client_is_closed_before_an_idle_one(start_tiny, responses) -> None:
    tiny = start_tiny(head_s=0.3, idle_s=0.9)
    began = time.monotonic()
    with tiny.connect() as silent, tiny.connect() as idle:
        assert request_once(idle).startswith(b"HTTP/1.1 200 ")
        assert silent.recv(100) == b""
        assert time.monotonic() - began >= 0.3
        assert request_once(idle).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert idle.recv(100) == b""
        assert time.monotonic() - began >= 0.85


def test_client_that_reads_nothing_is_cut_off(start_tiny) -> None:
    tiny = start_tiny(write_s=0.4)
    with small_reader(tiny) as connection:
        connection.sendall(LARGE)
        tiny.until(lambda: tiny.handler.paths)
        tiny.until(lambda: not tiny.server.connections)
        assert len(receive_all(connection)) < 30_000_000


def test_client_that_reads_no_chunk_is_cut_off(
    start_tiny,
) -> None:
    tiny = start_tiny(write_s=0.4)
    with small_reader(tiny) as connection:
        connection.sendall(GET.replace(b"/echo", b"/chunks=1000x100000"))
        tiny.until(lambda: tiny.handler.chunks_computed)
        tiny.until(lambda: not tiny.server.connections)
        assert tiny.handler.streams_ended == 1
        assert tiny.handler.chunks_computed < 200


@pytest.mark.slow
def test_slow_reader_gets_a_complete_stream(start_tiny) -> None:
    tiny = start_tiny(write_s=1.0, idle_s=1.0)
    with small_reader(tiny) as connection:
        connection.sendall(GET.replace(b"/echo", b"/chunks=150x100000"))
        received, began = 0, time.monotonic()
        while received < 15_000_000:
            part = connection.recv(200_000)
            assert part
            received += len(part)
            time.sleep(len(part) / 10e6)
        assert time.monotonic() - began > 1


def test_client_that_leaves_the_end_unread_is_cut_off(start_tiny) -> None:
    tiny = start_tiny(write_s=0.4, idle_s=0.4)
    with small_reader(tiny) as connection:
        connection.sendall(GET)
        tiny.until(lambda: tiny.handler.paths)
        (server_side,) = tiny.server.connections
        while not server_side._transport.get_write_buffer_size():
            number = len(tiny.handler.paths) + 1
            connection.sendall(LARGE.replace(b"30000000", b"9000"))
            tiny.until(lambda number=number: len(tiny.handler.paths) == number)
        tiny.until(lambda: not tiny.server.connections)


@pytest.mark.slow
@pytest.mark.parametrize("half_close", [False, True])
def test_slow_reader_gets_a_complete_response(start_tiny, half_close: bool) -> None:
    tiny = start_tiny(write_s=1.5, linger_s=1.5, idle_s=2.0)
    with small_reader(tiny) as connection:
        connection.sendall(LARGE)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = 0
        began = time.monotonic()
        while received < 30_000_000:
            part = connection.recv(400_000)
            assert part
            received += len(part)
            time.sleep(len(part) / 10e6)
        assert time.monotonic() - began > 2
        time.sleep(0.5)
        # The idle time begins when the client has received the response.
        assert half_close or request_once(connection).startswith(b"HTTP/1.1 200 ")


def test_client_that_never_closes_is_closed(start_tiny) -> None:
    tiny = start_tiny(linger_s=0.3)
    with tiny.connect() as first, tiny.connect() as second:
        first.sendall(LAST)
        second.sendall(b"nonsense\r\n\r\n")
        tiny.until(lambda: sum(c._writer.is_lingering for c in [*tiny.server.connections]) == 2)
        tiny.until(lambda: not tiny.server.connections)


@pytest.mark.slow
def test_hundreds_of_slow_clients_are_cut_off_and_delay_no_other(start_tiny, responses) -> None:
    tiny = start_tiny(head_s=1.0, body_s=1.0, write_s=1.0, idle_s=1.0, linger_s=0.3)
    starts = [b"", GET[:30], HEAD % 100 + b"abc", GET + GET[:9], LARGE, b"nonsense\r\n\r\n"]
    slow = []
    try:
        for number in range(300):
            slow.append(small_reader(tiny))
            slow[-1].sendall(starts[number % len(starts)])
        for _ in range(100):
            assert [response.status for response in responses(tiny.exchange(GET + LAST))] == [
                200,
                200,
            ]
        tiny.until(lambda: not tiny.server.connections, 10)
    finally:
        for connection in slow:
            connection.close()


def test_date_header_is_current(tiny, responses) -> None:
    until = time.time() + 1.2
    while time.time() < until:
        before = time.time()
        (response,) = responses(tiny.exchange(LAST))
        date = parsedate_to_datetime(response.headers["date"]).timestamp()
        assert before - 1.3 < date <= time.time()
        time.sleep(0.03)


# Limits.


def test_server_at_its_limit_closes_the_longest_silent_connection(start_tiny, connected) -> None:
    tiny = start_tiny(connections=4)
    older, newer, silent, busy = connected(tiny, 4)
    request_once(older)
    time.sleep(0.02)
    request_once(newer)
    time.sleep(0.3)
    busy.sendall(later(1.0))
    tiny.until(lambda: "/later=1.0" in tiny.handler.paths)
    for closed in (silent, older):
        (another,) = connected(tiny, 1)
        assert request_once(another).startswith(b"HTTP/1.1 200 ")
        assert receive_all(closed) == b""
    assert request_once(newer).startswith(b"HTTP/1.1 200 ")
    assert busy.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_server_at_its_limit_closes_idle_before_sending_connections(start_tiny, connected) -> None:
    tiny = start_tiny(connections=2)
    idle, sending = connected(tiny, 2)
    sending.sendall(HEAD % 10 + b"12345")
    request_once(idle)
    time.sleep(0.3)
    (another,) = connected(tiny, 1)
    assert request_once(another).startswith(b"HTTP/1.1 200 ")
    assert receive_all(idle) == b""
    sending.sendall(b"67890")
    assert sending.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_server_at_its_limit_closes_no_busy_connection(start_tiny, connected) -> None:
    tiny = start_tiny(connections=3)
    busy = connected(tiny, 3)
    for connection in busy[:2]:
        connection.sendall(later(0.4))
    busy[2].sendall(LARGE)
    tiny.until(lambda: len(tiny.handler.paths) == 3)
    waiting = connected(tiny, 5)
    for connection in waiting:
        connection.sendall(LAST)
    time.sleep(0.2)
    assert "/last" not in tiny.handler.paths
    for connection in busy[:2]:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")
    received = 0
    while received < 30_000_000:
        received += len(busy[2].recv(1 << 20))
    for connection in waiting:
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


def test_large_bodies_share_a_limit(start_tiny, responses, connected) -> None:
    tiny = start_tiny(body_bytes=200_000, buffered_bytes=500_000)
    body = b"x" * 200_000
    pending, sent, rejected = connected(tiny, 3)
    pending.sendall(HEAD.replace(b"/echo", b"/later=0.6") % len(body) + body)
    sent.sendall(HEAD % len(body) + body[:-1])
    tiny.until(lambda: tiny.server.body_memory.used == 399_999)
    rejected.sendall(HEAD % len(body) + body[:-1])
    (response,) = responses(receive_all(rejected))
    assert tiny.server.body_memory.used == 399_999
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert response.json["code"] == "overloaded"
    small = HEAD % 60_000 + bytes(60_000)
    assert [response.status for response in responses(tiny.exchange(small + LAST))] == [200, 200]
    sent.sendall(body[-1:])
    assert sent.recv(10_000).startswith(b"HTTP/1.1 200 ")
    assert tiny.server.body_memory.used == 200_000
    assert pending.recv(10_000).startswith(b"HTTP/1.1 200 ")
    assert tiny.server.body_memory.used == 0
    again = HEAD % len(body) + body
    assert [a.status for a in responses(tiny.exchange(again * 5 + LAST))] == [200] * 6


def test_single_large_body_is_always_accepted(start_tiny, responses) -> None:
    tiny = start_tiny(buffered_bytes=1)
    statuses = [a.status for a in responses(tiny.exchange(HEAD % 900_000 + bytes(900_000) + LAST))]
    assert statuses == [200, 200]


def test_abandoned_large_bodies_are_released(tiny, responses, reset) -> None:
    rest = (b"", b"x" * 1_000_000)
    for path in (b"/echo", b"/never"):
        connection = tiny.connect()
        head = HEAD.replace(b"/echo", path)
        connection.sendall(later(0.05) + head % 100_000 + bytes(100_000))
        connection.sendall(head % 900_000 + bytes(500_000))
        tiny.until(lambda: tiny.server.body_memory.used)
        reset(connection)
        tiny.until(lambda: not tiny.server.connections)
        assert tiny.server.body_memory.used == 0
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"
    assert [a.status for a in responses(tiny.exchange(chunked, *rest, b"x" * 9))] == [413]
    assert tiny.server.body_memory.used == 0


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open no more descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_connections_wait_while_no_descriptor_is_free(start_tiny, caplog) -> None:
    tiny = start_tiny()
    with tiny.connect() as before, socket.socket() as waiting:
        request_once(before)
        waiting.settimeout(10)
        with no_more_files():
            waiting.connect(("127.0.0.1", tiny.port))
            waiting.sendall(LAST)
            tiny.until(lambda: caplog.records)
            time.sleep(0.4)
            assert request_once(before).startswith(b"HTTP/1.1 200 ")
            assert "/last" not in tiny.handler.paths
        assert receive_all(waiting).startswith(b"HTTP/1.1 200 ")
    assert [record.getMessage() for record in caplog.records] == ["accepting a connection failed"]
    assert caplog.records[0].levelno == logging.ERROR
    caplog.clear()


def test_client_that_disconnects_before_it_is_accepted_leaves_no_connection(
    tiny, reset, responses
) -> None:
    for _ in range(200):
        reset(tiny.connect())
    assert [response.status for response in responses(tiny.exchange(LAST))] == [200]


def test_closed_connections_are_freed_without_the_garbage_collector(tiny, responses) -> None:
    def alive() -> int:
        return sum(isinstance(thing, Connection) for thing in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert len(responses(tiny.exchange(GET + LAST))) == 2
        tiny.until(lambda: alive() < 3)
    finally:
        gc.enable()


# Several workers.


class Shares:
    """The shares of several servers in one process."""

    def __init__(self) -> None:
        self._connections: dict[int, int] = {}

    def slot(self) -> Slot:
        return Slot(self._connections, len(self._connections))


class Slot:
    def __init__(self, connections: dict[int, int], number: int) -> None:
        self._connections, self._number = connections, number
        self.report(0)

    def report(self, connections: int | None) -> None:
        if connections is None:
            self._connections.pop(self._number, None)
        else:
            self._connections[self._number] = connections

    def minimum(self) -> int:
        return min([*self._connections.values()], default=0)


def start_two(start_tiny, **limits: float):
    all_shares = Shares()
    shares = [all_shares.slot(), all_shares.slot()]
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    first = start_tiny(listener.dup(), shares[0], **limits)
    return first, start_tiny(listener, shares[1], **limits)


def test_workers_share_connections_evenly(start_tiny, connected) -> None:
    first, second = start_two(start_tiny)
    connections = connected(first, 16)
    for connection in connections:
        request_once(connection)
    numbers = sorted(len(server.server.connections) for server in (first, second))
    assert sum(numbers) == 16
    assert numbers[0] >= 6
    # The worker with more connections yields once, then accepts what the other leaves.
    second.do(lambda: time.sleep(0.2) or None)
    assert all(request_once(connection) for connection in connections)


def test_worker_accepts_connections_that_no_other_accepts(start_tiny, connected) -> None:
    first, second = start_two(start_tiny)
    second.do(lambda: second.server.stop_listening(last=False))
    for connection in connected(first, 10):
        assert request_once(connection).startswith(b"HTTP/1.1 200 ")
    assert len(first.server.connections) == 10


# Drain.


class Client(threading.Thread):
    """Connects and sends requests without pause, until connections are refused."""

    def __init__(self, port: int, requests: int) -> None:
        super().__init__()
        self._port, self._requests = port, requests
        self.lost: list[str] = []
        self.responses = 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), timeout=0.3)
            except (ConnectionRefusedError, TimeoutError):
                return
            connection.settimeout(5)
            with connection:
                self._send(connection)

    def _send(self, connection: socket.socket) -> None:
        for _ in range(self._requests):
            try:
                response = request_once(connection)
            except OSError as error:
                self.lost.append(repr(error))
                return
            if not response.startswith(b"HTTP/1.1 200 ") or response[-1:] != b"}":
                self.lost.append(repr(response))
                return
            self.responses += 1
            if b"connection: close\r\n" in response:
                return


def with_clients(tiny, act: Callable[[list[Client]], None]) -> None:
    clients = [Client(tiny.port, requests) for requests in (1, 1, 3)]
    for client in clients:
        client.start()
    try:
        tiny.until(lambda: all(client.responses > 5 for client in clients))
        act(clients)
    finally:
        for client in clients:
            client.ended.set()
            client.join()
    assert [client.lost for client in clients] == [[], [], []]


@pytest.mark.slow
@pytest.mark.parametrize("times", [4, pytest.param(100, marks=pytest.mark.chaos)])
def test_last_server_stops_without_losing_a_connected_client(start_tiny, times: int) -> None:
    for _ in range(times):
        tiny = start_tiny()

        def stop(clients: list[Client], tiny=tiny) -> None:
            tiny.server.draining = True
            tiny.do(lambda: tiny.server.stop_listening(last=True))
            tiny.do(lambda: tiny.server.finish(5, 1))
            for client in clients:
                client.join(10)  # ends by itself, because connections are refused

        with_clients(tiny, stop)
        assert tiny.listener.fileno() == -1


@pytest.mark.slow
@pytest.mark.parametrize("times", [4, pytest.param(100, marks=pytest.mark.chaos)])
def test_no_client_notices_that_one_of_two_servers_stops(start_tiny, times: int) -> None:
    for _ in range(times):
        first, second = start_two(start_tiny)

        def stop(clients: list[Client], first=first) -> None:
            first.server.draining = True
            first.do(lambda: first.server.stop_listening(last=False))
            first.do(lambda: first.server.finish(5, 1))
            before = [client.responses for client in clients]
            first.until(lambda: all(c.responses > b for c, b in zip(clients, before, strict=True)))

        with_clients(second, stop)
        assert not first.server.connections


def test_queued_connections_are_accepted_at_the_end(start_tiny, connected) -> None:
    tiny = start_tiny()
    released = threading.Event()
    tiny._loop.call_soon_threadsafe(released.wait, 5)
    waiting = connected(tiny, 20)
    for connection in waiting:
        connection.sendall(GET)
    released.set()
    tiny.do(lambda: tiny.server.stop_listening(last=True))
    for connection in waiting:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200 ")


def test_connections_queued_at_the_limit_are_accepted_at_the_end(start_tiny, connected) -> None:
    tiny = start_tiny(connections=2)
    for connection in connected(tiny, 2):
        connection.sendall(later(0.5))
    tiny.until(lambda: len(tiny.handler.paths) == 2)
    waiting = connected(tiny, 5)
    for connection in waiting:
        connection.sendall(LAST)
    tiny.do(lambda: tiny.server.stop_listening(last=True))
    for connection in waiting:
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


@ON_LINUX
def test_stopped_server_lets_no_connection_into_its_queue(start_tiny) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tiny = start_tiny(listener.dup())
        tiny.do(lambda: tiny.server.stop_listening(last=True))
        with pytest.raises(TimeoutError):
            tiny.connect(seconds=0.2)


@ON_LINUX
def test_refusing_socket_keeps_its_connections(tiny, connected) -> None:
    (accepted,) = connected(tiny, 1)
    request_once(accepted)
    refuse_new_connections(tiny.listener)
    with pytest.raises(TimeoutError):
        tiny.connect(seconds=0.2)
    assert request_once(accepted).startswith(b"HTTP/1.1 200 ")


def test_drain_closes_idle_connections_and_lets_others_finish(start_tiny, connected) -> None:
    tiny = start_tiny(linger_s=5.0)
    silent, idle, lingering, busy, sending = connected(tiny, 5)
    request_once(idle)
    lingering.sendall(b"nonsense\r\n\r\n")
    busy.sendall(later(0.6))
    sending.sendall(HEAD % 5 + b"hel")
    tiny.until(lambda: "/later=0.6" in tiny.handler.paths)
    ending = threading.Thread(target=lambda: tiny.do(lambda: tiny.server.finish(5, 0.1)))
    ending.start()
    assert receive_all(silent) == receive_all(idle) == b""
    assert receive_all(lingering).startswith(b"HTTP/1.1 400 ")
    sending.sendall(b"lo")
    for connection in (busy, sending):
        response = receive_all(connection)
        assert response.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close\r\n" in response
        connection.close()
    ending.join()
    assert not tiny.server.connections


def test_drain_waits_for_streams(start_tiny, connected, responses) -> None:
    tiny = start_tiny()
    began, asking = connected(tiny, 2)
    slow = GET.replace(b"/echo", b"/slow=9x100")
    began.sendall(slow)
    tiny.until(lambda: tiny.handler.chunks_computed)
    tiny.server.draining = True
    asking.sendall(slow)
    tiny.do(lambda: tiny.server.finish(5, 0.1))
    for connection, closes in ((began, False), (asking, True)):
        (response,) = responses(receive_all(connection))
        assert (len(response.body), response.closes) == (900, closes)
    assert not tiny.server.connections


def test_drain_cuts_off_a_stream_that_takes_too_long(start_tiny, connected) -> None:
    tiny = start_tiny()
    (connection,) = connected(tiny, 1)
    connection.sendall(GET.replace(b"/echo", b"/slow=100000x100"))
    tiny.until(lambda: tiny.handler.chunks_computed)
    tiny.do(lambda: tiny.server.finish(0.2, 0.1))
    tiny.do(tiny.server.close)
    tiny.until(lambda: tiny.handler.streams_ended)
    assert not receive_all(connection).endswith(b"0\r\n\r\n")


def test_drain_ends_at_its_deadline(start_tiny, connected) -> None:
    tiny = start_tiny()
    busy, dribbling = connected(tiny, 2)
    busy.sendall(NEVER)
    dribbling.sendall(GET[:9])
    tiny.until(lambda: tiny.handler.paths)
    tiny.do(lambda: tiny.server.finish(0.2, 0.1))
    assert len(tiny.server.connections) == 2
    tiny.do(tiny.server.close)
    assert receive_all(busy) == receive_all(dribbling) == b""
    assert tiny.handler.canceled == 1
