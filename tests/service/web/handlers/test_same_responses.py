"""The fast path, the WSGI handler and Flask alone give the same responses."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import re
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import uvloop
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pigeonhole.service.app import Service
from pigeonhole.service.settings import HANDLERS, Settings
from pigeonhole.service.web.http.limits import Limits
from pigeonhole.service.web.http.server import HttpServer
from pigeonhole.service.web.inference.route import SLOW_DECODE_BYTES
from tests.tiny_models import write_heavy_model

MAX_BODY = 100_000
MAX_ROWS = 50

MADE_ID = re.compile(r"[0-9a-f]{32}")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClientRequest:
    """A request as a client writes it; missing Host and Content-Length headers are added."""

    method: str = "POST"
    target: str = "/predict"
    headers: Headers = ()
    body: bytes = b""
    version: str = "1.1"

    def to_bytes(self) -> bytes:
        names = {name.lower() for name, _ in self.headers}
        headers = list(self.headers)
        if "host" not in names:
            headers.append(("Host", "x"))
        if not names & {"content-length", "transfer-encoding"} and self.body:
            headers.append(("Content-Length", str(len(self.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        start = f"{self.method} {self.target} HTTP/{self.version}\r\n{lines}\r\n"
        return start.encode("latin-1") + self.body

    def request_id(self) -> str | None:
        values = [value for name, value in self.headers if name.lower() == "x-request-id"]
        return ",".join(values) if values else None


@dataclass(frozen=True)
class ComparableResponse:
    """A response without the parts that may differ between two responses."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def make_comparable(
    request: ClientRequest, status: int, headers: list[tuple[str, str]], body: bytes
) -> ComparableResponse:
    """Return a response without Date, times and the request id, if the server made it."""
    lower = sorted((name.lower(), value) for name, value in headers if name.lower() != "date")
    (identity,) = (value for name, value in lower if name == "x-request-id")
    if identity != request.request_id():
        assert MADE_ID.fullmatch(identity)
        lower = [(n, "made" if n == "x-request-id" else v) for n, v in lower]
        body = body.replace(identity.encode(), b"made")
    if request.target.startswith("/metrics") or request.target.endswith("/stats"):
        # These bodies have times, which always differ.
        body, lower = b"", [(n, v) for n, v in lower if n != "content-length"]
    return ComparableResponse(status, tuple(lower), body)


class ServedHandler:
    """A client of one handler, on a connection that it keeps open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def send(self, request: ClientRequest) -> ComparableResponse:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        connection, self._connection = self._connection, None
        try:
            connection.sendall(request.to_bytes())
            response = HTTPResponse(connection, method=request.method)
            response.begin()
            body = response.read()
            if not response.will_close:
                self._connection = connection
        finally:
            if self._connection is None:
                connection.close()
        return make_comparable(request, response.status, response.getheaders(), body)

    def samples(self) -> dict[str, float]:
        """Return all samples of the metrics, except times."""
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        with connection:
            connection.sendall(
                ClientRequest("GET", "/metrics", (("Connection", "close"),)).to_bytes()
            )
            response = HTTPResponse(connection)
            response.begin()
            text = response.read().decode()
        return {
            sample.name + str(sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "_seconds" not in sample.name or sample.name.endswith("_seconds_count")
        }

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class FlaskAlone:
    """Sends requests to the Flask app without a server."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def send(self, request: ClientRequest) -> ComparableResponse:
        response = self._client.open(
            request.target,
            method=request.method,
            headers=[("Host", "x"), *request.headers],
            input_stream=io.BytesIO(request.body),
            content_length=len(request.body),
            buffered=True,
        )
        return make_comparable(request, response.status_code, list(response.headers), response.data)


@contextmanager
def serve_all(services: list[Service]) -> Iterator[list[ServedHandler]]:
    """Serve each service on its own port, all on one event loop in a thread."""
    ready: Future[list[int]] = Future()
    limits = Limits(body_bytes=MAX_BODY, connections=100, head_s=30, body_s=30, idle_s=60)
    over = Event()

    async def serve() -> None:
        servers = [HttpServer(service.handler, limits) for service in services]
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in servers]
        for server, listener in zip(servers, listeners, strict=True):
            server.listen([listener])
        ready.set_result([listener.getsockname()[1] for listener in listeners])
        await asyncio.get_running_loop().run_in_executor(None, over.wait)
        for server in servers:
            await server.stop_listening(last=False)
            server.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = Thread(target=run)
    thread.start()
    handlers = [ServedHandler(port) for port in ready.result(10)]
    try:
        yield handlers
    finally:
        for handler in handlers:
            handler.close()
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def models(tmp_path_factory, write_model, write_mixed_model) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    write_model(folder, "bodymass", 3, bias=1.0)
    write_mixed_model(folder)
    write_heavy_model(folder, products=2)
    write_model(folder, "damaged", digest="0" * 64)
    return folder


