"""One connection over a real socket: requests, errors, streams and random input."""

from __future__ import annotations

import socket
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GET = b"GET /echo HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HEAD_BYTES = 32 * 1024


def post(body: bytes, path: bytes = b"/echo") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path, len(body), body)


def later(seconds: float) -> bytes:
    return b"GET /later=%a HTTP/1.1\r\nHost: x\r\n\r\n" % seconds


# Requests.


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 70_000, b"y" * 900_000])
def test_body_arrives_complete_with_length_or_chunks(tiny, responses, body: bytes) -> None:
    chunks = b"".join(
        b"%x;note=1\r\n%s\r\n" % (len(part), part)
        for part in (body[at : at + 9999] for at in range(0, len(body), 9999))
    )
    for request in (post(body), CHUNKED + chunks + b"0\r\nTrailer: dropped\r\n\r\n"):
        (response, last) = responses(tiny.exchange(request + LAST))
        assert (response.json["method"], response.json["path"]) == ("POST", "/echo")
        assert "trailer" not in response.json["headers"]
        assert last.json["path"] == "/last"
    assert [sent for sent in tiny.handler.bodies if sent] == [body] * 2 * bool(body)


def test_request_may_arrive_byte_by_byte(tiny, responses) -> None:
    sent = b"POST /echo?a=b HTTP/1.1\r\nHost: x\r\nA:\r\nB: c \t\r\nContent-Length: 5 \r\n\r\nhello"
    sent += CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n" + LAST
    parts = [sent[at : at + 1] for at in range(len(sent))]
    first, second, last = responses(tiny.exchange(*parts, pause=0.0005))
    assert first.json["headers"] == {"host": "x", "a": "", "b": "c", "content-length": "5"}
    assert (first.json["query"], first.json["bytes"], second.json["bytes"]) == ("a=b", 5, 5)
    assert last.json["path"] == "/last"
    assert tiny.handler.bodies == [b"hello", b"hello", b""]


def test_pipelined_requests_are_answered_in_order(tiny, responses) -> None:
    sent = later(0.1) + GET + b"\r\n" + later(0.02) + post(b"abc") + LAST
    paths = [response.json["path"] for response in responses(tiny.exchange(sent))]
    assert paths == ["/later=0.1", "/echo", "/later=0.02", "/echo", "/last"]


def test_server_queues_few_of_thousands_of_pipelined_requests(tiny, responses, connected) -> None:
    (connection,) = connected(tiny, 1)
    connection.sendall(later(0.3) + (GET + b"\r\n") * 5000 + LAST[:20])
    tiny.until(lambda: tiny.handler.paths)
    time.sleep(0.1)
    (server_side,) = tiny.server.connections
    assert len(server_side._pipeline) < 600
    connection.sendall(LAST[20:])
    assert len(responses(receive_all(connection))) == 5002
    assert tiny.handler.paths == ["/later=0.3", *["/echo"] * 5000, "/last"]


def test_head_response_has_no_body_and_options_accepts_an_asterisk(tiny, responses) -> None:
    (response,) = responses(tiny.exchange(LAST.replace(b"GET", b"HEAD")), head=True)
    assert (response.status, response.body) == (200, b"")
    both = tiny.exchange((GET + b"\r\n").replace(b"GET", b"HEAD") + LAST)
    assert both.count(b"\r\n\r\nHTTP/1.1 200 ") == 1
    (response,) = responses(tiny.exchange(LAST.replace(b"GET /last", b"OPTIONS *")))
    assert (response.json["method"], response.json["path"]) == ("OPTIONS", "*")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"http://elsewhere:80/a?b=c", "/a", "b=c"),
        (b"http://elsewhere", "/", ""),
        (b"//twice//", "//twice//", ""),
        (b"/%C3%A9%F0%9F%98%80?%C3%A9", "/\u00e9\U0001f600", "%C3%A9"),
        (b"/%ff%00%2F", "/\ufffd\x00/", ""),
        (b"/a?b?c#d", "/a", "b?c"),
        (b"/" + b"a" * 8191, "/" + "a" * 8191, ""),
    ],
)
def test_target_is_split_into_path_and_query(
    tiny, responses, target: bytes, path: str, query: str
) -> None:
    (response,) = responses(tiny.exchange(LAST.replace(b"/last", target)))
    assert (response.json["path"], response.json["query"]) == (path, query)


