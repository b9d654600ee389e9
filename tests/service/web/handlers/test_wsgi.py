"""The WSGI handler: the environ, threads, errors and streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from threading import Event, current_thread
from typing import Any

import pytest
from werkzeug.exceptions import RequestTimeout

from pigeonhole.service.serving.metrics import UNKNOWN_ROUTE, Metrics
from pigeonhole.service.serving.metrics_collector import MetricsCollector
from pigeonhole.service.serving.shared_state import SharedState
from pigeonhole.service.web.auth import Authenticator
from pigeonhole.service.web.handlers.flask_app import make_http_app
from pigeonhole.service.web.handlers.threads import ResponseThreads
from pigeonhole.service.web.handlers.wsgi import HandlerThreads, WsgiHandler, environ
from pigeonhole.service.web.http.messages import Request, WireResponse
from tests.service.web.handlers.handler_client import ClientResponse, read_response, responses_of


def make_request(method: str = "GET", path: str = "/", **more: Any) -> Request:
    defaults = {"query": b"", "headers": {"host": "x"}, "body": b"", "version": "1.1"}
    return Request(method, path, **{**defaults, "client": "127.0.0.1", **more})


def echo(environment: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Respond with the environ as JSON (a WSGI app)."""
    body = environment["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    plain = {name: value for name, value in environment.items() if isinstance(value, str)}
    return [json.dumps({**plain, "body": body.decode("latin-1")}).encode()]


@pytest.fixture
def counters() -> SharedState:
    counters = SharedState(slots=1)
    counters.claim(0)
    return counters


@pytest.fixture
def metrics(counters) -> Metrics:
    return Metrics(counters.worker(0))


@pytest.fixture
def handler_for(metrics) -> Iterator[Callable[..., WsgiHandler]]:
    """Make a handler of an app: ``work`` threads for POST, one for each other kind."""
    opened: list[HandlerThreads] = []

    def make(app: Any, work: int = 1, max_waiting: int = 5) -> WsgiHandler:
        threads = HandlerThreads(
            work=ResponseThreads(work, max_waiting, "work"),
            probes=ResponseThreads(1, max_waiting, "probe"),
            pages=ResponseThreads(1, max_waiting, "page"),
        )
        opened.append(threads)
        return WsgiHandler(app, metrics, threads)

    yield make
    for threads in opened:
        threads.close()


def counted(counters: SharedState) -> dict[tuple[str, str], float]:
    """Return the number of finished requests by route and status."""
    return {
        (sample.labels["route"], sample.labels["code"]): sample.value
        for family in MetricsCollector(counters, "1.2.3").collect()
        for sample in family.samples
        if sample.name == "pigeonhole_requests_total"
    }


def test_environ_follows_pep_3333(handler_for) -> None:
    headers = {
        "host": "x:80",
        "content-type": "text/csv",
        "x-many": "1,2",
        "x-e": "\xe9",
    }
    (response,) = responses_of(
        handler_for(echo),
        make_request(
            "PUT", "/m\u00e9/\U0001f600", query=b"q=%FF&\xe9", headers=headers, body=b"\xff\x00"
        ),
    )
    environment = json.loads(response.data)
    assert environment["REQUEST_METHOD"] == "PUT"
    assert environment["PATH_INFO"].encode("latin-1").decode() == "/m\u00e9/\U0001f600"
    assert environment["QUERY_STRING"] == "q=%FF&\u00e9"
    assert environment["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environment["CONTENT_TYPE"] == "text/csv"
    assert environment["CONTENT_LENGTH"] == "2"
    assert environment["HTTP_HOST"] == "x:80"
    assert environment["HTTP_X_MANY"] == "1,2"
    assert environment["HTTP_X_E"] == "\u00e9"
    assert environment["REMOTE_ADDR"] == "127.0.0.1"
    assert environment["body"] == "\xff\x00"


def test_environ_has_the_length_of_the_body_and_no_transfer_headers() -> None:
    headers = {"transfer-encoding": "chunked", "content-length": "7", "upgrade": "websocket"}
    environment = environ(make_request(headers=headers, body=b"four"))
    assert environment["CONTENT_LENGTH"] == "4"
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_UPGRADE"} & set(environment)


def test_header_with_an_underscore_is_dropped() -> None:
    both = {"x_request_id": "evil", "x-request-id": "good"}
    assert environ(make_request(headers=both))["HTTP_X_REQUEST_ID"] == "good"
    assert "HTTP_X_REQUEST_ID" not in environ(make_request(headers={"x_request_id": "evil"}))


@pytest.mark.parametrize(
    "host", [None, "", "..", ".", "a..b", "x" * 300, "x" * 64 + ".y:8", "xn--a"]
)
def test_invalid_host_is_ignored(handler_for, metrics, host: str | None) -> None:
    headers = {} if host is None else {"host": host}
    app = make_http_app(
        [], metrics, authenticator=Authenticator(None), max_body_bytes=9, request_log=None
    )
    assert environ(make_request(headers=headers))["HTTP_HOST"] == "localhost"
    (response,) = responses_of(handler_for(app), make_request(headers=headers))
    assert response.status_code == 404  # not 400


@pytest.mark.parametrize("host", ["x", "my_service:8000", "[::1]:80", "\xe9.example", "a b"])
def test_valid_host_is_passed_on(host: str) -> None:
    assert environ(make_request(headers={"host": host}))["HTTP_HOST"] == host


def test_posts_run_in_parallel(handler_for) -> None:
    arrived = [Event(), Event()]

    def app(environment, start_response):
        mine = int(environment["QUERY_STRING"])
        arrived[mine].set()
        assert arrived[1 - mine].wait(5)
        return echo(environment, start_response)

    found = responses_of(
        handler_for(app, work=2), *(make_request("POST", query=query) for query in (b"0", b"1"))
    )
    assert [response.status_code for response in found] == [200, 200]


@pytest.mark.parametrize(
    ("held", "quick"),
    [
        (make_request("POST"), make_request("GET")),
        (make_request("GET", "/metrics"), make_request("GET", "/health/live")),
    ],
)
def test_pages_do_not_wait_for_posts_nor_probes_for_pages(handler_for, held, quick) -> None:
    quick_arrived = Event()

    def app(environment, start_response):
        if environment["REQUEST_METHOD"] == held.method and environment["PATH_INFO"] == held.path:
            assert quick_arrived.wait(5)
        else:
            quick_arrived.set()
        return echo(environment, start_response)

    found = responses_of(handler_for(app), *[held] * 3, quick)
    assert [response.status_code for response in found] == [200] * 4


def test_full_queue_rejects_with_request_id_and_is_counted(handler_for, counters, failed) -> None:
    released = Event()

    def app(environment, start_response):
        assert released.wait(5)
        return echo(environment, start_response)

    async def send() -> ClientResponse:
        handler = handler_for(app, work=1, max_waiting=1)
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in range(2)]
        for future in waiting:
            handler(make_request("POST"), future.set_result)
        rejected: list[WireResponse] = []
        handler(make_request("POST", headers={"x-request-id": "mine"}), rejected.append)
        assert not rejected  # responding at once would dispatch the next pipelined request
        released.set()
        for future in waiting:
            assert ClientResponse(await asyncio.wait_for(future, 10)).status_code == 200
        return ClientResponse(rejected[0])

    response = asyncio.run(send())
    failed(response, 503, "overloaded")
    assert response.headers["X-Request-Id"] == "mine"
    assert response.headers["Retry-After"]
    assert counted(counters) == {(UNKNOWN_ROUTE, "503"): 1}


def test_queued_request_of_a_disconnected_client_never_reaches_the_app(
    handler_for, counters
) -> None:
    began, released, bodies = Event(), Event(), []

    def app(environment, start_response):
        began.set()
        assert released.wait(5)
        bodies.append(environment["wsgi.input"].read())
        return echo(environment, start_response)

    async def send() -> None:
        handler = handler_for(app)
        loop = asyncio.get_running_loop()
        first, last = loop.create_future(), loop.create_future()
        handler(make_request("POST", body=b"first"), first.set_result)
        cancel = handler(
            make_request("POST", body=b"gone"),
            lambda _response: pytest.fail("the client has disconnected"),
        )
        handler(make_request("POST", body=b"last"), last.set_result)
        await loop.run_in_executor(None, began.wait, 5)
        assert cancel is not None
        cancel()
        released.set()
        await asyncio.wait_for(first, 10)
        await asyncio.wait_for(last, 10)

    asyncio.run(send())
    assert bodies == [b"first", b"last"]
    assert counted(counters) == {(UNKNOWN_ROUTE, "499"): 1}


def test_not_modified_response_has_no_length_and_no_second_date(handler_for) -> None:
    def app(environment, start_response):
        start_response("304 Not Modified", [("ETag", "x"), ("Date", "yesterday")])
        return []

    async def send() -> WireResponse:
        response = asyncio.get_running_loop().create_future()
        handler_for(app)(make_request("GET"), response.set_result)
        return await asyncio.wait_for(response, 10)

    assert asyncio.run(send()).head == b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n"


def test_app_runs_in_a_thread_and_its_response_is_sent_on_the_loop(handler_for) -> None:
    ran_in = []

    def app(environment, start_response):
        ran_in.append(current_thread().name)
        return echo(environment, start_response)

    async def send() -> list[str]:
        sent_in: list[str] = []
        done = asyncio.Event()

        def respond(_response: WireResponse) -> None:
            sent_in.append(current_thread().name)
            done.set()

        handler_for(app)(make_request(), respond)
        await asyncio.wait_for(done.wait(), 10)
        return sent_in

    assert asyncio.run(send()) == ["MainThread"]
    assert ran_in[0].startswith("page")


def test_failing_view_is_500_and_logged_with_the_request_id(
    handler_for, metrics, failed, caplog
) -> None:
    app = make_http_app(
        [], metrics, authenticator=Authenticator(None), max_body_bytes=9, request_log=None
    )

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError("a secret detail")

    (response,) = responses_of(
        handler_for(app), make_request("GET", "/fails", headers={"x-request-id": "mine"})
    )
    assert "a secret detail" not in failed(response, 500, "internal_error")["error"]
    assert response.headers["X-Request-Id"] == "mine"
    assert [record.request_id for record in caplog.records] == ["mine"]


def test_failing_app_is_500_and_counted(handler_for, counters, failed, caplog) -> None:
    def app(_environment, _start_response):
        raise RuntimeError("a secret detail")

    (response,) = responses_of(
        handler_for(app), make_request("GET", headers={"x-request-id": "mine"})
    )
    assert "a secret detail" not in failed(response, 500, "internal_error")["error"]
    assert response.headers["X-Request-Id"] == "mine"
    assert counted(counters) == {(UNKNOWN_ROUTE, "500"): 1}
    assert str(caplog.records[0].exc_info[1]) == "a secret detail"


def test_refused_bytes_get_an_error_response_and_are_counted(handler_for, counters, failed) -> None:
    response = ClientResponse(
        handler_for(echo).refuse(RequestTimeout("the body took too long to arrive"))
    )
    body = failed(response, 408, "request_too_slow")
    assert body["error"] == "the body took too long to arrive"
    assert counted(counters) == {(UNKNOWN_ROUTE, "408"): 1}


class Chunks:
    """The chunks of an app, an iterator as Werkzeug's are; counts reads and closes."""

    def __init__(self, *chunks: bytes) -> None:
        self._left, self.read, self.closed = iter(chunks), 0, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._left)
        self.read += 1
        return chunk

    def close(self) -> None:
        self.closed += 1