@contextmanager
def start_services(models: Path) -> Iterator[list[Service]]:
    services = [
        Service(
            Settings(
                models=models,
                default_model="bodymass",
                handler=handler,
                reload_seconds=3600,
                max_body_bytes=MAX_BODY,
                max_rows=MAX_ROWS,
            )
        )
        for handler in HANDLERS
    ]
    yield services
    for service in services:
        service.close()


@pytest.fixture(scope="module")
def handlers(models) -> Iterator[list[ServedHandler]]:
    """Serve the fast path and the WSGI handler."""
    with start_services(models) as services, serve_all(services) as handlers:
        yield handlers


@pytest.fixture(scope="module")
def handlers_and_flask(handlers, models) -> Iterator[list[Any]]:
    """Serve both handlers, and Flask without a server."""
    with start_services(models) as services:
        yield [*handlers, FlaskAlone(services[0].flask.test_client())]


def same_response(clients: list[Any], request: ClientRequest) -> ComparableResponse:
    """Return the response to a request; check that all clients get the same."""
    first, *others = (client.send(request) for client in clients)
    for other in others:
        assert other == first
    return first


# Paths

NAMES = ["bodymass", "heavy", "unknown", "damaged", "%62odymass", "body%20mass", "%C3%A9", "%ff"]
NAMES += ["a%2Fb", "a%0Ab", "a:b", "a:predict", "..", "%2e%2e", "%25", "-", "x" * 300]
VERSIONS = ["1", "3", "2", "01", "1%20", "+1", "-1", "1.0", "x", "9" * 30, "%31", "%D9%A1"]

ROWS = b'{"instances": [{"height_cm": 172, "weight_kg": 95}]}'
TENSORS = {
    "id": "mine",
    "inputs": [{"name": "numbers", "shape": [1, 2], "datatype": "FP64", "data": [172, 95]}],
}
HEAVY_ROWS = b'{"instances": [{"x": 2}, {"x": -1}]}'


@pytest.fixture(scope="module")
def inference_paths(models) -> list[str]:
    """Return every inference path with every name and version."""
    with start_services(models) as services:
        rules = [
            rule.rule
            for rule in services[0].flask.url_map.iter_rules()
            if rule.endpoint.startswith("inference.")
        ]
    assert len(rules) >= 3
    assert "/predict" in rules
    paths: dict[str, None] = {}
    for rule in rules:
        for name in NAMES if "<name>" in rule else [""]:
            for version in VERSIONS if "<version>" in rule and name == "bodymass" else ["1"]:
                paths[rule.replace("<name>", name).replace("<version>", version)] = None
    return list(paths)


def bodies_for(path: str) -> list[bytes]:
    if path.rstrip("/").endswith("infer"):
        return [json.dumps(TENSORS).encode(), ROWS]
    return [HEAVY_ROWS if "heavy" in path else ROWS, json.dumps(TENSORS).encode()]


def test_every_inference_path_gets_the_same_response(handlers, inference_paths) -> None:
    statuses = set()
    for path in inference_paths:
        for ending in ("", "/", "//", "?a=%00&b", "/x", ":predict", "%3Apredict"):
            for body in bodies_for(path):
                statuses.add(
                    same_response(handlers, ClientRequest(target=path + ending, body=body)).status
                )
    assert statuses == {200, 400, 404, 503}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_every_method_on_an_inference_path_gets_the_same_response(
    handlers, inference_paths, method: str
) -> None:
    for path in inference_paths:
        body = ROWS if method in ("PUT", "PATCH", "DELETE") else b""
        response = same_response(handlers, ClientRequest(method, path, body=body))
        assert response.status != 500
        assert method != "HEAD" or response.body == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT"])
