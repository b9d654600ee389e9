"""Hostile requests: valid requests of every protocol, damaged at random.

Each begins as one of `VALID_REQUESTS`. Then damages change bits, bytes and parts of its body, values in
its JSON, the headers that describe the body, or its path. The same seed gives the same requests.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

MIB = 2**20

LENGTH = "Inference-Header-Content-Length"

TIMEOUT = "X-Request-Timeout-Ms"

NDJSON = "application/x-ndjson"

NPY = "application/x-npy"

ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class HttpRequest:
    """One request.

    Attributes:
        protocol: the protocol or format, for the counts.
        path: the target in the request line.
        headers: without Host, Content-Length and Authorization.
        body: the body.
        method: the method.
    """

    protocol: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str = "POST"

    @property
    def is_timed(self) -> bool:
        """Whether the request sets a time limit."""
        return TIMEOUT in self.headers or b"timeout" in self.body

    def encode(self, authorization: str | None) -> bytes:
        """Return the request's bytes."""
        headers = {"Host": "soak", **self.headers, "Content-Length": str(len(self.body))}
        if authorization is not None:
            headers.setdefault("Authorization", authorization)
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


ROWS = [{"height_cm": 172, "weight_kg": 95.5}, {"height_cm": 180.25, "weight_kg": 50}]

MIXED = {"age": 31, "member": True, "color": "red", "size/cm": 2.5, "shape": None}

DATED = {"size": 1, "seen": "2024-04-03", "paid": "03/04/2024 12:30", "opens": "09:30"}


def _tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


TENSORS = {
    "id": "soak",
    "inputs": [_tensor("numbers", "FP64", [2, 2], [172, 95.5, 180.25, 50])],
    "outputs": [
        {"name": "probabilities", "parameters": {"classification": 2}},
        {"name": "label", "parameters": {"binary_data": False}},
    ],
}

FEATURES = {
    "inputs": [
        _tensor("age", "INT32", [2], [31, None]),
        _tensor("member", "BOOL", [2, 1], [True, False]),
        _tensor("color", "BYTES", [2], ["red", "blue"]),
        _tensor("size/cm", "FP32", [2], [2.5, 3]),
    ],
    "parameters": {"binary_data_output": True, "timeout": 10_000_000},
}


def _binary_request() -> HttpRequest:
    """Return tensors as bytes after their JSON: doubles and strings."""
    colors = b"".join(len(text).to_bytes(4, "little") + text for text in (b"red", b"blue"))
    numbers = np.array([[31, 1, 2.5], [np.nan, 0, 3]]).tobytes()
    categories = colors[:7] + bytes(4) + colors[7:] + bytes(4)
    parts = {"numbers": ("FP64", [2, 3], numbers), "categories": ("BYTES", [2, 2], categories)}
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": shape,
                    "datatype": datatype,
                    "parameters": {"binary_data_size": len(content)},
                }
                for name, (datatype, shape, content) in parts.items()
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    body = head + b"".join(content for _, _, content in parts.values())
    return HttpRequest("v2 binary", "/v2/models/mixed/infer", {LENGTH: str(len(head))}, body)


def _npy_request() -> HttpRequest:
    written = io.BytesIO()
    np.save(written, np.array([[172, 95.5], [180.25, 50]]))
    return HttpRequest("npy", "/predict", {"Content-Type": NPY}, written.getvalue())


def _arrow_request() -> HttpRequest:
    table = pa.table(
        {
            "age": [31.0, None],
            "member": [True, False],
            "color": pa.array(["red", "blue"]).dictionary_encode(),
            "size/cm": pa.array([2, 3], pa.int16()),
        }
    )
    written = io.BytesIO()
    with pa.ipc.new_stream(written, table.schema) as stream:
        stream.write_table(table)
    headers = {"Content-Type": ARROW}
    return HttpRequest("arrow", "/v1/models/mixed:predict", headers, written.getvalue())


