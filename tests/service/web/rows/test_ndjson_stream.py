"""A row a line: every row has its line in the answer, whatever stands in the others."""

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

GOOD = b'{"height_cm": 172, "weight_kg": 95}'
WRONG = b'{"height_cm": "tall", "wieght_kg": 95}'


def sent(client, body: bytes, path: str = "/predict", **headers: str) -> list[Any]:
    """The lines of the answer to a body of lines."""
    answer = client.post(path, data=body, content_type=NDJSON, headers=headers)
    assert answer.status_code == 200, answer.data
    assert answer.content_type == NDJSON
    assert answer.data.endswith(b"\n")
    return [json.loads(line) for line in answer.data.splitlines()]


@pytest.fixture(scope="module")
def model(tmp_path_factory, write_model) -> Model:
    path = write_model(tmp_path_factory.mktemp("models"))
    return load_model(path, name="bodymass", version=1, threads=1, max_bytes=2**20)


@pytest.fixture(scope="module")
def streamed(model) -> Callable[..., RowStream]:
    """The stream of a body, as the model answers it or another."""

    def stream(body: bytes, run: Any = None, other: Model | None = None) -> RowStream:
        answering = other or model

        def answer(columns: Columns) -> Observation:
            out_of_range = answering.watch.out_of_range(columns)
            return Observation(answering, answering.session.run(columns), out_of_range)

        return NdjsonProtocol().stream(answering, body, run or answer)

    return stream


def lines_of(stream: RowStream) -> list[Any]:
    """All lines, decoded; each piece is whole lines."""
    pieces = []
    while not stream.is_finished:
        pieces.append(next(stream))
        assert pieces[-1].endswith(b"\n")
    return [json.loads(line) for line in b"".join(pieces).splitlines()]


def test_bodies_are_held_up_to_a_bound_until_their_answers_are_over(model) -> None:
    protocol = NdjsonProtocol(max_held_bytes=20)

    def stream(body: bytes) -> RowStream:
        return protocol.stream(model, body, lambda columns: None)  # type: ignore[arg-type,return-value]

    first = stream(b"[172, 95]\n" * 5)  # one alone is taken, however large
    with pytest.raises(Overloaded):
        stream(b"[1, 2]")
    first.close()
    second, third = stream(b"[172, 95]"), stream(b"[172, 95]")
    with pytest.raises(Overloaded):
        stream(b"[1, 2]")
    second.close()
    stream(b"[1, 2]").close()
    third.close()


# What is sent.


def test_rows_are_answered_bit_for_bit_as_in_json_however_many_there_are(lasting_client) -> None:
    rows = [[140 + i % 60 + 0.1, 40 + i % 80] for i in range(2500)]
    body = b"\n".join(json.dumps(row).encode() for row in rows)
    expected = lasting_client.post("/predict", json={"instances": rows}).json["predictions"]
    assert sent(lasting_client, body) == expected


def test_rows_may_be_objects_and_lists_side_by_side(lasting_client) -> None:
    objects = sent(lasting_client, b"\n".join([GOOD] * 9))
    assert sent(lasting_client, b"\n".join([GOOD, b"[172, 95]", GOOD] * 3)) == objects


@pytest.mark.parametrize(
    "body",
    [
        GOOD + b"\n" + GOOD,
        GOOD + b"\n" + GOOD + b"\n",
        GOOD + b"\r\n" + GOOD + b"\r\n",
        b"\xef\xbb\xbf" + GOOD + b"\n" + GOOD,
        b"\n\n \t\r\n" + GOOD + b"\n\n\n" + GOOD + b"\n \n\n",
        b"\n" * 5000 + GOOD + b"\n" * 5000 + GOOD + b"\n" * 5000,
        b"  " + GOOD + b"  \n\t" + GOOD + b" \r",
    ],
)
def test_empty_lines_and_blanks_around_rows_are_passed_over(lasting_client, body: bytes) -> None:
    first, second = sent(lasting_client, body)
    assert first == second
    assert first["label"] == "overweight"


@pytest.mark.parametrize(
    "media_type", [*sorted(MEDIA_TYPES), "Application/X-NDJSON; charset=utf-8"]
)
def test_every_name_of_the_form_is_known(lasting_client, media_type: str) -> None:
    answer = lasting_client.post("/predict", data=GOOD, content_type=media_type)
    assert (answer.status_code, answer.content_type) == (200, NDJSON)


@pytest.mark.parametrize(
    "path", ["/v1/models/mixed:predict", "/v1/models/mixed/versions/1:predict"]
)
def test_models_are_asked_by_name_and_say_theirs(lasting_client, path: str) -> None:
    row = b'{"member": true, "color": "red", "size/cm": 2.5}'
    answer = lasting_client.post(path, data=row, content_type=NDJSON)
    assert json.loads(answer.data)["label"] == "yes"
    assert (answer.headers["X-Model-Name"], answer.headers["X-Model-Version"]) == ("mixed", "1")