def test_every_other_route_gets_the_same_response(handlers_and_flask, models, method: str) -> None:
    with start_services(models) as services:
        rules = {rule.rule for rule in services[0].flask.url_map.iter_rules()}
    others = {re.sub("<[^>]*>", "bodymass", rule) for rule in rules}
    others |= {
        "/nowhere",
        "/v1/models/bodymass/versions/1",
        "/static/docs.css",
        "/static/../app.py",
    }
    assert {"/", "/docs", "/health/live", "/health/ready", "/metrics", "/openapi.json"} < others
    for path in sorted(others):
        same_response(handlers_and_flask, ClientRequest(method, path, (("X-Request-Id", "mine"),)))


@pytest.mark.parametrize(
    "target",
    [
        *("/predict?", "/predict?instances=1", "/predict#here", "//predict", "/./predict"),
        *("/Predict", "/predict%00", "/predict%20", "/pre%64ict", "/%2Fpredict", "/predict;a=b"),
        *("http://x/predict", "http://x:80/predict?x", "/predict%ff", "/predict%C3", "*"),
        *("/v1/models/:predict", "/v1/models//versions/1:predict", "/v1//models/bodymass:predict"),
        *("/v1/models/bodymass:predict:predict", "/v1/models/bodymass%3apredict"),
        *("/v1/models/bodymass/versions/1:predict/", "/v2/models/bodymass/infer/"),
        "/" + "x" * 7000,
    ],
)
def test_unusual_targets_get_the_same_response(handlers, target: str) -> None:
    assert same_response(handlers, ClientRequest(target=target, body=ROWS)).status < 500


# Bodies


def rows(*values: Any) -> bytes:
    return json.dumps({"instances": list(values)}).encode()


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def arrow(**columns: Any) -> bytes:
    table = pa.table(columns)
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, table.schema) as writer:
        writer.write_table(table)
    return content.getvalue().to_pybytes()


BODIES = {
    "objects": ROWS,
    "lists": rows([172, 95], [160, 66]),
    "columns": b'{"inputs": {"height_cm": [172, 150], "weight_kg": [95, 40]}}',
    "no rows": rows(),
    "out of range": rows([17.2, 950]),
    "invalid": rows({"height_cm": "tall", "wieght_kg": 95}),
    "of another model": rows({"x": 1}),
    "empty": b"",
    "blank": b" \n ",
    "invalid JSON": b"nonsense",
    "truncated": ROWS[:-3],
    "byte order mark": b"\xef\xbb\xbf" + ROWS,
    "invalid UTF-8": b'{"instances": ["\xff"]}',
    "UTF-16": ROWS.decode().encode("utf-16"),
    "nested deeply": b"[" * 40_000,
    "objects nested deeply": b'{"instances":' * 7_000,
    "not a number": b'{"instances": [[NaN, Infinity]]}',
    "large number": b'{"instances": [[1e400, 95]]}',
    "long number": b'{"instances": [[' + b"9" * 5000 + b", 95]]}",
    "null": b"null",
    "a list": b"[1]",
    "a number": b"1",
    "repeated key": b'{"instances": [[1, 2]], "instances": [[172, 95]]}',
    "most rows": rows(*[[172, 95]] * MAX_ROWS),
    "one row too many": rows(*[[172, 95]] * (MAX_ROWS + 1)),
    "far too many rows": rows(*[{}] * 20_000),
    "large": ROWS + b" " * SLOW_DECODE_BYTES,
    "large and invalid": b"{" * SLOW_DECODE_BYTES,
    "largest": ROWS.ljust(MAX_BODY),
    "too large": ROWS.ljust(MAX_BODY + 1),
    "csv": b"height_cm,weight_kg\r\n172,95\r\n160,66\r\n",
    "ragged csv": b"height_cm,weight_kg\n172\n",
    "csv with too many rows": b"height_cm,weight_kg\n" + b"172,95\n" * (MAX_ROWS + 1),
    "tensors": json.dumps(TENSORS).encode(),
    "an array": npy(np.array([[172, 95], [160, 66]])),
    "an array of too many rows": npy(np.ones((MAX_ROWS + 1, 2))),
    "truncated array": npy(np.ones((3, 2)))[:-1],
    "arrow": arrow(height_cm=[172.0, 160.0], weight_kg=[95, 66]),
    "arrow with a gap": arrow(height_cm=[172.0, None], weight_kg=[95, 66]),
}