def _json_requests() -> list[tuple[str, str, Any]]:
    lists = [list(row.values()) for row in ROWS]
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    split = {"columns": list(ROWS[0]), "index": [0, 1], "data": lists}
    return [
        ("rows", "/predict", {"instances": ROWS}),
        ("rows", "/v1/models/bodymass:predict", {"instances": lists}),
        ("rows", "/v1/models/bodymass/versions/1:predict", {"inputs": columns}),
        ("rows", "/v1/models/mixed:predict", {"instances": [MIXED]}),
        ("rows", "/v1/models/dated:predict", {"instances": [DATED]}),
        ("classify", "/v1/models/bodymass:classify", {"examples": ROWS}),
        (
            "classify",
            "/v1/models/mixed/versions/1:classify",
            {"context": {"age": 3}, "examples": [{"member": True, "color": "red", "size/cm": 2}]},
        ),
        ("invocations", "/invocations", {"dataframe_split": split}),
        ("invocations", "/invocations", {"dataframe_records": ROWS, "params": {"a": 1}}),
        ("invocations", "/invocations", {"instances": lists}),
        ("invocations", "/invocations", {"inputs": columns}),
        ("v2", "/v2/models/bodymass/infer", TENSORS),
        ("v2", "/v2/models/mixed/versions/1/infer", FEATURES),
        ("v2 around", "/v2/repository/index", {"ready": True}),
        ("v2 around", "/v2/repository/models/bodymass/load", {"parameters": {"config": "{}"}}),
        (
            "v2 around",
            "/v2/repository/models/dogs/unload",
            {"parameters": {"unload_dependents": False}},
        ),
    ]


def _valid_requests() -> list[HttpRequest]:
    json_type = {"Content-Type": "application/json"}
    table = b'height_cm,weight_kg\n172,95.5\n"180.25",50\n'
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS * 3)
    reads = (
        "/v1/models",
        "/v1/models/mixed",
        "/v1/models/bodymass/versions/1/metadata",
        "/v2",
        "/v2/models/mixed",
        "/v2/models/bodymass/versions/1/stats",
        "/v2/models/bodymass/config",
        "/v2/models/bodymass/ready",
        "/health/ready",
        "/ping",
        "/version",
    )
    return [
        *(
            HttpRequest(protocol, path, json_type, json.dumps(body).encode())
            for protocol, path, body in _json_requests()
        ),
        _binary_request(),
        _npy_request(),
        _arrow_request(),
        HttpRequest("csv", "/predict", {"Content-Type": "text/csv"}, table),
        HttpRequest("csv", "/invocations", {"Content-Type": "text/csv; header=absent"}, table[20:]),
        HttpRequest("ndjson", "/predict", {"Content-Type": NDJSON}, lines),
        HttpRequest("ndjson", "/v1/models/bodymass:predict", {"Content-Type": NDJSON}, lines),
        *(HttpRequest("reads", path, method="GET") for path in reads),
    ]


def _by_protocol(requests: list[HttpRequest]) -> list[list[HttpRequest]]:
    """Return the requests of each protocol. Each protocol is equally likely to be drawn."""
    return [
        [request for request in requests if request.protocol == protocol]
        for protocol in dict.fromkeys(request.protocol for request in requests)
    ]


VALID_REQUESTS = _valid_requests()

PROTOCOLS = _by_protocol(VALID_REQUESTS)

WEIRD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 1e308, 1e-320, 5e-324, -0.0, 0.1,
    "", " ", "\0", "red", "1", "1e5", "NaN", "Infinity", "\ud83d\ude00", "\u202e", "a" * 300, "2024-13-45",
    "2024-04-03T99:99", "9" * 400, [], {}, [[]], [{}], [None], {"": {}}, [1, "a", None], [[1], [2]],
    {"b64": "cmVk"}, {"b64": "%"}, ["red"] * 50, {"name": "numbers"}, "FP64", "BYTES", "BOOL", "UINT64",
    "height_cm", "numbers", "label",
)  # fmt: skip

TOKENS = (
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"NaN",
    b"-Infinity", b"1e999", b"-", b"0x10", b"1_000", b"9" * 500, b"[" * 900, b'{"a":' * 300, b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xc0\x80", b"\0", b"\r\n", b"\n", b";", b"\t", b"|", b'""', b"\x93NUMPY\x01\x00",
    b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"'", b"inf", b"--",
    b"<f8", b"|O", b"<U99999999", b"(1099511627776, 2)", b"/*", b"\x1f\x8b\x08", b"0" * 4096,
)  # fmt: skip

CONTENT_TYPES = (
    "application/json", "text/csv", "text/csv; header=absent", "text/csv;header=present;charset=utf-16",
    NDJSON, "application/jsonlines", NPY, ARROW, "application/vnd.apache.arrow.file",
    "application/octet-stream", "text/plain", "application/x-www-form-urlencoded", "image/png", "", ";", "a" * 900,
    "multipart/form-data; boundary=x", "application/json; charset=utf-7", "\xff\xfe", "text/csv; header",
)  # fmt: skip

