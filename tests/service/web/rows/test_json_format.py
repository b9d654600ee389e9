"""Rows as JSON: notations for models of one feature, and bodies made to take long."""

from __future__ import annotations

import json
import time
import tracemalloc

import msgspec
import pytest

from pigeonhole.service.errors import InvalidRows, RequestError, TooManyRows, UnreadableBody
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.web.json_body import check_list_length, nan_to_null, parse_json
from pigeonhole.service.web.rows.json_format import JsonRowDecoder
from pigeonhole.trainer.graph import Graph


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Model:
    """Return a model with one optional number."""
    graph = Graph("single")
    numbers = graph.input("numbers", "double", 1)
    z = graph.add("Cast", numbers, to=1)
    both = graph.add("Concat", z, z, axis=1)
    graph.output(graph.add("Softmax", both, axis=1), "probabilities", "float", 2)
    features = [{"name": "x", "kind": "number", "required": False}]
    metadata = {
        "pigeonhole": "1",
        "signature": json.dumps({"features": features, "classes": ["a", "b"]}),
        "golden": json.dumps(
            [{"row": {"x": 1}, "label": "a", "probabilities": {"a": 0.5, "b": 0.5}}]
        ),
    }
    path = tmp_path_factory.mktemp("single") / "model.onnx"
    path.write_bytes(graph.model(metadata, "test").SerializeToString())
    return load_model(path, name="single", version=1, threads=1, max_bytes=2**20)


ONE_FEATURE = {
    "values": ('{"instances": [1, 2.5, null]}', False),
    "lists": ('{"instances": [[1], [2.5], [null]]}', False),
    "objects": ('{"instances": [{"x": 1}, {"x": 2.5}, {}]}', False),
    "values and lists": ('{"instances": [1, [2.5], {}]}', False),
    "inputs": ('{"inputs": [1, 2.5, null]}', True),
    "lists of inputs": ('{"inputs": [[1], [2.5], [null]]}', True),
    "objects of inputs": ('{"inputs": [{"x": 1}, {"x": 2.5}, {}]}', True),
    "a column": ('{"inputs": {"x": [1, 2.5, null]}}', True),
    "a column of lists": ('{"inputs": {"x": [[1], [2.5], [null]]}}', True),
    "among other keys": ('{"signature_name": 7, "instances": [1, 2.5, null], "x": {}}', False),
}


@pytest.mark.parametrize("name", ONE_FEATURE)
def test_every_notation_for_one_feature_is_accepted(single, name: str) -> None:
    body, expected_by_column = ONE_FEATURE[name]
    columns, by_column = JsonRowDecoder(single).decode(body.encode(), "", 10)
    assert columns.numbers[:2].tolist() == [[1], [2.5]]
    assert str(columns.numbers[2, 0]) == "nan"
    assert by_column is expected_by_column


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ('{"instances": [1, "2", true]}', ["/instances/1", "/instances/2"]),
        ('{"inputs": ["2", [[]]]}', ["/inputs/0", "/inputs/1/0"]),
        ('{"inputs": {"x": [[1], ["2"]]}}', ["/inputs/x/1"]),
        ('{"inputs": {"x": [[1], 2]}}', ["/inputs/x/0"]),
        ('{"inputs": {"x": [[1, 2], [3, 4]]}}', ["/inputs/x/0", "/inputs/x/1"]),
    ],
)
def test_invalid_value_of_one_feature_is_reported_with_its_pointer(single, body, pointers) -> None:
    with pytest.raises(InvalidRows) as caught:
        JsonRowDecoder(single).decode(body.encode(), "", 10)
    assert [problem.pointer for problem in caught.value.problems] == pointers
    assert {problem.feature for problem in caught.value.problems} == {"x"}


def test_response_to_any_inputs_has_columns(lasting_client) -> None:
    rows = [[172, 95], [160, 40]]
    named = [{"height_cm": height, "weight_kg": weight} for height, weight in rows]
    columns = {"height_cm": [172, 160], "weight_kg": [95, 40]}
    nested = {name: [[value] for value in values] for name, values in columns.items()}
    outputs = [
        lasting_client.post("/predict", json={"inputs": inputs}).json["outputs"]
        for inputs in (columns, rows, named, nested)
    ]
    assert outputs == [outputs[0]] * 4


@pytest.mark.parametrize("key", ["instances", "inputs"])
@pytest.mark.parametrize("row", ["1", "[1]", "{}"])
def test_rows_of_one_feature_are_counted_before_decoding(single, key: str, row: str) -> None:
    body = f'{{"{key}": [{row}{f",{row}" * 500_000}]}}'.encode()
    tracemalloc.start()
    try:
        with pytest.raises(TooManyRows) as caught:
            JsonRowDecoder(single).decode(body, "", 1000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.got == 500_001
    assert peak_bytes < 40 * 2**20


@pytest.mark.parametrize(
    "text",
    ['"' + '\\"' * 1_000_000, '"' + "\\" * 1_000_001, '"' * 1_000_001, '"\\",' * 300_000],
    ids=["quotes", "backslashes", "strings", "mixed"],
)
def test_unterminated_string_is_scanned_in_linear_time(single, text: str) -> None:
    body = ("[" * 200_000 + "NaN" + text).encode()
    started = time.perf_counter()
    with pytest.raises(RequestError):
        JsonRowDecoder(single).decode(body, "", 10)
    nan_to_null(body)
    # Searching for its end again from each quote took hours.
    assert time.perf_counter() - started < 10


def test_nan_is_replaced_outside_of_strings_only() -> None:
    body = b'{"NaN": [NaN, "NaN", "a \\" NaN", NaN], "x": "NaN'
    assert nan_to_null(body) == b'{"NaN": [null, "NaN", "a \\" NaN", null], "x": "NaN'
    assert nan_to_null(b"[NaNa, aNaN, -Infinity]") == b"[NaNa, aNaN, -Infinity]"


@pytest.mark.parametrize("kind", [bytes, msgspec.Raw])
def test_list_length_is_limited(kind) -> None:
    rows = kind(b"[" + b"{}," * 100 + b"{}]")
    check_list_length(rows, 101)
    with pytest.raises(TooManyRows, match="101 rows"):
        check_list_length(rows, 100)


def test_list_that_is_cut_short_has_no_length() -> None:
    with pytest.raises(msgspec.MsgspecError):
        check_list_length(b"[" + b"{}," * 100, 10)


def test_json_is_parsed_without_its_byte_order_mark() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1, 2.5, null]}', "", 10) == {"a": [1, 2.5, None]}


def test_nan_is_rejected_by_name() -> None:
    with pytest.raises(UnreadableBody, match="NaN is not a JSON number"):
        parse_json(b"[NaN]", "application/json", 10)