TYPES: list[Headers] = [
    (),
    (("Content-Type", "application/json"),),
    (("Content-Type", "text/csv; charset=utf-8"),),
    (("Content-Type", "application/x-www-form-urlencoded"),),
    (("Content-Type", "multipart/form-data; boundary=x"),),
    (("content-TYPE", "image/png"),),
    (("Content-Type", "application/x-npy"),),
    (("Content-Type", "application/vnd.apache.arrow.stream"),),
    (("Content-Type", "application/x-ndjson"),),
]


@pytest.mark.parametrize("name", BODIES)
def test_every_body_of_every_type_gets_the_same_response(handlers_and_flask, name: str) -> None:
    for headers in TYPES:
        for target in ("/predict", "/v1/models/mixed/versions/1:predict"):
            request = ClientRequest(target=target, headers=headers, body=BODIES[name])
            # The server rejects a larger body before Flask gets it.
            clients = handlers_and_flask[:2] if len(request.body) > MAX_BODY else handlers_and_flask
            assert same_response(clients, request).status < 500


@pytest.mark.parametrize("name", BODIES)
def test_every_body_for_a_heavy_model_gets_the_same_response(handlers, name: str) -> None:
    assert (
        same_response(
            handlers, ClientRequest(target="/v1/models/heavy:predict", body=BODIES[name])
        ).status
        < 500
    )


def test_heavy_model_gives_the_same_predictions(handlers_and_flask) -> None:
    request = ClientRequest(target="/v1/models/heavy:predict", body=HEAVY_ROWS)
    response = json.loads(same_response(handlers_and_flask, request).body)
    assert [row["label"] for row in response["predictions"]] == ["more", "less"]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(ROWS, mtime=0)),
        ("GZip", gzip.compress(ROWS, mtime=0)),
        ("deflate", zlib.compress(ROWS)),
        ("gzip", ROWS),
        ("gzip", b""),
        ("gzip", gzip.compress(ROWS, mtime=0)[:-3]),
        ("gzip", gzip.compress(b" " * (MAX_BODY + 1), mtime=0)),
        ("gzip", gzip.compress(ROWS.ljust(MAX_BODY), mtime=0)),
        ("gzip, gzip", gzip.compress(ROWS, mtime=0)),
        ("br", ROWS),
        ("identity", ROWS),
        ("", ROWS),
        ("\xe9", ROWS),
    ],
)
def test_compressed_bodies_get_the_same_response(
    handlers_and_flask, encoding: str, body: bytes
) -> None:
    same_response(
        handlers_and_flask, ClientRequest(headers=(("Content-Encoding", encoding),), body=body)
    )


LINES = b"\n".join([b"[172, 95]", b"[1]", b"", b"nonsense", b"[160, 66]"] * 1000)