ACCEPTS = (
    "*/*", "application/json", "text/csv", NPY, ARROW, NDJSON, "text/html", "application/json;q=0",
    "text/csv;q=0.5, application/x-npy;q=0.9", "q=1;;;,,,", ",".join(["text/csv;q=0.1"] * 200), "*/*;q=nan",
    "application/x-npy;q=1e999", "\xff",
)  # fmt: skip

ENCODINGS = (
    "gzip",
    "deflate",
    "br",
    "identity",
    "gzip, gzip",
    "GZIP",
    "",
    "x-gzip",
    "zstd",
    "\xff",
)

LENGTHS = (
    "0",
    "-1",
    "1",
    "7",
    "99999999",
    "1e3",
    "",
    " 5",
    "0x10",
    "9" * 400,
    "\u00b2",
    "+5",
    "12,12",
)

SEGMENTS = (
    "dogs", "..", "%2e%2e", "%00", "%ff", "a" * 300, "bodymass%3Apredict", "\xe9", "", "mixed", "1", "-1",
    "9" * 40, "1.0", "%0d%0aX: y", "*", "labels", "stable", "metadata", "stats", "config", "infer", "ready",
)  # fmt: skip

METHODS = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "POST", "TRACE")

EXTRA_HEADERS = (
    (TIMEOUT, ("0", "-1", "5", "1e9", "9" * 50, "", "soon", "\xff")),
    ("X-Request-Id", ("a", "\xff\xfe", "x" * 5000, "a b", "\"'<script>", "")),
    (
        "Accept-Encoding",
        ("gzip", "deflate;q=0.5, gzip;q=0", "*;q=0", "br", "gzip;q=nan", ";" * 500),
    ),
    (
        "Authorization",
        ("Bearer", "Bearer x", "Basic ????", "Basic OnRvaw==", "\xff", "B" * 9000, ""),
    ),
    ("Cookie", ("a=b;" * 500,)),
    ("Range", ("bytes=0-1",)),
    ("If-None-Match", ("*",)),
    ("Expect", ("100-continue", "200-ok")),
    ("X-Forwarded-For", ("' or 1=1",)),
)