def test_repeated_headers_are_joined_and_stripped(tiny, responses) -> None:
    lines = b"Accept: a\r\nX:  \t\r\naccept:b \t \r\nACCEPT:   c\r\nY: \xe9\r\n"
    (response,) = responses(tiny.exchange(LAST[:-2] + lines + b"\r\n"))
    headers = response.json["headers"]
    assert (headers["accept"], headers["x"], headers["y"]) == ("a,b,c", "", "\u00e9")


def test_connection_stays_open_except_on_request_or_in_http_1_0(tiny, responses) -> None:
    for last in (LAST, b"GET /echo HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"):
        first, second, third = responses(tiny.exchange(GET + b"\r\n" + post(b"a") + last))
        assert not first.closes
        assert not second.closes
        assert third.closes
    old = b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert [response.closes for response in responses(tiny.exchange(old))] == [True]


def test_bytes_after_the_last_request_are_dropped(tiny, responses) -> None:
    for last in (LAST, b"GET /later=0.05 HTTP/1.0\r\n\r\n", later(0.05)[:-2] + LAST[-21:]):
        (response,) = responses(tiny.exchange(last + GET + b"\r\nnonsense\r\n\r\n"))
        assert (response.status, response.closes) == (200, True)
    assert "/echo" not in tiny.handler.paths


def test_line_ends_between_requests_are_ignored(start_tiny, responses) -> None:
    tiny = start_tiny(head_s=0.3, idle_s=0.6)
    (first, second) = responses(tiny.exchange(b"\r\n\n" + GET + b"\r\n\r\n\r\n", b"\r\n" + LAST))
    assert (first.status, second.status) == (200, 200)
    # Closed as idle, without an error.
    assert len(responses(tiny.exchange(GET + b"\r\n\r\n"))) == 1


def test_client_that_stops_sending_gets_its_responses(tiny, responses) -> None:
    assert len(responses(tiny.exchange(GET + b"\r\n", half_close=True))) == 1
    sent = later(0.05) + GET + b"\r\n" + later(0.05)
    assert [a.closes for a in responses(tiny.exchange(sent, half_close=True))] == [
        False,
        False,
        True,
    ]
    large = b"GET /large=5000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    assert [len(a.body) for a in responses(tiny.exchange(large, half_close=True))] == [5_000_000]
    assert tiny.exchange(GET, half_close=True) == b""
    assert tiny.exchange(half_close=True) == b""


def test_request_of_a_client_that_closes_before_it_runs_is_canceled(tiny) -> None:
    assert tiny.exchange(GET.replace(b"/echo", b"/never") + b"\r\n", half_close=True) == b""
    assert tiny.handler.canceled == 1


def test_client_that_expects_continue_gets_it(tiny, responses) -> None:
    expecting = POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    with tiny.connect() as connection:
        connection.sendall(expecting)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert b'"bytes": 5' in connection.recv(10_000)
    old = expecting.replace(b"1.1", b"1.0") + b"hello"
    assert [response.status for response in responses(tiny.exchange(old))] == [200]


def test_client_that_expects_continue_gets_413_before_a_large_body(tiny, responses) -> None:
    expecting = POST + b"Expect: 100-continue\r\nContent-Length: 1000001\r\n\r\n"
    (response,) = responses(tiny.exchange(expecting))
    assert (response.status, response.closes) == (413, True)


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_upgrade_header_is_ignored_and_the_body_is_read(tiny, responses, pause: float) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    sized = POST + offer + b"Content-Length: 5\r\n\r\nhello"
    chunked = POST + offer + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    expecting = POST + offer + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    socket_like = GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    many = sized * 150
    found = responses(
        tiny.exchange(sized + chunked, expecting, socket_like + many + LAST, pause=pause)
    )
    assert [response.status for response in found] == [200, 200, 100, 200, 200, *[200] * 150, 200]
    assert tiny.handler.bodies[:4] == [b"hello", b"hello", b"hello", b""]
    assert "upgrade" not in found[0].json["headers"]