@pytest.mark.parametrize("accept", ["identity", "gzip", "deflate", "gzip;q=0, *"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_ndjson_rows_get_the_same_response(handlers, accept: str, version: str) -> None:
    headers = (("Content-Type", "application/jsonl"), ("Accept-Encoding", accept))
    response = same_response(handlers, ClientRequest(headers=headers, body=LINES, version=version))
    received = dict(response.headers)
    assert (response.status, received["vary"]) == (200, "Accept-Encoding")
    assert "content-length" not in received
    bits = {"gzip": 31, "deflate": 15}.get(received.get("content-encoding", ""))
    lines = (zlib.decompress(response.body, bits) if bits else response.body).splitlines()
    assert len(lines) == 4000
    assert sum(b'"label"' in line for line in lines) == 2000


def test_ndjson_rows_for_a_heavy_model_get_the_same_response(handlers) -> None:
    headers = (("Content-Type", "application/jsonl"),)
    request = ClientRequest(
        target="/v1/models/heavy:predict", headers=headers, body=b"[2]\n[-1]\n[3]\n[]"
    )
    # A busy machine may send the response in chunks, an idle one with a length.
    first, second = (handler.send(request) for handler in handlers)
    assert (first.status, first.body) == (second.status, second.body)
    labels = [json.loads(line).get("label") for line in first.body.splitlines()]
    assert labels == ["more", "less", "more", None]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("rows_", [1, 30, 50])
def test_compressed_responses_are_the_same(handlers_and_flask, coding: str, rows_: int) -> None:
    body = rows(*[[172, 95]] * rows_)
    headers = (("Accept-Encoding", coding), ("X-Request-Id", "mine"))
    response = same_response(handlers_and_flask, ClientRequest(headers=headers, body=body))
    assert dict(response.headers).get("content-encoding") == (coding if rows_ > 1 else None)


def test_chunked_bodies_get_the_same_response(handlers) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (ROWS[:9], ROWS[9:]))
    for end in (b"0\r\n\r\n", b"0\r\nX-Request-Id: late\r\n\r\n"):
        request = ClientRequest(headers=(("Transfer-Encoding", "chunked"),), body=chunks + end)
        assert same_response(handlers, request).status == 200


# Headers


@pytest.mark.parametrize(
    "headers",
    [
        *[(("X-Request-Id", value),) for value in ("mine", "a/b:c=@+-._", "x" * 128, "x" * 129)],
        *[(("X-Request-Id", value),) for value in ("", "with blank", '"', "\xe9", "a\tb", "<b>")],
        (("X-Request-Id", "one"), ("X-Request-Id", "two")),
        (("x-REQUEST-id", "mine"),),
        (("X_Request_Id", "mine"),),
        (("X_Request_Id", "evil"), ("X-Request-Id", "good")),
        *[(("X-Request-Timeout-Ms", value),) for value in ("60000", "0", "nonsense", "-5", "1.5")],
        *[
            (("X-Request-Timeout-Ms", value),)
            for value in ("", "9" * 12, "9" * 13, "\u00b2", "1 0")
        ],
        (("X-Request-Timeout-Ms", "60000"), ("X-Request-Timeout-Ms", "0")),
        (("x-request-timeout-ms", "0"),),
        (("X_Request_Timeout_Ms", "0"),),
        (("Content-Type", "text/csv"), ("Content-Type", "application/json")),
        (("Content-Type", ""),),
        (("Content-Type", "\xff"),),
        (("Content-Encoding", "identity"), ("Content-Encoding", "identity")),
        (("Accept", "text/html"), ("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")),
        *[
            (("Accept", value),)
            for value in ("*/*", "text/csv", "application/x-npy", "text/*;q=0, */*", "\xff", "")
        ],
        (("Accept", "application/vnd.apache.arrow.stream"),),
        (("Accept", "text/csv;q=0.5"), ("Accept", "application/x-npy")),
        (("If-None-Match", "*"), ("If-Modified-Since", "nonsense"), ("Cookie", "a=b; \xff")),
        (("Authorization", "Basic ="), ("Forwarded", "for=x"), ("X-Forwarded-Prefix", "/x")),
        (("X-HTTP-Method-Override", "GET"), ("X-Script-Name", "/x"), ("Content-Md5", "x")),
        (("Inference-Header-Content-Length", "5"),),
        (("Host", ""),),
        (("Host", "a b"),),
        (("Host", "[::1"),),
        (("Host", "x:99999"),),
        (("Host", "..:80"),),
        (("Host", "\xe9"),),
        (("Host", "x" * 300),),
        (("Connection", "close"),),
        (("Connection", "keep-alive, x"),),
        (("Expect", "nonsense"),),
        (("Upgrade", "websocket"), ("Connection", "Upgrade")),
        (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "x")),
        (("Upgrade", "websocket"),),
        (("Long", "x" * 20_000),),
        tuple((f"A{number}", "b") for number in range(200)),
    ],
)
@pytest.mark.parametrize("target", ["/predict", "/v1/models/heavy:predict"])
def test_unusual_headers_get_the_same_response(handlers, headers: Headers, target: str) -> None:
    body = HEAVY_ROWS if "heavy" in target else ROWS
    assert (
        same_response(handlers, ClientRequest(target=target, headers=headers, body=body)).status
        != 500
    )


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("keep", [(), (("Connection", "keep-alive"),)])
def test_every_version_of_http_gets_the_same_response(
    handlers, version: str, keep: Headers
) -> None:
    request = ClientRequest(headers=keep, body=ROWS, version=version)
    response = same_response(handlers, request)
    assert response.status == 200
    assert (("connection", "close") in response.headers) is (version == "1.0")


def test_request_id_is_in_header_and_body(handlers_and_flask) -> None:
    response = same_response(
        handlers_and_flask, ClientRequest(headers=(("X-Request-Id", "mine"),), body=ROWS)
    )
    assert ("x-request-id", "mine") in response.headers
    assert json.loads(response.body)["id"] == "mine"


