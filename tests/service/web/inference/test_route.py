"""Any request to a prediction gets predictions or an error in the one shape, never a status of 500."""

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
VALID = json.dumps({"instances": [ROW, ROW]}).encode()
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
def check_response(lasting_client, failed):
    """Return a function that sends a body and checks the response: predictions, or an error in the one shape."""

    def check(path: str, body: bytes, content_type: str | None = None, headers=None) -> None:
        response = lasting_client.post(path, data=body, content_type=content_type, headers=headers)
        is_json = response.headers["Content-Type"] == "application/json"
        assert is_json or (response.status_code == 200 and "Accept" in headers)
        if not is_json:
            assert response.headers["Content-Type"].split(";")[0] in TABLES
        elif response.status_code == 200:
            body = response.json
            assert len(body["predictions" if "predictions" in body else "outputs"]) >= 0
            assert body["id"] == response.headers["X-Request-Id"]
        else:
            assert 400 <= response.status_code < 500
            failed(response)

    return check


@given(
    path=PATHS,
    body=st.binary() | st.binary().map(NPY[:8].__add__),
    content_type=st.sampled_from(["text/csv", *TABLES, None]),
)
def test_arbitrary_bytes_get_a_valid_response(
    check_response, path: str, body: bytes, content_type: str | None
) -> None:
    check_response(path, body, content_type)


@given(path=PATHS, value=JSON)
def test_arbitrary_json_gets_a_valid_response(check_response, path: str, value) -> None:
    check_response(path, json.dumps(value).encode())


@given(path=PATHS, rows=st.lists(JSON, max_size=4))
def test_arbitrary_rows_get_a_valid_response(check_response, path: str, rows) -> None:
    check_response(path, json.dumps({"instances": rows}).encode())


@given(
    path=PATHS,
    columns=st.dictionaries(
        st.sampled_from(["height_cm", "weight_kg", "member", "color", "size/cm", "age", "x"]),
        st.lists(JSON, max_size=3) | JSON,
    ),
)
def test_arbitrary_columns_get_a_valid_response(check_response, path: str, columns) -> None:
    check_response(path, json.dumps({"inputs": columns}).encode())


@given(
    valid=st.sampled_from(
        [
            *((VALID, None), (CSV, "text/csv"), (NPY, None)),
            (STREAM, "application/vnd.apache.arrow.stream"),
        ]
    ),
    changes=st.lists(
        st.tuples(st.integers(0, 1000), st.sampled_from("idr"), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    ),
)
def test_body_with_changed_bytes_gets_a_valid_response(check_response, valid, changes) -> None:
    body, content_type = bytearray(valid[0]), valid[1]
    for place, kind, new in changes:
        at = place % (len(body) + 1)
        body[at : at + (0 if kind == "i" else 1)] = b"" if kind == "d" else new
    check_response("/predict", bytes(body), content_type)


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
def test_arbitrary_csv_gets_a_valid_response(check_response, lines, ending: str) -> None:
    body = ending.join(lines).encode("utf-8", "replace")
    check_response("/predict", body, "text/csv")


@given(headers=HEADERS, body=st.sampled_from([VALID, CSV, b""]))
def test_arbitrary_headers_get_a_valid_response(check_response, headers, body) -> None:
    check_response("/predict", body, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(body=st.binary(max_size=100))
def test_arbitrary_compressed_bytes_get_a_valid_response(
    check_response, encoding: str, body: bytes
) -> None:
    check_response("/predict", body, headers={"Content-Encoding": encoding})


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
def test_arbitrary_values_for_datetimes_get_a_valid_response(
    dated_client, failed, rows, csv
) -> None:
    if csv:
        lines = ["size,seen,color,paid,opens", *(",".join(map(str, row)) for row in rows)]
        body, content_type = "\n".join(lines).encode("utf-8", "replace"), "text/csv"
    else:
        body, content_type = json.dumps({"instances": rows}).encode(), "application/json"
    response = dated_client.post("/predict", data=body, content_type=content_type)
    if response.status_code != 200:
        assert response.status_code == 400
        failed(response)


def test_body_limit_applies_before_and_after_decompression(start, models, failed) -> None:
    client = start(models=models, max_body_bytes=200)
    body = json.dumps({"instances": [ROW]}).encode()
    assert client.post("/predict", data=body.ljust(200)).status_code == 200
    failed(client.post("/predict", data=body.ljust(201)), 413, "body_too_large")
    headers = {"Content-Encoding": "gzip"}
    for size, status in ((200, 200), (201, 413)):
        compressed = gzip.compress(body.ljust(size))
        assert len(compressed) < 100
        response = client.post("/predict", data=compressed, headers=headers)
        assert response.status_code == status, response.json
    failed(response, 413, "body_too_large")


def test_generated_request_id_is_in_the_body_and_a_header(lasting_client) -> None:
    first, second = (lasting_client.post("/predict", data=VALID) for _ in range(2))
    assert first.json["id"] == first.headers["X-Request-Id"]
    assert first.json["id"] != second.json["id"]


def test_unsafe_request_id_is_replaced(lasting_client) -> None:
    response = lasting_client.post("/predict", data=VALID, headers={"X-Request-Id": "<b>"})
    assert response.json["id"] == response.headers["X-Request-Id"] != "<b>"


def test_error_response_has_the_request_id_of_the_client(lasting_client, failed) -> None:
    response = lasting_client.post("/predict", data=b"", headers={"X-Request-Id": "mine"})
    failed(response, 400)
    assert response.headers["X-Request-Id"] == "mine"
