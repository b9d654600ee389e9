"""Nothing that is sent to a prediction makes a fault of ours, and every failure has one shape."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROW = {"height_cm": 172, "weight_kg": 95}
GOOD = json.dumps({"instances": [ROW, ROW]}).encode()
CSV = b'height_cm,weight_kg\r\n172,95\r\n"1,5",NA\r\n'

_array = io.BytesIO()
np.save(_array, np.array([[172, 95], [180, 50]], np.float32))
NPY = _array.getvalue()

_table = pa.table({"height_cm": [172.0, 180.0], "weight_kg": [95, 50]})
_stream = pa.BufferOutputStream()
with pa.ipc.new_stream(_stream, _table.schema) as _writer:
    _writer.write_table(_table)
STREAM = _stream.getvalue().to_pybytes()

TABLES = {"text/csv", "application/x-npy", "application/vnd.apache.arrow.stream"}

PATHS = st.sampled_from(["/predict", "/v1/models/mixed:predict"])

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from([0, 1, 172, "red", "true", "", " ", 10**400, 5e-324]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                ["instances", "inputs", "height_cm", "weight_kg", "member", "color", "size/cm"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)

HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Content-Type", "Content-Encoding", "X-Request-Id", "Accept", "Accept-Encoding"),
            *("Host", "Range", "If-None-Match", "Cookie", "Expect", "Transfer-Encoding", "Upgrade"),
            *("X-Forwarded-For", "Forwarded", "Authorization", "Content-Length"),
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
    | st.sampled_from(
        ["gzip", "deflate", "text/csv", "application/json; charset=x", "chunked", "0"]
    ),
)


@pytest.fixture(scope="module")
def answered_or_refused(lasting_client, failed):
    """Sends a body: it is result, or refused with a reason in the one shape."""

    def check(path: str, body: bytes, content_type: str | None = None, headers=None) -> None:
        answer = lasting_client.post(path, data=body, content_type=content_type, headers=headers)
        is_json = answer.headers["Content-Type"] == "application/json"
        assert is_json or (answer.status_code == 200 and "Accept" in headers)
        if not is_json:
            assert answer.headers["Content-Type"].split(";")[0] in TABLES
        elif answer.status_code == 200:
            body = answer.json
            assert len(body["predictions" if "predictions" in body else "outputs"]) >= 0
            assert body["id"] == answer.headers["X-Request-Id"]
        else:
            assert 400 <= answer.status_code < 500
            failed(answer)

    return check


@given(
    path=PATHS,
    body=st.binary() | st.binary().map(NPY[:8].__add__),
    content_type=st.sampled_from(["text/csv", *TABLES, None]),
)
def test_arbitrary_bytes_are_answered_or_refused(
    answered_or_refused, path: str, body: bytes, content_type: str | None
) -> None:
    answered_or_refused(path, body, content_type)


@given(path=PATHS, value=JSON)
def test_arbitrary_json_is_answered_or_refused(answered_or_refused, path: str, value) -> None:
    answered_or_refused(path, json.dumps(value).encode())


@given(path=PATHS, rows=st.lists(JSON, max_size=4))
def test_arbitrary_rows_are_answered_or_refused(answered_or_refused, path: str, rows) -> None:
    answered_or_refused(path, json.dumps({"instances": rows}).encode())


@given(
    path=PATHS,
    columns=st.dictionaries(
        st.sampled_from(["height_cm", "weight_kg", "member", "color", "size/cm", "age", "x"]),
        st.lists(JSON, max_size=3) | JSON,
    ),
)
def test_arbitrary_columns_are_answered_or_refused(answered_or_refused, path: str, columns) -> None:
    answered_or_refused(path, json.dumps({"inputs": columns}).encode())


@given(
    valid=st.sampled_from(
        [
            *((GOOD, None), (CSV, "text/csv"), (NPY, None)),
            (STREAM, "application/vnd.apache.arrow.stream"),
        ]
    ),
    changes=st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from("idr"), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    ),
)
def test_a_good_body_with_a_few_bytes_changed_is_answered_or_refused(
    answered_or_refused, valid, changes
) -> None:
    body, content_type = bytearray(valid[0]), valid[1]
    for place, kind, new in changes:
        at = place % (len(body) + 1)
        body[at : at + (0 if kind == "i" else 1)] = b"" if kind == "d" else new
    answered_or_refused("/predict", bytes(body), content_type)


@given(
    lines=st.lists(
        st.lists(
            st.text(max_size=4)
            | st.sampled_from(["height_cm", "weight_kg", "172", "NA", '"', '"1"', "1e400", " 1 "]),
            max_size=4,
        ).map(",".join),
        max_size=5,
    ),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_arbitrary_csv_is_answered_or_refused(answered_or_refused, lines, ending: str) -> None:
    body = ending.join(lines).encode("utf-8", "replace")
    answered_or_refused("/predict", body, "text/csv")


@given(headers=HEADERS, body=st.sampled_from([GOOD, CSV, b""]))
def test_arbitrary_headers_are_answered_or_refused(answered_or_refused, headers, body) -> None:
    answered_or_refused("/predict", body, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(body=st.binary(max_size=100))
def test_arbitrary_compressed_bytes_are_answered_or_refused(
    answered_or_refused, encoding: str, body: bytes
) -> None:
    answered_or_refused("/predict", body, headers={"Content-Encoding": encoding})


@given(
    rows=st.lists(
        st.tuples(
            JSON,
            *[JSON | st.sampled_from(["2024-05-01", "1/5/2024 9:00", "8:30"]) for _ in range(4)],
        ),
        max_size=3,
    ),
    csv=st.booleans(),
)
def test_arbitrary_values_for_datetimes_are_answered_or_refused(
    dated_client, failed, rows, csv
) -> None:
    if csv:
        lines = ["size,seen,color,paid,opens", *(",".join(map(str, row)) for row in rows)]
        body, content_type = "\n".join(lines).encode("utf-8", "replace"), "text/csv"
    else:
        body, content_type = json.dumps({"instances": rows}).encode(), "application/json"
    answer = dated_client.post("/predict", data=body, content_type=content_type)
    if answer.status_code != 200:
        assert answer.status_code == 400
        failed(answer)


def test_the_limit_holds_before_and_after_inflating(start, models, failed) -> None:
    client = start(models=models, max_body_bytes=200)
    body = json.dumps({"instances": [ROW]}).encode()
    assert client.post("/predict", data=body.ljust(200)).status_code == 200
    failed(client.post("/predict", data=body.ljust(201)), 413, "body_too_large")
    headers = {"Content-Encoding": "gzip"}
    for size, status in ((200, 200), (201, 413)):
        packed = gzip.compress(body.ljust(size))
        assert len(packed) < 100
        answer = client.post("/predict", data=packed, headers=headers)
        assert answer.status_code == status, answer.json
    failed(answer, 413, "body_too_large")


def test_a_made_id_is_in_the_answer_and_its_header(lasting_client) -> None:
    first, second = (lasting_client.post("/predict", data=GOOD) for _ in range(2))
    assert first.json["id"] == first.headers["X-Request-Id"]
    assert first.json["id"] != second.json["id"]


def test_an_id_that_is_not_harmless_is_replaced(lasting_client) -> None:
    answer = lasting_client.post("/predict", data=GOOD, headers={"X-Request-Id": "<b>"})
    assert answer.json["id"] == answer.headers["X-Request-Id"] != "<b>"


def test_a_refusal_has_the_callers_id_too(lasting_client, failed) -> None:
    answer = lasting_client.post("/predict", data=b"", headers={"X-Request-Id": "mine"})
    failed(answer, 400)
    assert answer.headers["X-Request-Id"] == "mine"