def test_the_bound_on_rows_is_not_theirs_and_that_on_bytes_is(start, models, failed) -> None:
    client = start(models=models, max_rows=2, max_body_bytes=10 * len(GOOD) + 9)
    assert len(sent(client, b"\n".join([GOOD] * 10))) == 10
    answer = client.post("/predict", data=b"\n".join([GOOD] * 11), content_type=NDJSON)
    failed(answer, 413, "body_too_large")


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n" * 3000, b"\xef\xbb\xbf"])
def test_a_body_without_a_row_is_refused(lasting_client, failed, body: bytes) -> None:
    answer = lasting_client.post("/predict", data=body, content_type=NDJSON)
    failed(answer, 400, "unreadable_body")


def test_what_fails_before_the_first_row_is_a_failure_like_any_other(
    lasting_client, failed
) -> None:
    def answer(path: str, **headers: str) -> Any:
        return lasting_client.post(path, data=GOOD, content_type=NDJSON, headers=headers)

    failed(answer("/v1/models/nobody:predict"), 404, "unknown_model")
    failed(answer("/predict", **{"X-Request-Timeout-Ms": "0"}), 504, "deadline_exceeded")
    failed(answer("/predict", **{"Content-Encoding": "gzip"}), 415, "unsupported_encoding")


# What is wrong with it.


def test_a_wrong_row_is_answered_in_its_line_by_the_problems_that_json_has(lasting_client) -> None:
    first, wrong, last = sent(lasting_client, b"\n".join([GOOD, WRONG, GOOD]))
    assert first == last
    assert first["label"] == "overweight"
    body = b'{"instances": [' + GOOD + b"," + WRONG + b"]}"
    expected = lasting_client.post("/predict", data=body).json
    for problem in expected["problems"]:
        problem["pointer"] = problem["pointer"].removeprefix("/instances/1")
    assert wrong == {"row": 1, **expected}