# Errors.


def check_rejected(tiny, responses, sent: bytes, status: int, code: str | None = None) -> None:
    """Check that the only response is this error, and that no request behind it is dispatched."""
    (response,) = responses(tiny.exchange(sent + b"\r\n\r\n" + GET + b"\r\n"))
    assert (response.status, response.closes) == (status, True)
    assert response.headers["content-type"] == "application/json"
    assert response.json["error"]
    assert code is None or response.json["code"] == code
    assert tiny.handler.paths == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 3\r\nContent-Length: 3",
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: 3, 3",
        b"Content-Length: -3",
        b"Content-Length: +3",
        b"Content-Length: 0x3",
        b"Content-Length: 3 4",
        b"Content-Length:",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"Transfer-Encoding:",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunkedx",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked;q=1",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding\r\n: chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding:\r\n chunked",
        b" Transfer-Encoding: chunked",
        b"A: b\r\n folded",
        b"A: b\r\n\tfolded",
        b"A: b\x00c",
        b"A: b\x01c",
        b"A: b\x7fc",
        b"A: b\nB: c",
        b"A: b\rB: c",
        b"A: b\r\r",
        b"A",
        b": b",
        b"A b: c",
        b"A\x00: b",
        b"A\xe9: b",
        b"Host: y",
        b"Upgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: gzip, chunked",
    ],
)
def test_ambiguous_headers_are_rejected(tiny, responses, lines: bytes) -> None:
    check_rejected(tiny, responses, POST + lines + b"\r\n\r\n0\r\n\r\n", 400, "bad_request")


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 50,
        b"GET /",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.2\r\nHost: x",
        b"GET / HTTP/2.0\r\nHost: x",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: y",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1 \r\nHost: x",
        b"GET / HTTP/1.1\nHost: x\n",
        b"GET / HTTP/1.1\rHost: x",
        b"GET / x HTTP/1.1\r\nHost: x",
        b"GET /\xff HTTP/1.1\r\nHost: x",
        b"GET /\x00 HTTP/1.1\r\nHost: x",
        b"GET here HTTP/1.1\r\nHost: x",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x",
        b"get / HTTP/1.1\r\nHost: x",
        b" GET / HTTP/1.1\r\nHost: x",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nUpgrade: a\r\nConnection: upgrade",
    ],
)
def test_invalid_request_line_or_host_is_rejected(tiny, responses, head: bytes) -> None:
    check_rejected(tiny, responses, head, 400, "bad_request")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"x\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"3;a\nabc\r\n0\r\n\r\n",
        b'3;a="\n"\r\nabc\r\n0\r\n\r\n',
        b"3\r\nabc\r\n0\r\nA\r\n\r\n",
        b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_ambiguous_chunks_are_rejected(tiny, responses, body: bytes) -> None:
    check_rejected(tiny, responses, CHUNKED + body, 400, "bad_request")


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 1000001\r\n\r\n",
        POST + b"Content-Length: 1000001 \r\n\r\n",
        POST + b"Content-Length: 18446744073709551615\r\n\r\n",
        POST + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\n",
        POST + b"Content-Length: " + b"0" * 20_000 + b"9\r\n\r\n",
        CHUNKED + b"f4241\r\n" + b"x" * 1_000_001 + b"\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"ffffffffffffffff\r\n" + b"x" * 1_000_001,
    ],
)
def test_too_large_body_is_rejected_declared_or_not(tiny, responses, sent: bytes) -> None:
    check_rejected(tiny, responses, sent, 413, "body_too_large")


def test_body_of_the_largest_size_is_accepted(tiny, responses) -> None:
    body = b"x" * 1_000_000
    chunked = CHUNKED + b"f4240\r\n" + body + b"\r\n0\r\n\r\n"
    ones = CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    found = responses(tiny.exchange(post(body) + chunked + ones + LAST))
    assert [response.json["bytes"] for response in found] == [1_000_000, 1_000_000, 100_000, 0]


