"""The WSGI-to-ASGI bridge: bodies, headers and threads, with a real Flask app behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from threading import Event, get_ident
from typing import Any

import pytest

from service.serving.counters import CounterMap
from service.serving.metrics import Metrics
from service.web.bridge import DISCARD_S, Bridge, environ
from service.web.http_app import make_http_app

LIMIT = 1000


def started(app: Any, **changes: Any) -> Bridge:
    """A bridge to this app."""
    settings: dict[str, Any] = {
        "threads": 2,
        "max_body_bytes": LIMIT,
        "draining": Event(),
        "on_shutdown": lambda: None,
    }
    return Bridge(app, **settings | changes)


def scope(method: str = "POST", path: str = "/predict", *headers: tuple[bytes, bytes], **more: Any):
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": list(headers),
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5),
        **more,
    }


def part(body: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


class Client:
    """One request: hands its messages to the bridge one by one, and keeps the answer."""

    def __init__(self, messages: Iterable[dict[str, Any]] | AsyncIterator[dict[str, Any]]) -> None:
        self._messages = messages if hasattr(messages, "__anext__") else iter(messages)
        self.sent_bytes = 0
        self.sent_before_the_answer = -1
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def receive(self) -> dict[str, Any]:
        if hasattr(self._messages, "__anext__"):
            message = await anext(self._messages)
        else:
            message = next(self._messages)
        self.sent_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.sent_before_the_answer = self.sent_bytes
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message["body"]


async def asked(bridge: Bridge, request: dict[str, Any], *messages: dict[str, Any]) -> Client:
    client = Client(messages or [part()])
    await bridge(request, client.receive, client.send)
    return client


@pytest.fixture
def bridge(service) -> Bridge:
    return started(service.flask)


def echo(environment: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Tells what a WSGI app is given."""
    body = environment["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    plain = {k: v for k, v in environment.items() if isinstance(v, str)}
    return [json.dumps({**plain, "body": body.decode("latin-1")}).encode()]


def told(request: dict[str, Any], *messages: dict[str, Any]) -> dict[str, str]:
    """What an app behind the bridge is told of a request."""
    return json.loads(asyncio.run(asked(started(echo), request, *messages)).body)


GOOD = json.dumps({"instances": [[172, 95]]}).encode()


def test_a_body_in_pieces_is_put_together(bridge) -> None:
    pieces = [part(GOOD[:5], more=True), part(b"", more=True), part(GOOD[5:], more=True), part()]
    client = asyncio.run(asked(bridge, scope(), *pieces))
    assert client.status == 200
    assert client.headers["content-type"] == "application/json"
    assert json.loads(client.body)["predictions"][0]["label"] == "overweight"


def test_an_app_is_told_of_a_request_as_wsgi_asks() -> None:
    request = scope(
        "PUT",
        "/m\u00e9/\U0001f600",
        (b"content-type", b"text/csv"),
        (b"x-many", b"1"),
        (b"x-many", b"2"),
        query_string=b"q=%FF&\xe9",
    )
    environment = told(request, part(b"\xff\x00"))
    assert environment["REQUEST_METHOD"] == "PUT"
    assert environment["PATH_INFO"].encode("latin-1").decode() == "/m\u00e9/\U0001f600"
    assert environment["QUERY_STRING"] == "q=%FF&\u00e9"
    assert environment["CONTENT_TYPE"] == "text/csv"
    assert environment["CONTENT_LENGTH"] == "2"
    assert environment["HTTP_X_MANY"] == "1,2"
    assert environment["body"] == "\xff\x00"
    assert environment["REMOTE_ADDR"] == "127.0.0.1"


def test_a_path_that_is_not_utf_8_comes_through_as_it_was_sent() -> None:
    path = b"/\xff".decode("utf-8", "surrogateescape")
    assert told(scope("GET", path))["PATH_INFO"] == "/\u00ff"


def test_a_header_with_an_underscore_is_not_taken_for_one_with_a_dash() -> None:
    environment = told(scope("GET", "/", (b"x_request_id", b"evil"), (b"x-request-id", b"good")))
    assert environment["HTTP_X_REQUEST_ID"] == "good"
    assert "HTTP_X_REQUEST_ID" not in told(scope("GET", "/", (b"x_request_id", b"evil")))


def test_a_scope_without_addresses_will_do() -> None:
    environment = environ(scope("GET", "/", server=None, client=None), b"")
    assert (environment["SERVER_NAME"], environment["REMOTE_ADDR"]) == ("localhost", "")


async def endless() -> AsyncIterator[dict[str, Any]]:
    """A body that does not end by itself."""
    for _ in range(10_000):
        yield part(b"x" * 100, more=True)
    raise AssertionError("nobody may read so much")


@pytest.mark.parametrize("length", [b"1001", b"9" * 18, b"9" * 5000])
def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_read(
    bridge, failed, length: bytes
) -> None:
    client = asyncio.run(
        asked(bridge, scope("POST", "/predict", (b"content-length", length)), part(b"x" * 1001))
    )
    assert client.sent_before_the_answer == 0
    assert (client.status, json.loads(client.body)["code"]) == (413, "body_too_large")
    assert client.headers["content-type"] == "application/json"
    assert client.headers["x-request-id"]
    assert client.headers["connection"] == "close"


@pytest.mark.parametrize("encoding", [b"chunked", b"Chunked", b""])
def test_a_body_that_turns_out_too_large_is_refused_and_not_kept(bridge, encoding: bytes) -> None:
    headers = [(b"transfer-encoding", encoding)] if encoding else []

    async def ask() -> Client:
        client = Client(endless())
        with pytest.raises(AssertionError, match="so much"):  # what is left over is thrown away
            await bridge(scope("POST", "/predict", *headers), client.receive, client.send)
        return client

    client = asyncio.run(ask())
    assert (client.status, json.loads(client.body)["code"]) == (413, "body_too_large")
    assert client.sent_before_the_answer == LIMIT + 100


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_a_chunked_body_is_never_cut_off_silently(bridge, size: int) -> None:
    # Rows that were cut off would be answered as if they were all.
    csv = b"height_cm,weight_kg\n".ljust(LIMIT - 1, b"\n") + b"\n" * (size - LIMIT + 1)
    headers = ((b"transfer-encoding", b"chunked"), (b"content-type", b"text/csv"))
    client = asyncio.run(asked(bridge, scope("POST", "/predict", *headers), part(csv)))
    assert client.status == (200 if size == LIMIT else 413)


def test_what_is_left_of_a_refused_body_is_taken_for_a_while(bridge) -> None:
    # A client that sends before it reads would meet a reset, and never the answer.
    length = (b"content-length", b"5000")
    pieces = [part(b"x" * 1000, more=True)] * 4 + [part(b"x" * 1000)]
    client = asyncio.run(asked(bridge, scope("POST", "/predict", length), *pieces))
    assert client.status == 413
    assert client.sent_bytes == 5000
    assert DISCARD_S < 10


def test_a_body_that_takes_too_long_is_refused_in_the_one_shape(service) -> None:
    async def dribble() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield part(b"x", more=True)
            await asyncio.sleep(0.01)

    async def ask() -> Client:
        client = Client(dribble())
        bridge = started(service.flask, body_s=0.05)
        request = scope("POST", "/predict", (b"content-length", b"900"))
        asking = asyncio.create_task(bridge(request, client.receive, client.send))
        while not client.body:
            assert not asking.done()
            await asyncio.sleep(0.01)
        asking.cancel()
        return client

    client = asyncio.run(asyncio.wait_for(ask(), 5))
    assert (client.status, json.loads(client.body)["code"]) == (408, "body_too_slow")
    assert client.headers["content-type"] == "application/json"
    assert client.headers["connection"] == "close"


def test_a_client_that_goes_away_takes_no_thread() -> None:
    called: list[str] = []

    def app(environment, start_response):
        called.append(environment["PATH_INFO"])
        return echo(environment, start_response)

    async def ask() -> Client:
        bridge = started(app, threads=1)
        client = await asked(bridge, scope(), part(b"half", more=True), GONE)
        assert bridge.running == 0
        return client

    client = asyncio.run(ask())
    assert (client.status, called) == (0, [])


def test_bodies_that_dribble_in_hold_nobody_up(service) -> None:
    async def stalled(sent: asyncio.Event) -> AsyncIterator[dict[str, Any]]:
        yield part(GOOD[:5], more=True)
        await sent.wait()
        yield part(GOOD[5:])

    async def ask() -> None:
        bridge = started(service.flask, threads=1)
        sent = asyncio.Event()
        slow = [Client(stalled(sent)) for _ in range(50)]
        asking = [asyncio.create_task(bridge(scope(), c.receive, c.send)) for c in slow]
        await asyncio.sleep(0)
        assert bridge.running == 50
        quick = await asyncio.wait_for(asked(bridge, scope(), part(GOOD)), 5)
        assert quick.status == 200
        assert not any(client.status for client in slow)
        sent.set()
        await asyncio.gather(*asking)
        assert [client.status for client in slow] == [200] * 50
        assert bridge.running == 0

    asyncio.run(ask())


def test_requests_are_answered_side_by_side_in_threads() -> None:
    both_here = [Event(), Event()]
    threads = set()

    def app(environment, start_response):
        mine = int(environment["QUERY_STRING"])
        both_here[mine].set()
        assert both_here[1 - mine].wait(5)
        threads.add(get_ident())
        return echo(environment, start_response)

    async def ask() -> list[Client]:
        bridge = started(app, threads=2)
        return await asyncio.gather(
            *(asked(bridge, scope("GET", "/", query_string=q)) for q in (b"0", b"1"))
        )

    assert [client.status for client in asyncio.run(ask())] == [200, 200]
    assert len(threads) == 2


def test_an_exception_in_the_app_is_a_500_in_the_one_shape_with_its_id_in_the_log(caplog) -> None:
    counters = CounterMap(slots=1)
    counters.take(0)
    app = make_http_app([], Metrics(counters.worker(0)), max_body_bytes=LIMIT, access_log=False)

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError("the reason")

    client = asyncio.run(asked(started(app), scope("GET", "/fails", (b"x-request-id", b"mine"))))
    assert (client.status, json.loads(client.body)["code"]) == (500, "internal_error")
    assert client.headers["content-type"] == "application/json"
    assert client.headers["x-request-id"] == "mine"
    assert [record.request_id for record in caplog.records] == ["mine"]


def test_a_request_that_fails_is_not_counted_as_running_for_ever() -> None:
    def app(environment, start_response):
        raise RuntimeError("a fault outside Flask")

    bridge = started(app)
    with pytest.raises(RuntimeError, match="outside Flask"):
        asyncio.run(asked(bridge, scope()))
    assert bridge.running == 0


def test_the_app_closes_what_it_opened() -> None:
    closed = []

    class Chunks:
        def __iter__(self):
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(True)

    def app(environment, start_response):
        start_response("200 OK", [])
        return Chunks()

    assert asyncio.run(asked(started(app), scope())).body == b"ab"
    assert closed == [True]


def test_from_the_signal_to_stop_on_every_answer_closes_its_connection(service) -> None:
    async def ask() -> tuple[Client, Client]:
        bridge = started(service.flask)
        before = await asked(bridge, scope("GET", "/health/live"))
        bridge.drain()
        return before, await asked(bridge, scope("GET", "/health/live"))

    before, after = asyncio.run(ask())
    assert "connection" not in before.headers
    assert (after.status, after.headers["connection"]) == (200, "close")


def test_start_and_end_of_the_server_are_confirmed() -> None:
    ended = []

    async def live() -> list[str]:
        bridge = started(echo, on_shutdown=lambda: ended.append(True))
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent: list[str] = []

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await bridge({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert ended == [True]


def test_a_websocket_is_closed() -> None:
    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await started(echo)({"type": "websocket"}, send, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(ask()) == [{"type": "websocket.close", "code": 1000}]
