"""The Flask door: what an app is told of a request, its threads, and what never reaches it."""

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
from tests.service.web.handlers.asking_handlers import Told, answers, whole


def asked(method: str = "GET", path: str = "/", **more: Any) -> Request:
    given = {"query": b"", "headers": {"host": "door"}, "body": b"", "version": "1.1"}
    return Request(method, path, **{**given, "client": "127.0.0.1", **more})


def echo(environment: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Tells what a WSGI app is given."""
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
def door_of(metrics) -> Iterator[Callable[..., WsgiHandler]]:
    """Makes a door to an app, with so many threads for POST and one for each other kind."""
    made: list[HandlerThreads] = []

    def make(app: Any, work: int = 1, max_waiting: int = 5) -> WsgiHandler:
        threads = HandlerThreads(
            work=ResponseThreads(work, max_waiting, "work"),
            probes=ResponseThreads(1, max_waiting, "probe"),
            pages=ResponseThreads(1, max_waiting, "page"),
        )
        made.append(threads)
        return WsgiHandler(app, metrics, threads)

    yield make
    for threads in made:
        threads.close()


def counted(counters: SharedState) -> dict[tuple[str, str], float]:
    """Ended requests by route and status, as a scrape tells them."""
    return {
        (sample.labels["route"], sample.labels["code"]): sample.value
        for family in MetricsCollector(counters, "1.2.3").collect()
        for sample in family.samples
        if sample.name == "pigeonhole_requests_total"
    }


def test_an_app_is_told_of_a_request_as_wsgi_asks(door_of) -> None:
    headers = {
        "host": "door:80",
        "content-type": "text/csv",
        "x-many": "1,2",
        "x-e": "\xe9",
    }
    (answer,) = answers(
        door_of(echo),
        asked("PUT", "/m\u00e9/\U0001f600", query=b"q=%FF&\xe9", headers=headers, body=b"\xff\x00"),
    )
    environment = json.loads(answer.data)
    assert environment["REQUEST_METHOD"] == "PUT"
    assert environment["PATH_INFO"].encode("latin-1").decode() == "/m\u00e9/\U0001f600"
    assert environment["QUERY_STRING"] == "q=%FF&\u00e9"
    assert environment["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environment["CONTENT_TYPE"] == "text/csv"
    assert environment["CONTENT_LENGTH"] == "2"
    assert environment["HTTP_HOST"] == "door:80"
    assert environment["HTTP_X_MANY"] == "1,2"
    assert environment["HTTP_X_E"] == "\u00e9"
    assert environment["REMOTE_ADDR"] == "127.0.0.1"
    assert environment["body"] == "\xff\x00"


def test_an_app_is_told_the_length_of_what_was_read_and_not_how_it_was_sent() -> None:
    headers = {"transfer-encoding": "chunked", "content-length": "7", "upgrade": "websocket"}
    environment = environ(asked(headers=headers, body=b"four"))
    assert environment["CONTENT_LENGTH"] == "4"
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH", "HTTP_UPGRADE"} & set(environment)


def test_a_header_with_an_underscore_is_not_taken_for_one_with_a_dash() -> None:
    both = {"x_request_id": "evil", "x-request-id": "good"}
    assert environ(asked(headers=both))["HTTP_X_REQUEST_ID"] == "good"
    assert "HTTP_X_REQUEST_ID" not in environ(asked(headers={"x_request_id": "evil"}))


@pytest.mark.parametrize(
    "host", [None, "", "..", ".", "a..b", "x" * 300, "x" * 64 + ".y:8", "xn--a"]
)
def test_a_host_that_can_be_none_is_passed_over(door_of, metrics, host: str | None) -> None:
    headers = {} if host is None else {"host": host}
    app = make_http_app(
        [], metrics, authenticator=Authenticator(None), max_body_bytes=9, request_log=None
    )
    assert environ(asked(headers=headers))["HTTP_HOST"] == "localhost"
    (answer,) = answers(door_of(app), asked(headers=headers))
    assert answer.status_code == 404  # and not 400


@pytest.mark.parametrize("host", ["door", "my_service:8000", "[::1]:80", "\xe9.example", "a b"])
def test_any_other_host_is_handed_on(host: str) -> None:
    assert environ(asked(headers={"host": host}))["HTTP_HOST"] == host


def test_posts_are_answered_side_by_side(door_of) -> None:
    both_here = [Event(), Event()]

    def app(environment, start_response):
        mine = int(environment["QUERY_STRING"])
        both_here[mine].set()
        assert both_here[1 - mine].wait(5)
        return echo(environment, start_response)

    found = answers(door_of(app, work=2), *(asked("POST", query=query) for query in (b"0", b"1")))
    assert [answer.status_code for answer in found] == [200, 200]


@pytest.mark.parametrize(
    ("held", "quick"),
    [
        (asked("POST"), asked("GET")),
        (asked("GET", "/metrics"), asked("GET", "/health/live")),
    ],
)
def test_no_page_waits_behind_a_post_and_no_probe_behind_a_page(door_of, held, quick) -> None:
    quick_was_here = Event()

    def app(environment, start_response):
        if environment["REQUEST_METHOD"] == held.method and environment["PATH_INFO"] == held.path:
            assert quick_was_here.wait(5)
        else:
            quick_was_here.set()
        return echo(environment, start_response)

    found = answers(door_of(app), *[held] * 3, quick)
    assert [answer.status_code for answer in found] == [200] * 4


def test_what_finds_no_room_is_refused_with_its_id_and_counted(door_of, counters, failed) -> None:
    held = Event()

    def app(environment, start_response):
        assert held.wait(5)
        return echo(environment, start_response)

    async def ask() -> Told:
        handler = door_of(app, work=1, max_waiting=1)
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in range(2)]
        for future in waiting:
            handler(asked("POST"), future.set_result)
        refused: list[WireResponse] = []
        handler(asked("POST", headers={"x-request-id": "mine"}), refused.append)
        assert not refused  # not before its turn: what comes behind it may be read then
        held.set()
        for future in waiting:
            assert Told(await asyncio.wait_for(future, 10)).status_code == 200
        return Told(refused[0])

    answer = asyncio.run(ask())
    failed(answer, 503, "overloaded")
    assert answer.headers["X-Request-Id"] == "mine"
    assert answer.headers["Retry-After"]
    assert counted(counters) == {(UNKNOWN_ROUTE, "503"): 1}


def test_a_request_whose_client_has_gone_before_its_turn_never_reaches_the_app(
    door_of, counters
) -> None:
    began, held, bodies = Event(), Event(), []

    def app(environment, start_response):
        began.set()
        assert held.wait(5)
        bodies.append(environment["wsgi.input"].read())
        return echo(environment, start_response)

    async def ask() -> None:
        handler = door_of(app)
        loop = asyncio.get_running_loop()
        first, last = loop.create_future(), loop.create_future()
        handler(asked("POST", body=b"first"), first.set_result)
        cancel = handler(
            asked("POST", body=b"gone"), lambda _answer: pytest.fail("nobody is there")
        )
        handler(asked("POST", body=b"last"), last.set_result)
        await loop.run_in_executor(None, began.wait, 5)
        assert cancel is not None
        cancel()
        held.set()
        await asyncio.wait_for(first, 10)
        await asyncio.wait_for(last, 10)

    asyncio.run(ask())
    assert bodies == [b"first", b"last"]
    assert counted(counters) == {(UNKNOWN_ROUTE, "499"): 1}


def test_what_is_not_modified_has_no_length_and_one_date(door_of) -> None:
    def app(environment, start_response):
        start_response("304 Not Modified", [("ETag", "x"), ("Date", "yesterday")])
        return []

    async def ask() -> WireResponse:
        answer = asyncio.get_running_loop().create_future()
        door_of(app)(asked("GET"), answer.set_result)
        return await asyncio.wait_for(answer, 10)

    assert asyncio.run(ask()).head == b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n"


def test_an_answer_is_made_in_a_thread_and_given_on_the_loop(door_of) -> None:
    made_in = []

    def app(environment, start_response):
        made_in.append(current_thread().name)
        return echo(environment, start_response)

    async def ask() -> list[str]:
        given_in: list[str] = []
        done = asyncio.Event()

        def respond(_answer: WireResponse) -> None:
            given_in.append(current_thread().name)
            done.set()

        door_of(app)(asked(), respond)
        await asyncio.wait_for(done.wait(), 10)
        return given_in

    assert asyncio.run(ask()) == ["MainThread"]
    assert made_in[0].startswith("page")


def test_a_fault_in_a_view_is_a_500_in_the_one_shape_with_its_id_in_the_log(
    door_of, metrics, failed, caplog
) -> None:
    app = make_http_app(
        [], metrics, authenticator=Authenticator(None), max_body_bytes=9, request_log=None
    )

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError("a secret detail")

    (answer,) = answers(door_of(app), asked("GET", "/fails", headers={"x-request-id": "mine"}))
    assert "a secret detail" not in failed(answer, 500, "internal_error")["error"]
    assert answer.headers["X-Request-Id"] == "mine"
    assert [record.request_id for record in caplog.records] == ["mine"]


def test_a_fault_outside_the_app_is_a_500_too_and_counted(
    door_of, counters, failed, caplog
) -> None:
    def app(_environment, _start_response):
        raise RuntimeError("a secret detail")

    (answer,) = answers(door_of(app), asked("GET", headers={"x-request-id": "mine"}))
    assert "a secret detail" not in failed(answer, 500, "internal_error")["error"]
    assert answer.headers["X-Request-Id"] == "mine"
    assert counted(counters) == {(UNKNOWN_ROUTE, "500"): 1}
    assert str(caplog.records[0].exc_info[1]) == "a secret detail"


def test_what_never_became_a_request_is_answered_in_the_one_shape_and_counted(
    door_of, counters, failed
) -> None:
    answer = Told(door_of(echo).refuse(RequestTimeout("the body took too long to arrive")))
    body = failed(answer, 408, "request_too_slow")
    assert body["error"] == "the body took too long to arrive"
    assert counted(counters) == {(UNKNOWN_ROUTE, "408"): 1}


class Chunks:
    """What an app gives, and how often it was closed; an iterator, as Werkzeug's are."""

    def __init__(self, *chunks: bytes) -> None:
        self._left, self.given, self.closed = iter(chunks), 0, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = next(self._left)
        self.given += 1
        return chunk

    def close(self) -> None:
        self.closed += 1


def giving(chunks: Chunks, *headers: tuple[str, str]) -> Callable[..., Chunks]:
    """An app that gives them."""

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
def test_an_app_closes_what_it_opened_and_its_length_is_told(door_of, chunks, headers) -> None:
    (answer,) = answers(door_of(giving(chunks, *headers)), asked())
    told = {name.lower(): value for name, value in answer.headers.items()}
    assert told["content-length"] == str(len(answer.data))
    assert chunks.closed == 1


def test_what_an_app_gives_in_pieces_is_asked_for_piece_by_piece(door_of) -> None:
    chunks = Chunks(b"a", b"b", b"", b"c", b"d")

    async def ask() -> Told:
        waiting = asyncio.get_running_loop().create_future()
        door_of(giving(chunks))(asked(), waiting.set_result)
        answer = await asyncio.wait_for(waiting, 10)
        assert chunks.given == 2
        assert chunks.closed == 0
        return await whole(answer)

    answer = asyncio.run(ask())
    assert answer.data == b"abcd"
    assert "Content-Length" not in answer.headers
    assert chunks.closed == 1


def test_an_app_whose_pieces_nobody_wants_any_more_closes_what_it_opened(door_of) -> None:
    chunks = Chunks(b"a", b"b", b"c")

    async def ask() -> None:
        waiting = asyncio.get_running_loop().create_future()
        door_of(giving(chunks))(asked(), waiting.set_result)
        (await asyncio.wait_for(waiting, 10)).stream.close()

    asyncio.run(ask())
    assert (chunks.given, chunks.closed) == (2, 1)