@pytest.mark.parametrize(
    "body",
    [
        b"3;" + b"a" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"3\r\nabc\r\n0\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_endless_trailers_and_extensions_are_rejected(tiny, responses, body: bytes) -> None:
    check_rejected(tiny, responses, CHUNKED + body, 431, "headers_too_large")


def head_of(size: int) -> bytes:
    """Return a head of this size in bytes."""
    start = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [0, 1, 20_000, HEAD_BYTES - 1])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        GET + b"\r\n",
        post(b"x" * 20_000),
        CHUNKED + b"0\r\nTrailer: " + b"a" * 40_000 + b"\r\n\r\n",
    ],
)
def test_longest_head_is_accepted_and_a_longer_one_is_rejected(
    tiny, responses, cut: int, before: bytes
) -> None:
    for size, status in ((HEAD_BYTES, 200), (HEAD_BYTES + 1, 431)):
        head = head_of(size)
        assert len(head) == size
        *_, response = responses(tiny.exchange(before + head[:cut], head[cut:]))
        assert (response.status, response.closes) == (status, True)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "target_too_long"),
        (b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "target_too_long"),
        (b"GET /?" + b"a" * 2**20, 414, "target_too_long"),
        (GET + b"".join(b"h%d: v\r\n" % i for i in range(10_000)), 431, "headers_too_large"),
        (GET + b"A: b\r\n" * 20_000, 431, "headers_too_large"),
        (GET + b"A: " + b"b" * 2**20, 431, "headers_too_large"),
        (GET + b"A:" + b" " * 2**20, 431, "headers_too_large"),
        (GET + b"A" * 2**20, 431, "headers_too_large"),
    ],
)
def test_endless_targets_and_headers_are_rejected(
    tiny, responses, sent: bytes, status: int, code: str
) -> None:
    check_rejected(tiny, responses, sent, status, code)


def test_error_is_sent_after_the_pending_responses(tiny, responses) -> None:
    sent = later(0.05) + GET + b"\r\n" + post(b"x" * 1_000_001) + GET + b"\r\n"
    assert [response.status for response in responses(tiny.exchange(sent))] == [200, 200, 413]
    assert tiny.handler.paths == ["/later=0.05", "/echo"]


def test_client_that_sends_a_huge_body_first_gets_the_error(tiny, responses) -> None:
    (response,) = responses(tiny.exchange(post(b"x" * 30_000_000)))
    assert response.status == 413


def test_failing_handler_costs_one_response(start_tiny, responses, caplog) -> None:
    tiny = start_tiny()
    failing = GET.replace(b"/echo", b"/fail") + b"\r\n"
    found = responses(tiny.exchange(failing + GET + b"\r\n" + later(0.01) + failing + LAST))
    assert [response.status for response in found] == [500, 200, 200, 500, 200]
    assert found[0].json["code"] == "internal_error"
    assert [record.getMessage() for record in caplog.records] == ["request failed"] * 2
    caplog.clear()


def test_second_response_to_a_request_is_dropped(tiny, responses) -> None:
    twice = GET.replace(b"/echo", b"/twice") + b"\r\n"
    found = responses(tiny.exchange(twice * 2 + LAST))
    assert [response.json["path"] for response in found] == ["/twice", "/twice", "/last"]


# Streams.


def stream_request(spec: bytes, path: bytes = b"/chunks") -> bytes:
    """Return a request for a streamed response; ``9x100``: nine chunks of 100 bytes."""
    return GET.replace(b"/echo", b"%b=%b" % (path, spec)) + b"\r\n"


def complete_body(count: int, size: int) -> bytes:
    """Return the body of all chunks together."""
    return b"".join(b"%c" % (97 + number % 26) * size for number in range(count))


@pytest.mark.parametrize(("count", "size"), [(1, 5), (30, 1), (7, 300_000)])
def test_streamed_response_arrives_complete_and_the_connection_stays_open(
    tiny, responses, count: int, size: int
) -> None:
    request = stream_request(b"%dx%d" % (count, size))
    first, second, last = responses(tiny.exchange(request * 2 + LAST))
    assert first.body == second.body == complete_body(count, size)
    assert (first.closes, last.json["path"]) == (False, "/last")
    assert tiny.handler.streams_ended == 2