@pytest.mark.parametrize(
    ("line", "code", "problem"),
    [
        (b"nonsense", "unreadable_body", None),
        (b"\xff\xfe", "unreadable_body", None),
        (GOOD[:-1], "unreadable_body", None),
        (GOOD + GOOD, "unreadable_body", None),
        (GOOD + b" " + GOOD, "unreadable_body", None),
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
def test_a_line_that_is_no_row_says_why_and_which_it_is(
    lasting_client, line, code, problem
) -> None:
    _, wrong, good = sent(lasting_client, GOOD + b"\n\n" + line + b"\n" + GOOD)
    assert (wrong["row"], wrong["code"], good["label"]) == (1, code, "overweight")
    assert isinstance(wrong["error"], str)
    if problem is not None:
        pointer, expected, got = problem
        assert {p["row"] for p in wrong["problems"]} == {1}
        (found,) = (p for p in wrong["problems"] if p["pointer"] == pointer)
        assert found["expected"] == expected
        assert got is None or found["got"] == got


def test_a_value_over_several_lines_is_several_wrong_rows(lasting_client) -> None:
    *wrong, good = sent(lasting_client, b'{"height_cm": 172,\n"weight_kg": 95}\n' + GOOD)
    assert [(line["row"], line["code"]) for line in wrong] == [
        (0, "unreadable_body"),
        (1, "unreadable_body"),
    ]
    assert good["label"] == "overweight"


def test_warnings_stand_in_the_line_of_their_row(lasting_client) -> None:
    row = b'{"member": true, "color": "%s", "size/cm": 2.5}'
    body = b"\n".join(row % color for color in (b"red", b"green", b"blue"))
    plain, out_of_range, last = sent(lasting_client, body, "/v1/models/mixed:predict")
    assert "warnings" not in plain
    assert "warnings" not in last
    (warning,) = out_of_range["warnings"]
    assert (warning["row"], warning["feature"], warning["value"]) == (1, "color", "green")


VALUES = st.sampled_from([172, 95.5, "tall", None, True, [1], {}, 10**400, "1"])
LINES = st.one_of(
    st.sampled_from(
        [GOOD, WRONG, b"[172, 95]", b"nonsense", b"", b" ", b"{}", b"[]", b"1", b"\xff"]
    ),
    st.lists(VALUES, max_size=3).map(lambda row: json.dumps(row).encode()),
    st.dictionaries(st.sampled_from(["height_cm", "weight_kg", "x"]), VALUES).map(
        lambda row: json.dumps(row).encode()
    ),
    st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")),
)


@given(st.lists(LINES, max_size=10))
def test_every_line_is_answered_as_it_is_alone(streamed, lines: list[bytes]) -> None:
    rows = [line for line in lines if line.strip(b" \t\r\n")]
    if not rows:
        return
    found = lines_of(streamed(b"\n".join(lines)))
    assert len(found) == len(rows)
    for index, (row, line) in enumerate(zip(rows, found, strict=True)):
        (alone,) = lines_of(streamed(row))
        if "error" in alone:
            alone["row"] = index
        for told in alone.get("problems", []) + alone.get("warnings", []):
            told["row"] = index
        assert line == alone


# Slices.


def test_rows_are_answered_in_slices_and_none_is_made_unasked(streamed) -> None:
    stream = streamed(GOOD + b"\n" + b"\n".join([GOOD] * (2 * SLICE_ROWS)))
    sizes = []
    while not stream.is_finished:
        assert stream.rows_done == sum(sizes)
        sizes.append(next(stream).count(b"\n"))
    assert sizes == [SLICE_ROWS, SLICE_ROWS, 1]
    with pytest.raises(StopIteration):
        next(stream)


def test_slices_of_a_slow_model_are_small(streamed, model) -> None:
    slow = replace(model, row_seconds=0.001)
    assert next(streamed(b"\n".join([GOOD] * 500), other=slow)).count(b"\n") == 50
    hopeless = replace(model, row_seconds=10.0)
    assert next(streamed(b"\n".join([GOOD] * 9), other=hopeless)).count(b"\n") == 1


def test_rows_that_the_model_has_no_answer_to_are_named_and_the_others_answered(
    streamed, model
) -> None:
    runs = []

    def run(columns: Columns) -> Observation:
        runs.append(len(columns))
        bad = np.flatnonzero(columns.numbers[:, 0] < 0)
        if len(bad):
            said = "values that the model can answer", "no finite probability"
            raise InvalidRows([Problem(int(row), None, None, *said) for row in bad[:20]])
        return Observation(model, model.session.run(columns), ())

    rows = [[-1 if i in (3, 4, 700) else 172, 95] for i in range(900)]
    found = lines_of(streamed(b"\n".join(json.dumps(row).encode() for row in rows), run))
    assert [line["row"] for line in found if "error" in line] == [3, 4, 700]
    assert {line["code"] for line in found if "error" in line} == {"invalid_rows"}
    assert found[4]["problems"][0]["row"] == 4
    assert sum("label" in line for line in found) == 897
    assert len(runs) < 60


def test_a_failure_that_is_no_rows_own_leaves_its_slice_without_an_answer(streamed, model) -> None:
    def run(columns: Columns) -> Observation:
        if columns.numbers[0, 0] == 1:
            raise DeadlineExceeded
        return Observation(model, model.session.run(columns), ())

    stream = streamed(b"\n".join([GOOD] * SLICE_ROWS + [b"[1, 2]"]), run)
    next(stream)
    with pytest.raises(DeadlineExceeded):
        next(stream)
    assert (stream.rows_done, stream.is_finished) == (SLICE_ROWS, False)
    line = json.loads(NdjsonProtocol().encode_error(stream.rows_done, DeadlineExceeded()))
    assert (line["row"], line["code"]) == (SLICE_ROWS, "deadline_exceeded")


def test_behind_many_problems_only_the_first_of_a_row_is_named(streamed) -> None:
    lines = [WRONG, b"[1]", b"{}", b"nonsense", GOOD]
    found = lines_of(streamed(b"\n".join(lines * DETAILED_PROBLEMS)))
    assert len(found) == 5 * DETAILED_PROBLEMS
    early, late = found[:5], found[-5:]
    assert [len(line.get("problems", [])) for line in early] == [2, 1, 2, 0, 0]
    assert [len(line.get("problems", [])) for line in late] == [1, 1, 1, 0, 0]
    assert [line.get("truncated") for line in late] == [True, None, True, None, None]
    assert [line.get("code") for line in late] == [line.get("code") for line in early]
    assert late[4] == early[4]


def test_an_answer_with_too_many_wrong_rows_ends(streamed) -> None:
    stream = streamed(b"1\n" * (MAX_INVALID_ROWS + 1))
    for _ in range(MAX_INVALID_ROWS // SLICE_ROWS):
        next(stream)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_INVALID_ROWS} rows are invalid"):
        next(stream)
    assert stream.rows_done == MAX_INVALID_ROWS


@pytest.mark.parametrize("line", [b"[172,95]", b"", b"1"])
def test_memory_is_that_of_the_body_and_of_one_slice(streamed, line: bytes) -> None:
    body = (line + b"\n") * 20_000 + GOOD
    gc.collect()
    tracemalloc.start()
    try:
        stream = streamed(body)
        while not stream.is_finished:
            next(stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
