"""NDJSON: each row has its own line in the response, and invalid rows affect no other line."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.errors import (
    DeadlineExceeded,
    InvalidRequest,
    InvalidRows,
    Overloaded,
    Problem,
)
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.columns import Columns
from pigeonhole.service.serving.observation import Observation
from pigeonhole.service.web.inference.protocol import RowStream
from pigeonhole.service.web.rows.ndjson_stream import (
    DETAILED_PROBLEMS,
    MAX_INVALID_ROWS,
    MEDIA_TYPES,
    NDJSON,
    SLICE_ROWS,
    NdjsonProtocol,
)

VALID = b'{"height_cm": 172, "weight_kg": 95}'
INVALID = b'{"height_cm": "tall", "wieght_kg": 95}'


def send(client, body: bytes, path: str = "/predict", **headers: str) -> list[Any]:
    """Send a body of lines and return the parsed lines of the response."""
    response = client.post(path, data=body, content_type=NDJSON, headers=headers)
    assert response.status_code == 200, response.data
    assert response.content_type == NDJSON
    assert response.data.endswith(b"\n")
    return [json.loads(line) for line in response.data.splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory, write_model) -> Model:
    path = write_model(tmp_path_factory.mktemp("models"))
    return load_model(path, name="bodymass", version=1, threads=1, max_bytes=2**20)


@pytest.fixture(scope="module")
def open_stream(model) -> Callable[..., RowStream]:
    """Return a function that opens a stream over a body, with a model or a function that runs."""

    def stream(body: bytes, run: Any = None, other: Model | None = None) -> RowStream:
        chosen = other or model

        def run_model(columns: Columns) -> Observation:
            out_of_range = chosen.range_check.out_of_range(columns)
            return Observation(chosen, chosen.session.run(columns), out_of_range)

        return NdjsonProtocol().stream(chosen, body, run or run_model)

    return stream


def lines_of(stream: RowStream) -> list[Any]:
    """Return all parsed lines, after checking that each chunk is whole lines."""
    chunks = []
    while not stream.is_finished:
        chunks.append(next(stream))
        assert chunks[-1].endswith(b"\n")
    return [json.loads(line) for line in b"".join(chunks).splitlines()]


def test_held_bodies_are_limited_until_their_streams_are_closed(model) -> None:
    protocol = NdjsonProtocol(max_held_bytes=20)

    def stream(body: bytes) -> RowStream:
        return protocol.stream(model, body, lambda columns: None)  # type: ignore[arg-type,return-value]

    first = stream(b"[172, 95]\n" * 5)  # a single body may exceed the limit
    with pytest.raises(Overloaded):
        stream(b"[1, 2]")
    first.close()
    second, third = stream(b"[172, 95]"), stream(b"[172, 95]")
    with pytest.raises(Overloaded):
        stream(b"[1, 2]")
    second.close()
    stream(b"[1, 2]").close()
    third.close()


# Valid bodies.


def test_results_equal_those_of_json(lasting_client) -> None:
    rows = [[140 + i % 60 + 0.1, 40 + i % 80] for i in range(2500)]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    expected = lasting_client.post("/predict", json={"instances": rows}).json["predictions"]
    assert send(lasting_client, body) == expected


def test_objects_and_lists_may_be_mixed(lasting_client) -> None:
    objects = send(lasting_client, b"\n".join([VALID] * 9))
    assert send(lasting_client, b"\n".join([VALID, b"[172, 95]", VALID] * 3)) == objects


@pytest.mark.parametrize(
    "body",
    [
        VALID + b"\n" + VALID,
        VALID + b"\n" + VALID + b"\n",
        VALID + b"\r\n" + VALID + b"\r\n",
        b"\xef\xbb\xbf" + VALID + b"\n" + VALID,
        b"\n\n \t\r\n" + VALID + b"\n\n\n" + VALID + b"\n \n\n",
        b"\n" * 5000 + VALID + b"\n" * 5000 + VALID + b"\n" * 5000,
        b"  " + VALID + b"  \n\t" + VALID + b" \r",
    ],
)
def test_blank_lines_and_blanks_around_rows_are_ignored(lasting_client, body: bytes) -> None:
    first, second = send(lasting_client, body)
    assert first == second
    assert first["label"] == "overweight"


@pytest.mark.parametrize(
    "media_type", [*sorted(MEDIA_TYPES), "Application/X-NDJSON; charset=utf-8"]
)
def test_every_name_of_ndjson_is_accepted(lasting_client, media_type: str) -> None:
    response = lasting_client.post("/predict", data=VALID, content_type=media_type)
    assert (response.status_code, response.content_type) == (200, NDJSON)


@pytest.mark.parametrize(
    "path", ["/v1/models/mixed:predict", "/v1/models/mixed/versions/1:predict"]
)
def test_named_model_answers_with_its_name_in_headers(lasting_client, path: str) -> None:
    row = b'{"member": true, "color": "red", "size/cm": 2.5}'
    response = lasting_client.post(path, data=row, content_type=NDJSON)
    assert json.loads(response.data)["label"] == "yes"
    assert (response.headers["X-Model-Name"], response.headers["X-Model-Version"]) == ("mixed", "1")


def test_bytes_are_limited_and_rows_are_not(start, models, failed) -> None:
    client = start(models=models, max_rows=2, max_body_bytes=10 * len(VALID) + 9)
    assert len(send(client, b"\n".join([VALID] * 10))) == 10
    response = client.post("/predict", data=b"\n".join([VALID] * 11), content_type=NDJSON)
    failed(response, 413, "body_too_large")


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n" * 3000, b"\xef\xbb\xbf"])
def test_body_without_rows_is_rejected(lasting_client, failed, body: bytes) -> None:
    response = lasting_client.post("/predict", data=body, content_type=NDJSON)
    failed(response, 400, "unreadable_body")


def test_failure_before_the_first_row_has_its_own_status(lasting_client, failed) -> None:
    def send_row(path: str, **headers: str) -> Any:
        return lasting_client.post(path, data=VALID, content_type=NDJSON, headers=headers)

    failed(send_row("/v1/models/unknown:predict"), 404, "unknown_model")
    failed(send_row("/predict", **{"X-Request-Timeout-Ms": "0"}), 504, "deadline_exceeded")
    failed(send_row("/predict", **{"Content-Encoding": "gzip"}), 415, "unsupported_encoding")


# Invalid rows.


def test_invalid_row_has_the_problems_of_json_in_its_line(lasting_client) -> None:
    first, invalid, last = send(lasting_client, b"\n".join([VALID, INVALID, VALID]))
    assert first == last
    assert first["label"] == "overweight"
    body = b'{"instances": [' + VALID + b"," + INVALID + b"]}"
    expected = lasting_client.post("/predict", data=body).json
    for problem in expected["problems"]:
        problem["pointer"] = problem["pointer"].removeprefix("/instances/1")
    assert invalid == {"row": 1, **expected}


@pytest.mark.parametrize(
    ("line", "code", "problem"),
    [
        (b"nonsense", "unreadable_body", None),
        (b"\xff\xfe", "unreadable_body", None),
        (VALID[:-1], "unreadable_body", None),
        (VALID + VALID, "unreadable_body", None),
        (VALID + b" " + VALID, "unreadable_body", None),
        (b"[172, 95],", "unreadable_body", None),
        (b"[NaN, 95]", "unreadable_body", None),
        (b"[" * 50_000, "unreadable_body", None),
        (b"[" + b"[]," * 200_000 + b"[]]", "invalid_request", None),
        (b"[172]", "invalid_rows", ("", "2 values: height_cm, weight_kg", "1 value")),
        (b"null", "invalid_rows", ("", "an object or a list of feature values", "null")),
        (b"[172, 1e400]", "invalid_rows", ("/1", "number within the range of doubles", None)),
        (b'{"a/b~c": 1}', "invalid_rows", ("/a~1b~0c", "a known feature", "a/b~c")),
    ],
)
def test_line_that_is_not_a_row_gets_an_error_with_its_index(
    lasting_client, line, code, problem
) -> None:
    _, invalid, good = send(lasting_client, VALID + b"\n\n" + line + b"\n" + VALID)
    assert (invalid["row"], invalid["code"], good["label"]) == (1, code, "overweight")
    assert isinstance(invalid["error"], str)
    if problem is not None:
        pointer, expected, got = problem
        assert {p["row"] for p in invalid["problems"]} == {1}
        (found,) = (p for p in invalid["problems"] if p["pointer"] == pointer)
        assert found["expected"] == expected
        assert got is None or found["got"] == got


def test_value_over_several_lines_is_several_invalid_rows(lasting_client) -> None:
    *invalid, good = send(lasting_client, b'{"height_cm": 172,\n"weight_kg": 95}\n' + VALID)
    assert [(line["row"], line["code"]) for line in invalid] == [
        (0, "unreadable_body"),
        (1, "unreadable_body"),
    ]
    assert good["label"] == "overweight"


def test_warnings_are_in_the_line_of_their_row(lasting_client) -> None:
    row = b'{"member": true, "color": "%s", "size/cm": 2.5}'
    body = b"\n".join(row % color for color in (b"red", b"green", b"blue"))
    plain, out_of_range, last = send(lasting_client, body, "/v1/models/mixed:predict")
    assert "warnings" not in plain
    assert "warnings" not in last
    (warning,) = out_of_range["warnings"]
    assert (warning["row"], warning["feature"], warning["value"]) == (1, "color", "green")


VALUES = st.sampled_from([172, 95.5, "tall", None, True, [1], {}, 10**400, "1"])
BOM = b"\xef\xbb\xbf"

LINES = st.one_of(
    st.sampled_from(
        [VALID, INVALID, b"[172, 95]", b"nonsense", b"", b" ", b"{}", b"[]", b"1", b"\xff"]
    ),
    st.lists(VALUES, max_size=3).map(lambda row: json.dumps(row).encode()),
    st.dictionaries(st.sampled_from(["height_cm", "weight_kg", "x"]), VALUES).map(
        lambda row: json.dumps(row).encode()
    ),
    # Without byte order marks: a body of nothing else is empty.
    st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"").replace(BOM, b"")),
)


@given(st.lists(LINES, max_size=10))
def test_each_line_gets_the_response_that_it_gets_alone(open_stream, lines: list[bytes]) -> None:
    rows = [line for line in lines if line.strip(b" \t\r\n")]
    if not rows:
        return
    found = lines_of(open_stream(b"\n".join(lines)))
    assert len(found) == len(rows)
    for index, (row, line) in enumerate(zip(rows, found, strict=True)):
        (alone,) = lines_of(open_stream(row))
        if "error" in alone:
            alone["row"] = index
        for item in alone.get("problems", []) + alone.get("warnings", []):
            item["row"] = index
        assert line == alone


# Slices.


def test_slices_are_computed_on_demand(open_stream) -> None:
    stream = open_stream(VALID + b"\n" + b"\n".join([VALID] * (2 * SLICE_ROWS)))
    sizes = []
    while not stream.is_finished:
        assert stream.rows_done == sum(sizes)
        sizes.append(next(stream).count(b"\n"))
    assert sizes == [SLICE_ROWS, SLICE_ROWS, 1]
    with pytest.raises(StopIteration):
        next(stream)


def test_slow_model_gets_small_slices(open_stream, model) -> None:
    slow = replace(model, row_seconds=0.001)
    assert next(open_stream(b"\n".join([VALID] * 500), other=slow)).count(b"\n") == 50
    very_slow = replace(model, row_seconds=10.0)
    assert next(open_stream(b"\n".join([VALID] * 9), other=very_slow)).count(b"\n") == 1


def test_rows_without_a_finite_prediction_get_errors_and_the_others_results(
    open_stream, model
) -> None:
    runs = []

    def run(columns: Columns) -> Observation:
        runs.append(len(columns))
        failing = np.flatnonzero(columns.numbers[:, 0] < 0)
        if len(failing):
            texts = "values that the model can predict", "no finite probability"
            raise InvalidRows([Problem(int(row), None, None, *texts) for row in failing[:20]])
        return Observation(model, model.session.run(columns), ())

    rows = [[-1 if i in (3, 4, 700) else 172, 95] for i in range(900)]
    found = lines_of(open_stream(b"\n".join(json.dumps(row).encode() for row in rows), run))
    assert [line["row"] for line in found if "error" in line] == [3, 4, 700]
    assert {line["code"] for line in found if "error" in line} == {"invalid_rows"}
    assert found[4]["problems"][0]["row"] == 4
    assert sum("label" in line for line in found) == 897
    assert len(runs) < 60


def test_failed_run_leaves_its_slice_without_results(open_stream, model) -> None:
    def run(columns: Columns) -> Observation:
        if columns.numbers[0, 0] == 1:
            raise DeadlineExceeded
        return Observation(model, model.session.run(columns), ())

    stream = open_stream(b"\n".join([VALID] * SLICE_ROWS + [b"[1, 2]"]), run)
    next(stream)
    with pytest.raises(DeadlineExceeded):
        next(stream)
    assert (stream.rows_done, stream.is_finished) == (SLICE_ROWS, False)
    line = json.loads(NdjsonProtocol().encode_error(stream.rows_done, DeadlineExceeded()))
    assert (line["row"], line["code"]) == (SLICE_ROWS, "deadline_exceeded")


def test_after_many_problems_only_the_first_of_each_row_is_reported(open_stream) -> None:
    lines = [INVALID, b"[1]", b"{}", b"nonsense", VALID]
    found = lines_of(open_stream(b"\n".join(lines * DETAILED_PROBLEMS)))
    assert len(found) == 5 * DETAILED_PROBLEMS
    early, late = found[:5], found[-5:]
    assert [len(line.get("problems", [])) for line in early] == [2, 1, 2, 0, 0]
    assert [len(line.get("problems", [])) for line in late] == [1, 1, 1, 0, 0]
    assert [line.get("truncated") for line in late] == [True, None, True, None, None]
    assert [line.get("code") for line in late] == [line.get("code") for line in early]
    assert late[4] == early[4]


def test_response_with_too_many_invalid_rows_ends(open_stream) -> None:
    stream = open_stream(b"1\n" * (MAX_INVALID_ROWS + 1))
    for _ in range(MAX_INVALID_ROWS // SLICE_ROWS):
        next(stream)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_INVALID_ROWS} rows are invalid"):
        next(stream)
    assert stream.rows_done == MAX_INVALID_ROWS


@pytest.mark.parametrize("line", [b"[172,95]", b"", b"1"])
def test_stream_takes_the_memory_of_the_body_and_one_slice(open_stream, line: bytes) -> None:
    body = (line + b"\n") * 20_000 + VALID
    gc.collect()
    tracemalloc.start()
    try:
        stream = open_stream(body)
        while not stream.is_finished:
            next(stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