def test_next_request_waits_for_the_end_of_a_stream(tiny, responses) -> None:
    sent = (
        stream_request(b"4x10", b"/slow")
        + GET
        + b"\r\n"
        + later(0.02)
        + stream_request(b"3x5")
        + LAST
    )
    slow, echo, later_, quick, last = responses(tiny.exchange(sent))
    assert (slow.body, quick.body) == (complete_body(4, 10), complete_body(3, 5))
    paths = [response.json["path"] for response in (echo, later_, last)]
    assert paths == ["/echo", "/later=0.02", "/last"]


def test_error_waits_for_the_end_of_a_stream(tiny, responses) -> None:
    slow, error = responses(tiny.exchange(stream_request(b"4x10", b"/slow") + b"nonsense\r\n\r\n"))
    assert (slow.body, error.status, error.closes) == (complete_body(4, 10), 400, True)


@pytest.mark.parametrize(
    ("sent", "half_close"),
    [
        (stream_request(b"3x9")[:-2] + b"Connection: close\r\n\r\n", False),
        (stream_request(b"3x9", b"/slow"), True),
    ],
)
def test_last_streamed_response_closes_the_connection(
    tiny, responses, sent: bytes, half_close: bool
) -> None:
    (response,) = responses(tiny.exchange(sent, half_close=half_close))
    assert response.body == complete_body(3, 9)
    assert response.closes is not half_close


def test_http_1_0_client_gets_a_stream_without_chunk_framing(tiny) -> None:
    request = (
        stream_request(b"5x100000").replace(b"1.1", b"1.0")[:-2] + b"Connection: keep-alive\r\n\r\n"
    )
    head, _, body = tiny.exchange(request).partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"transfer-encoding" not in head.lower()
    assert b"content-length" not in head.lower()
    assert body == complete_body(5, 100_000)


def test_head_response_has_no_chunks(tiny, responses) -> None:
    request = stream_request(b"3x9").replace(b"GET", b"HEAD")
    (response,) = responses(tiny.exchange(request[:-2] + b"Connection: close\r\n\r\n"), head=True)
    assert (response.status, response.body) == (200, b"")
    assert (tiny.handler.chunks_computed, tiny.handler.streams_ended) == (1, 1)
    assert tiny.exchange(request + LAST).count(b"HTTP/1.1 200 ") == 2


def test_client_can_tell_that_a_stream_failed(start_tiny, responses, connected, caplog) -> None:
    tiny = start_tiny()
    chunked, plain = connected(tiny, 2)
    chunked.sendall(stream_request(b"3x9", b"/broken"))
    received = receive_all(chunked)
    assert b"ccccccccc\r\n" in received
    assert not received.endswith(b"0\r\n\r\n")
    plain.sendall(stream_request(b"3x9", b"/broken").replace(b"1.1", b"1.0"))
    with pytest.raises(ConnectionResetError):
        receive_all(plain)
    assert [record.getMessage() for record in caplog.records] == ["a streamed response failed"] * 2
    caplog.clear()


def test_chunks_are_computed_as_fast_as_the_client_reads(tiny, connected) -> None:
    (connection,) = connected(tiny, 1)
    connection.sendall(stream_request(b"500x200000"))
    tiny.until(lambda: any(c._writer.stalled_since is not None for c in [*tiny.server.connections]))
    time.sleep(0.1)
    assert tiny.handler.chunks_computed < 100
    (server_side,) = tiny.server.connections
    assert server_side._transport.get_write_buffer_size() <= 201_000
    received = 0
    while received < 500 * 200_000:
        received += len(connection.recv(1 << 20))
    assert tiny.handler.chunks_computed == 500


def test_no_chunk_is_computed_for_a_disconnected_client(tiny, reset) -> None:
    for close in (reset, socket.socket.close):
        ended = tiny.handler.streams_ended
        connection = tiny.connect()
        connection.sendall(stream_request(b"100000x2000", b"/slow"))
        assert connection.recv(1000)
        close(connection)
        tiny.until(lambda ended=ended: tiny.handler.streams_ended == ended + 1)
    assert tiny.handler.chunks_computed < 200