# Random requests

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=5)
    | st.sampled_from([172, "red", "", 10**400, 5e-324, "INT64", "BYTES", "FP64", [1, 2], [1]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("instances", "inputs", "height_cm", "weight_kg", "x", "id", "outputs"),
                    *("name", "shape", "datatype", "data", "parameters", "numbers"),
                    *("examples", "context", "b64", "dataframe_split", "columns"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)

TARGETS = ["/predict", "/v1/models/mixed:predict", "/v1/models/bodymass/versions/1:predict"]
TARGETS += ["/v1/models/heavy:predict", "/v2/models/bodymass/infer", "/v2/models/mixed/infer"]
TARGETS += ["/v1/models/bodymass:classify", "/v1/models/mixed:classify", "/invocations"]

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"))

NAMED = st.sampled_from(
    ["Content-Type", "Content-Encoding", "X-Request-Id", "X-Request-Timeout-Ms", "Accept", "Cookie"]
)


@given(
    target=st.sampled_from(TARGETS),
    body=st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.lists(
        st.tuples(NAMED, TEXT | st.sampled_from(["gzip", "text/csv", "0"])), max_size=3
    ),
)
def test_random_requests_get_the_same_response(handlers, target: str, body: bytes, headers) -> None:
    response = same_response(
        handlers, ClientRequest(target=target, headers=tuple(headers), body=body)
    )
    assert response.status < 500 or response.status == 504


@given(
    target=st.sampled_from(TARGETS),
    value=st.one_of(
        st.builds(lambda r: {"instances": r}, st.lists(VALUES, max_size=3)),
        st.builds(lambda c: {"inputs": c}, st.lists(VALUES, max_size=3)),
        st.builds(lambda e, c: {"examples": e, "context": c}, st.lists(VALUES, max_size=3), VALUES),
        st.builds(
            lambda columns, data: {"dataframe_split": {"columns": columns, "data": data}},
            VALUES | st.permutations(["height_cm", "weight_kg"]),
            VALUES | st.lists(st.lists(VALUES, max_size=3), max_size=3),
        ),
        st.builds(
            lambda data, shape: {
                "inputs": [{"name": "numbers", "shape": shape, "datatype": "FP64", "data": data}]
            },
            st.lists(st.floats() | st.integers() | VALUES, max_size=6),
            st.lists(st.integers(-1, 3), max_size=3),
        ),
    ),
)
def test_random_rows_get_the_same_response(handlers, target: str, value) -> None:
    assert (
        same_response(
            handlers, ClientRequest(target=target, body=json.dumps(value).encode())
        ).status
        < 500
    )


@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8))
def test_random_paths_get_the_same_response(handlers, path: str) -> None:
    same_response(handlers, ClientRequest(target="/" + path, body=ROWS))
    same_response(handlers, ClientRequest(target=f"/v1/models/{path}:predict", body=ROWS))


def test_both_handlers_count_the_same_requests(handlers, inference_paths) -> None:
    for path in inference_paths:
        for body in bodies_for(path):
            same_response(handlers, ClientRequest(target=path, body=body))
    for body in BODIES.values():
        same_response(handlers, ClientRequest(body=body))
    same_response(handlers, ClientRequest("GET"))
    for headers in ((("X-Request-Timeout-Ms", "0"),), (("Content-Length", "9" * 9),)):
        same_response(handlers, ClientRequest(headers=headers))
    for milliseconds in ("0", "soon"):
        for path in ("/predict", "/v1/models/no:predict"):
            late = (("X-Request-Timeout-Ms", milliseconds),)
            same_response(
                handlers,
                ClientRequest(target=path, headers=late, body=ROWS.ljust(SLOW_DECODE_BYTES)),
            )
    fast, flask = (handler.samples() for handler in handlers)
    # The machine's measurements change all the time. How many calls of a heavy model share a run
    # depends on timing.
    machines = ("process_", "pigeonhole_models_filesystem_", "pigeonhole_model_runs_total")
    counted = [
        {name: value for name, value in found.items() if not name.startswith(machines)}
        for found in (fast, flask)
    ]
    assert counted[0] == counted[1]
    ended = [n for n in fast if "requests_total" in n]
    assert {code for n in ended for code in re.findall(r"'code', '(\d+)'", n)} >= {
        *("200", "400", "404", "405", "413", "503", "504")
    }