def app_with(chunks: Chunks, *headers: tuple[str, str]) -> Callable[..., Chunks]:
    """Return an app that responds with these chunks."""

    def app(_environment, start_response):
        start_response("200 OK", [*headers, ("X-Many", "1"), ("X-Many", "2")])
        return chunks

    return app


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        (Chunks(), []),
        (Chunks(b"abc"), []),
        (Chunks(b"a", b"", b"bc"), [("content-length", "3")]),
    ],
)
def test_chunks_are_closed_and_the_length_is_sent(handler_for, chunks, headers) -> None:
    (response,) = responses_of(handler_for(app_with(chunks, *headers)), make_request())
    headers_of = {name.lower(): value for name, value in response.headers.items()}
    assert headers_of["content-length"] == str(len(response.data))
    assert chunks.closed == 1


def test_chunks_are_requested_one_by_one(handler_for) -> None:
    chunks = Chunks(b"a", b"b", b"", b"c", b"d")

    async def send() -> ClientResponse:
        waiting = asyncio.get_running_loop().create_future()
        handler_for(app_with(chunks))(make_request(), waiting.set_result)
        response = await asyncio.wait_for(waiting, 10)
        assert chunks.read == 2
        assert chunks.closed == 0
        return await read_response(response)

    response = asyncio.run(send())
    assert response.data == b"abcd"
    assert "Content-Length" not in response.headers
    assert chunks.closed == 1


def test_closed_stream_closes_the_chunks(handler_for) -> None:
    chunks = Chunks(b"a", b"b", b"c")

    async def send() -> None:
        waiting = asyncio.get_running_loop().create_future()
        handler_for(app_with(chunks))(make_request(), waiting.set_result)
        (await asyncio.wait_for(waiting, 10)).stream.close()

    asyncio.run(send())
    assert (chunks.read, chunks.closed) == (2, 1)