def test_large_body_counts_until_its_streamed_response_begins(tiny, responses, connected) -> None:
    (connection,) = connected(tiny, 1)
    request = post(b"x" * 200_000, b"/slow=9x10")
    connection.sendall(request[:-1])
    tiny.until(lambda: tiny.server.body_memory.used == 199_999)
    connection.sendall(request[-1:])
    tiny.until(lambda: not tiny.server.body_memory.used)
    assert not tiny.handler.streams_ended
    tiny.until(lambda: tiny.handler.streams_ended)
    assert not tiny.server.body_memory.used
    connection.sendall(LAST)
    first, _last = responses(receive_all(connection))
    assert first.body == complete_body(9, 10)


def receive_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while part := connection.recv(1 << 20):
        received += part
    return bytes(received)


# Random input.

SNIPPETS = [
    *(b"GET ", b"POST ", b"/echo ", b"/later=0.001 ", b"HTTP/1.1\r\n", b"HTTP/1.0\r\n"),
    *(b"Host: x\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n"),
    *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n"),
    *(b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"abc", b"\r", b"\n", b" ", b"\x00"),
    *(GET + b"\r\n", POST, CHUNKED, b"a" * 9000, b"CONNECT x:1 ", b"A: ", b":", b";"),
]
INPUT = st.lists(st.sampled_from(SNIPPETS) | st.binary(max_size=20), max_size=12)
USUAL = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@USUAL
@given(INPUT)
def test_any_input_gets_complete_responses(tiny, responses, parts) -> None:
    found = responses(tiny.exchange(b"".join(parts), half_close=True))
    final = [response for response in found if response.status != 100]
    assert not any(response.closes for response in final[:-1])
    assert {response.status for response in final} <= {200, 400, 413, 414, 431}
    assert all(response.status == 200 for response in final[:-1])


REQUESTS = st.sampled_from(
    [
        GET + b"\r\n",
        post(b"hello"),
        post(b"x" * 30_000),
        later(0.003),
        CHUNKED + b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
        b"\r\n" + GET + b"A: b\r\na: c\r\nEmpty:\r\n\r\n",
        POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /large=200000 HTTP/1.1\r\nHost: x\r\n\r\n",
        stream_request(b"4x50000"),
    ]
)
ENDS = st.sampled_from([LAST, b"nonsense\r\n\r\n", post(b"x" * 1_000_001)])


@USUAL
@given(st.lists(REQUESTS, max_size=6), ENDS, st.lists(st.floats(0, 1), max_size=5))
def test_responses_do_not_depend_on_packet_boundaries(tiny, responses, requests, end, cuts) -> None:
    sent = b"".join(requests) + end
    places = [0, *sorted(int(cut * min(len(sent), 300_000)) for cut in cuts), len(sent)]
    parts = [sent[a:b] for a, b in pairwise(places)]
    at_once, in_parts = (
        [(response.status, response.body) for response in responses(tiny.exchange(*sends))]
        for sends in ([sent], parts)
    )
    assert in_parts == at_once
    assert len(at_once) == len(requests) + 1


def test_disconnected_clients_leave_no_connection(tiny, reset) -> None:
    sent = (
        later(0.05)
        + post(b"x" * 100_000)
        + stream_request(b"9x9999")
        + b"GET /large=3000000 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    for size in range(0, len(sent), 7001):
        for close in (reset, socket.socket.close):
            connection = tiny.connect()
            connection.sendall(sent[:size])
            close(connection)
    tiny.until(lambda: not tiny.server.connections)


def test_call_of_a_disconnected_client_is_canceled(tiny, reset) -> None:
    for number, path in enumerate((b"/never", b"/later=60"), start=1):
        connection = tiny.connect()
        connection.sendall(GET.replace(b"/echo", path) + b"\r\n")
        tiny.until(lambda path=path: path.decode() in tiny.handler.paths)
        reset(connection)
        tiny.until(lambda number=number: tiny.handler.canceled == number)