class HostileRequests:
    """An endless stream of hostile requests.

    Args:
        seed: seed of the random generator.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._bombs, self._object_floods = _bombs(), _object_floods()

    def __iter__(self) -> Iterator[HttpRequest]:
        while True:
            yield self.next_request()

    def heaviest(self) -> Iterator[HttpRequest]:
        """Yield the requests that take the most memory, each once."""
        yield from self._object_floods
        for _ in range(3 * len(self._bombs)):
            yield self._bomb_request()
        yield self._too_large()

    def next_request(self) -> HttpRequest:
        """Return the next request."""
        chance = self._random.random()
        if chance < 0.0002:
            return self._too_large()
        if chance < 0.002:
            return self._bomb_request()
        if chance < 0.006:
            return self._random.choice(self._object_floods)
        request = self._any()
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            request = self._random.choice(_DAMAGES)(self._random, request)
        return request

    def _any(self) -> HttpRequest:
        return self._random.choice(self._random.choice(PROTOCOLS))

    def _too_large(self) -> HttpRequest:
        return replace(self._any(), protocol="oversized", body=_TOO_LARGE)

    def _bomb_request(self) -> HttpRequest:
        request = self._any()
        bomb = self._random.choice(self._bombs)
        encoding = "deflate" if bomb[:2] != b"\x1f\x8b" else "gzip"
        headers = request.headers | {"Content-Encoding": encoding}
        return replace(request, protocol="bomb", headers=headers, body=bomb)


_TOO_LARGE = b" " * (8 * MIB + 1)


@cache
def _bombs() -> list[bytes]:
    return [_bomb(_gzipped), _bomb(zlib.compress), _gzipped(b"{" * MIB)]


@cache
def _object_floods() -> list[HttpRequest]:
    """Return small bodies that could become many objects."""
    return [
        HttpRequest("ndjson", "/predict", {"Content-Type": NDJSON}, b"{}\n" * 3000),
        HttpRequest("ndjson", "/predict", {"Content-Type": NDJSON}, b"\n" * 60_000),
        HttpRequest("ndjson", "/predict", {"Content-Type": NDJSON}, b"[[[[\n0\n" * 5000),
        HttpRequest(
            "csv",
            "/predict",
            {"Content-Type": "text/csv"},
            b"height_cm,weight_kg\n" + b",\n" * 20_000,
        ),
        HttpRequest("csv", "/predict", {"Content-Type": "text/csv"}, b"a," * 20_000),
        HttpRequest("csv", "/predict", {"Content-Type": "text/csv"}, b'"' * 60_001),
        HttpRequest("rows", "/predict", {}, b'{"instances":[' + b"{}," * 9000 + b"{}]}"),
        HttpRequest("rows", "/predict", {}, b'{"instances":[' + b"{}," * 30_000 + b"{}]}"),
        HttpRequest("rows", "/predict", {}, b'{"instances":' + b"[" * 50_000),
        HttpRequest("rows", "/predict", {}, b'{"inputs":{"a":[' + b"[]," * 20_000 + b"1]}}"),
        HttpRequest(
            "invocations",
            "/invocations",
            {},
            b'{"dataframe_split":{"columns":["a"],"data":[' + b"[]," * 20_000 + b"[1]]}}",
        ),
        HttpRequest(
            "invocations",
            "/invocations",
            {},
            b'{"dataframe_split":{"columns":[' + b'"a",' * 20_000 + b'"b"],"data":[[1]]}}',
        ),
        HttpRequest(
            "classify",
            "/v1/models/bodymass:classify",
            {},
            b'{"examples":[' + b"{}," * 20_000 + b"{}]}",
        ),
        HttpRequest(
            "v2", "/v2/models/bodymass/infer", {}, b'{"inputs":[' + b"{}," * 20_000 + b"{}]}"
        ),
        HttpRequest(
            "v2",
            "/v2/models/bodymass/infer",
            {},
            b'{"inputs":[{"name":"numbers","shape":['
            + b"1," * 20_000
            + b'1],"datatype":"FP64","data":[1]}]}',
        ),
        HttpRequest(
            "v2",
            "/v2/models/bodymass/infer",
            {},
            b'{"inputs":[{"name":"numbers","shape":'
            b'[4611686018427387904,4],"datatype":"FP64","data":[]}]}',
        ),
    ]


def _gzipped(content: bytes, level: int = 9) -> bytes:
    return gzip.compress(content, level, mtime=0)


def _bomb(compress: Callable[[bytes], bytes]) -> bytes:
    """Return some kilobytes that inflate to more than the limit."""
    return compress(b'{"instances":[' + b"[1,2]," * (3 * MIB))


Damage = Callable[[random.Random, HttpRequest], HttpRequest]


def _flip_bits(chance: random.Random, request: HttpRequest) -> HttpRequest:
    if not request.body:
        return request
    body = bytearray(request.body)
    for _ in range(chance.choice((1, 1, 2, 8))):
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return replace(request, body=bytes(body))


def _set_bytes(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """Overwrite a few bytes, often of a length, with the largest, the smallest or random ones."""
    if not request.body:
        return request
    at, count = chance.randrange(len(request.body)), chance.choice((1, 2, 4, 8))
    new = chance.choice((b"\xff" * count, bytes(count), chance.randbytes(count)))
    return replace(request, body=request.body[:at] + new + request.body[at + count :])


def _cut(chance: random.Random, request: HttpRequest) -> HttpRequest:
    return replace(request, body=request.body[: chance.randrange(len(request.body) + 1)])


def _drop(chance: random.Random, request: HttpRequest) -> HttpRequest:
    a, b = sorted(chance.randrange(len(request.body) + 1) for _ in range(2))
    return replace(request, body=request.body[:a] + request.body[b:])


def _double(chance: random.Random, request: HttpRequest) -> HttpRequest:
    a, b = sorted(chance.randrange(len(request.body) + 1) for _ in range(2))
    return replace(
        request,
        body=request.body[:b] + request.body[a:b] * chance.choice((1, 2, 30)) + request.body[b:],
    )


def _insert(chance: random.Random, request: HttpRequest) -> HttpRequest:
    at = chance.randrange(len(request.body) + 1)
    token = chance.choice(TOKENS)
    if chance.random() < 0.2:
        token = chance.randbytes(chance.randrange(1, 200))
    return replace(request, body=request.body[:at] + token + request.body[at:])


def _noise(chance: random.Random, request: HttpRequest) -> HttpRequest:
    return replace(request, body=chance.randbytes(chance.randrange(2000)))


def _swap_body(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """Replace the body by the body of another request."""
    other = chance.choice(VALID_REQUESTS)
    return replace(request, body=other.body, method=other.method)


def _change_value(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """Change a value of the JSON, which stays valid; keep the bytes after it."""
    length = request.headers.get(LENGTH, "")
    end = (
        int(length)
        if length.isdecimal() and length.isascii() and len(length) < 9
        else len(request.body)
    )
    try:
        document = json.loads(request.body[:end])
    except (ValueError, RecursionError):
        return request
    holders = list(_holders(document))
    if not holders:
        return request
    holder = chance.choice(holders)
    key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match chance.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(("", "zzz", "height_cm", "data", "\u20ac"))] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder.extend([holder[key]] * chance.choice((1, 3, 100)))
        case 3:
            holder[key] = deepcopy(chance.choice(holders))
        case _:
            holder[key] = chance.choice(WEIRD)
    try:
        head = json.dumps(document).encode()
    except (ValueError, RecursionError):
        return request
    headers = request.headers | ({LENGTH: str(len(head))} if length else {})
    return replace(request, headers=headers, body=head + request.body[end:])


def _holders(value: Any) -> Iterator[Any]:
    """Yield every list and object that is not empty."""
    if isinstance(value, list | dict) and value:
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def _change_type(chance: random.Random, request: HttpRequest) -> HttpRequest:
    return replace(
        request, headers=request.headers | {"Content-Type": chance.choice(CONTENT_TYPES)}
    )


def _change_accept(chance: random.Random, request: HttpRequest) -> HttpRequest:
    return replace(request, headers=request.headers | {"Accept": chance.choice(ACCEPTS)})


def _change_length(chance: random.Random, request: HttpRequest) -> HttpRequest:
    length = chance.choice((*LENGTHS, str(chance.randrange(len(request.body) + 2))))
    return replace(request, headers=request.headers | {LENGTH: length})


def _change_header(chance: random.Random, request: HttpRequest) -> HttpRequest:
    name, values = chance.choice(EXTRA_HEADERS)
    return replace(request, headers=request.headers | {name: chance.choice(values)})


def _encode(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """Set a Content-Encoding that may be right, half right or wrong."""
    encoding = chance.choice(ENCODINGS)
    body = request.body
    if chance.random() < 0.7:
        body = chance.choice((_gzipped, zlib.compress))(body, 1)
    if chance.random() < 0.4:
        body = body[: chance.randrange(len(body) + 1)] + chance.randbytes(chance.randrange(20))
    return replace(request, headers=request.headers | {"Content-Encoding": encoding}, body=body)


def _change_path(chance: random.Random, request: HttpRequest) -> HttpRequest:
    parts = request.path.split("/")
    at = chance.randrange(1, len(parts))
    match chance.randrange(4):
        case 0:
            parts[at] = chance.choice(SEGMENTS)
        case 1:
            parts.insert(at, chance.choice(SEGMENTS))
        case 2:
            del parts[at]
        case _:
            parts[-1] += chance.choice(
                ("?", "?a=b&a=c", "/", "//", "%", "%zz", ":", "#", "?" + "q" * 3000)
            )
    return replace(request, path="/" + "/".join(parts[1:]).replace(" ", "%20"))


def _change_method(chance: random.Random, request: HttpRequest) -> HttpRequest:
    return replace(request, method=chance.choice(METHODS))


def _npy_header(chance: random.Random, request: HttpRequest) -> HttpRequest:
    """Return an array that does not match its well-formed header."""
    header = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format(
        chance.choice(("'<f8'", "'>f8'", "'<f2'", "'|O'", "'<U4'", "'|b1'", "'<c16'", "'<M8[s]'", "'|V8'",
                       "[('height_cm','<f8'),('weight_kg','<f8')]", "'<f8'*9", "'<U999999999'", "None", "'<i8'")),
        chance.choice(("False", "True", "None", "[]")),
        chance.choice(("(2, 2)", "(2,)", "()", "(1099511627776, 2)", "(0, 2)", "(-1, 2)", "(2, 2, 1)", "None",
                       "(4, 0)", "(9223372036854775807, 9223372036854775807)", "'2'", "(True, 2)")),
    )  # fmt: skip
    major = chance.choice((1, 1, 1, 2, 3, 4, 0, 255))
    text = header.encode() + b" " * chance.randrange(64) + b"\n"
    length = len(text) if chance.random() < 0.8 else chance.choice((0, 5, 60_000))
    head = (
        b"\x93NUMPY" + bytes([major, 0]) + length.to_bytes(2 if major == 1 else 4, "little") + text
    )
    data = chance.choice((np.arange(4.0).tobytes(), b"", chance.randbytes(32), bytes(8000)))
    return replace(request, protocol="npy", headers={"Content-Type": NPY}, body=head + data)


_DAMAGES: tuple[Damage, ...] = (
    _flip_bits, _flip_bits, _set_bytes, _cut, _drop, _double, _insert, _insert, _noise, _swap_body,
    _change_value, _change_value, _change_value, _change_value, _change_type, _change_accept,
    _change_length, _change_header, _encode, _change_path, _change_method, _npy_header,
)  # fmt: skip
