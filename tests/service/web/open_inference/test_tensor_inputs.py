"""The tensors that a model accepts, with and without metadata, and their columns."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pigeonhole.service.errors import InvalidRequest, InvalidRows, TooManyRows
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.validation import columns_from_values
from pigeonhole.service.web.open_inference.binary_tensor import BinaryTensor, encode_texts
from pigeonhole.service.web.open_inference.json_tensor import JsonTensor
from pigeonhole.service.web.open_inference.tensor import RequestTensor
from pigeonhole.service.web.open_inference.tensor_inputs import InputSpec, graph_inputs
from pigeonhole.trainer.graph import Graph

LIMIT = 5


@pytest.fixture
def load(tmp_path: Path):
    """Return a function that loads a model without metadata, from (type, columns) by input name."""

    def load(**inputs: tuple[str, int]) -> Model:
        graph = Graph("bare")
        sums = []
        for name, (kind, columns) in inputs.items():
            value = graph.input(name, kind, columns)
            if kind == "string":
                value = graph.add("Equal", value, graph.constant(np.array("a", object), "a"))
            value = graph.add("Cast", value, to=1)
            ones = graph.constant(np.array([[-1.0, 1.0]] * columns, np.float32), "ones")
            sums.append(graph.add("MatMul", value, ones))
        logits = graph.add("Sum", *sums)
        graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
        path = tmp_path / "bare.onnx"
        path.write_bytes(graph.model({}, "test").SerializeToString())
        return load_model(path, name="bare", version=1, threads=1, max_bytes=2**20)

    return load


@pytest.fixture
def mixed(tmp_path: Path, write_mixed_model) -> Model:
    path = write_mixed_model(tmp_path)
    return load_model(path, name="mixed", version=1, threads=1, max_bytes=2**20)


@pytest.fixture
def dated(tmp_path: Path, write_dated_model) -> Model:
    path = write_dated_model(tmp_path)
    return load_model(path, name="dated", version=1, threads=1, max_bytes=2**20)


def tensor(place: int, name: str, datatype: str, shape: list[int], data) -> RequestTensor:
    if isinstance(data, bytes):
        return BinaryTensor(f"/inputs/{place}", name, datatype, shape, memoryview(data))
    raw = msgspec.Raw(json.dumps(data).encode())
    return JsonTensor(f"/inputs/{place}", name, datatype, shape, raw)


def columns_of(model: Model, *tensors: tuple):
    sent = [tensor(place, *parts) for place, parts in enumerate(tensors)]
    return InputSpec(model, LIMIT).columns(sent)


def problems_of(model: Model, *tensors: tuple) -> list[tuple]:
    with pytest.raises(InvalidRows) as caught:
        columns_of(model, *tensors)
    return [(p.row, p.feature, p.pointer, p.expected, p.got) for p in caught.value.problems]


def error_of(model: Model, *tensors: tuple) -> tuple[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        columns_of(model, *tensors)
    return caught.value.pointer, str(caught.value)


MIXED_ROWS = [
    {"age": None, "member": True, "color": "red", "size/cm": 2.5, "shape": None},
    {"age": 30, "member": False, "color": "blue", "size/cm": -1, "shape": "round"},
]

NUMBERS = ("numbers", "FP64", [2, 3], [None, 1, 2.5, 30, 0, -1])
CATEGORIES = ("categories", "BYTES", [2, 2], ["red", "", " blue", "round"])
BYTES_OF_NUMBERS = np.array([[np.nan, 1, 2.5], [30, 0, -1]]).tobytes()

MIXED_LAYOUTS = {
    "graph inputs": (NUMBERS, CATEGORIES),
    "another order": (CATEGORIES, NUMBERS),
    "binary": (
        ("numbers", "FP64", [2, 3], BYTES_OF_NUMBERS),
        ("categories", "BYTES", [2, 2], encode_texts(["red", "", "blue ", "round"])),
    ),
    "one tensor per feature": (
        ("age", "INT64", [2], [None, 30]),
        ("member", "BOOL", [2, 1], [[True], [False]]),
        ("color", "BYTES", [2], ["red", "blue"]),
        ("size/cm", "FP32", [2], [2.5, -1]),
        ("shape", "BYTES", [2], [None, "round"]),
    ),
    "a mixture": (
        ("color", "BYTES", [2], encode_texts(["red", "blue"])),
        NUMBERS,
        ("shape", "BYTES", [2, 1], ["", "round"]),
    ),
}


@pytest.mark.parametrize("layout", MIXED_LAYOUTS)
def test_tensors_give_the_same_columns_as_rows(mixed: Model, layout: str) -> None:
    expected = columns_from_values(mixed.signature, MIXED_ROWS)
    got = columns_of(mixed, *MIXED_LAYOUTS[layout])
    np.testing.assert_array_equal(got.numbers, expected.numbers)
    assert got.numbers.dtype == expected.numbers.dtype
    assert got.categories.tolist() == expected.categories.tolist()
    assert got.categories.dtype == expected.categories.dtype


def test_optional_features_may_be_left_out(mixed: Model) -> None:
    own = dict(
        zip(
            ("age", "member", "color", "size", "shape"),
            MIXED_LAYOUTS["one tensor per feature"],
            strict=True,
        )
    )
    got = columns_of(mixed, own["member"], own["color"], own["size"])
    assert np.isnan(got.numbers[:, 0]).all()
    assert got.categories.tolist() == [["red", ""], ["blue", ""]]


@pytest.mark.parametrize("layout", MIXED_LAYOUTS)
def test_zero_rows_give_empty_columns(mixed: Model, layout: str) -> None:
    empty = [
        (name, datatype, [0, *shape[1:]], b"" if isinstance(data, bytes) else [])
        for name, datatype, shape, data in MIXED_LAYOUTS[layout]
    ]
    got = columns_of(mixed, *empty)
    assert (got.numbers.shape, got.categories.shape) == ((0, 3), (0, 2))


def test_datetime_is_text_in_its_own_tensor_and_seconds_in_a_graph_input(dated: Model) -> None:
    rows = [{"size": 1, "seen": "2024-04-03", "paid": "3/4/2024 12:30", "opens": "09:30"}] * 2
    expected = columns_from_values(dated.signature, rows)
    named = columns_of(
        dated,
        ("size", "FP64", [2], [1, 1]),
        ("seen", "BYTES", [2], ["2024-04-03", " 2024-04-03T00:00Z "]),
        ("paid", "BYTES", [2], encode_texts(["3/4/2024 12:30", "2024-04-03 12:30"])),
        ("opens", "BYTES", [2, 1], [["09:30"], ["9:30"]]),
    )
    np.testing.assert_array_equal(named.numbers, expected.numbers)
    seconds = ("numbers", "FP64", [2, 4], expected.numbers.tolist())
    assert columns_of(dated, seconds).numbers.tolist() == expected.numbers.tolist()


def test_invalid_datetimes_are_reported_with_their_pointers(dated: Model) -> None:
    size = ("size", "FP64", [3], [1, 1, 1])
    seen = ("seen", "BYTES", [3], ["tomorrow", "", "2024-04-03"])
    date = "a date such as 2024-05-01 or 2024-05-01T13:45"
    assert problems_of(dated, size, seen) == [
        (0, "seen", "/inputs/1/data/0", date, 'string "tomorrow"'),
        (1, "seen", "/inputs/1/data/1", date, 'string ""'),
    ]
    numbers = ("numbers", "FP64", [1, 4], [[1, None, None, None]])
    seconds = "seconds since 1970-01-01T00:00:00 UTC"
    assert problems_of(dated, numbers) == [(0, "seen", "/inputs/0/data/0/1", seconds, "null")]
    pointer, _ = error_of(dated, size, ("seen", "FP64", [3], [1, 2, 3]))
    assert pointer == "/inputs/1/datatype"


def test_every_invalid_value_is_reported_in_row_order(mixed: Model) -> None:
    content = np.array([[np.nan, np.nan, 1], [np.inf, 0.5, -np.inf], [1, 1, 1]]).tobytes()
    numbers = ("numbers", "FP64", [3, 3], content)
    categories = ("categories", "BYTES", [3, 2], [["", ""], ["red", ""], [None, "round"]])
    assert problems_of(mixed, numbers, categories) == [
        (0, "member", "/inputs/0", "boolean", "NaN"),
        (0, "color", "/inputs/1/data/0/0", "text", 'string ""'),
        (1, "age", "/inputs/0", "number", "infinity"),
        (1, "member", "/inputs/0", "boolean", "number 0.5"),
        (1, "size/cm", "/inputs/0", "number", "-infinity"),
        (2, "color", "/inputs/1/data/2/0", "text", 'string ""'),
    ]


def test_missing_numbers_are_reported_as_sent(mixed: Model) -> None:
    categories = ("categories", "BYTES", [1, 2], ["red", ""])
    numbers = ("numbers", "FP64", [1, 3], [None, None, 1])
    assert problems_of(mixed, numbers, categories) == [
        (0, "member", "/inputs/0/data/1", "boolean", "null")
    ]


def test_problems_are_reported_up_to_a_limit(tmp_path: Path, mixed: Model) -> None:
    rows = 200
    spec = InputSpec(mixed, rows)
    tensors = [
        tensor(0, "numbers", "FP64", [rows, 3], np.full((rows, 3), np.inf).tobytes()),
        tensor(1, "categories", "BYTES", [rows, 2], [""] * 2 * rows),
    ]
    with pytest.raises(InvalidRows) as caught:
        spec.columns(tensors)
    assert caught.value.truncated
    assert len(caught.value.problems) == 20


def test_unknown_tensors_are_reported_with_the_nearest_name(mixed: Model) -> None:
    color = ("colour", "BYTES", [1], ["red"])
    member, x = ("member", "BOOL", [1], [True]), ("x", "FP64", [1], [1])
    with pytest.raises(InvalidRows) as caught:
        columns_of(mixed, color, member, x)
    assert [(p.feature, p.pointer, p.did_you_mean) for p in caught.value.problems] == [
        ("colour", "/inputs/0/name", "color"),
        ("x", "/inputs/2/name", None),
        ("size/cm", "/inputs", None),
    ]
    with pytest.raises(InvalidRows) as caught:
        columns_of(mixed, ("number", *NUMBERS[1:]), CATEGORIES)
    (problem,) = caught.value.problems
    assert problem.did_you_mean == "numbers"


def test_error_for_many_unknown_tensors_is_short(mixed: Model) -> None:
    parts = ("FP64", [1], [1])
    with pytest.raises(InvalidRows) as caught:
        columns_of(mixed, *[(f"{index}" * 1000, *parts) for index in range(2000)])
    assert caught.value.truncated
    assert sum(len(problem.got) for problem in caught.value.problems) < 2000


@pytest.mark.parametrize("again", [NUMBERS, CATEGORIES])
def test_tensor_sent_twice_is_rejected(mixed: Model, again: tuple) -> None:
    pointer, message = error_of(mixed, NUMBERS, CATEGORIES, again)
    assert pointer == "/inputs/2/name"
    assert "sent twice" in message


EVERYTHING = [
    ("age", "FP64", [2], [None, 2]),
    ("numbers", "FP64", [2, 3], [None, 1, 3, 2, 0, 4]),
    ("member", "BOOL", [2, 1], [True, False]),
    ("color", "BYTES", [2], [" red", "blue"]),
    ("categories", "BYTES", [2, 2], ["red", "", "blue", "round"]),
    ("size/cm", "INT64", [2], [3, 4]),
    ("shape", "BYTES", [2], [None, "round"]),
]


def test_feature_may_be_sent_twice_with_equal_values(mixed: Model) -> None:
    once = columns_of(mixed, EVERYTHING[1], EVERYTHING[4])
    for some in (EVERYTHING, EVERYTHING[::-1], EVERYTHING[:5], EVERYTHING[1:]):
        got = columns_of(mixed, *some)
        np.testing.assert_array_equal(got.numbers, once.numbers)
        np.testing.assert_array_equal(got.categories, once.categories)


@pytest.mark.parametrize(
    ("place", "data", "expected"),
    [
        (0, [1, 2], (0, "age", "/inputs/0/data/0", "the same as in input 'numbers'", "number 1")),
        (
            0,
            [None, 3],
            (1, "age", "/inputs/0/data/1", "the same as in input 'numbers'", "number 3"),
        ),
        (2, [[True], [True]], (1, "member", "/inputs/2/data/1/0", None, "number 1")),
        (3, ["red", "red"], (1, "color", "/inputs/3/data/1", None, 'string "red"')),
        (6, ["round", "round"], (0, "shape", "/inputs/6/data/0", None, 'string "round"')),
    ],
)
def test_feature_sent_twice_with_different_values_is_reported(
    mixed: Model, place: int, data: list, expected: tuple
) -> None:
    sent = [
        (*parts[:3], data) if index == place else parts for index, parts in enumerate(EVERYTHING)
    ]
    (problem,) = problems_of(mixed, *sent)
    row, feature, pointer, expectation, got = problem
    assert (row, feature, pointer) == expected[:3]
    if expected[3] is None:
        assert expectation.startswith("the same as in input")
    else:
        assert expectation == expected[3]
    assert got.removesuffix(".0") == expected[4]


def test_datetime_may_be_sent_as_seconds_and_as_text(dated: Model) -> None:
    numbers = ("numbers", "FP64", [1, 4], [1, 1711929600, None, None])
    color = ("color", "BYTES", [1], ["red"])
    same = ("seen", "BYTES", [1], ["2024-04-01T02:00+02:00"])
    got = columns_of(dated, same, numbers, color)
    np.testing.assert_array_equal(got.numbers, [[1, 1711929600, np.nan, np.nan]])
    ((_, feature, pointer, _, _),) = problems_of(
        dated, ("seen", "BYTES", [1], ["2024-04-02"]), numbers, color
    )
    assert (feature, pointer) == ("seen", "/inputs/0/data/0")
    (wrong,) = problems_of(dated, ("seen", "BYTES", [1], ["tomorrow"]), numbers, color)
    assert wrong[4] == 'string "tomorrow"'


def test_repeated_feature_needs_the_right_shape_and_datatype(mixed: Model) -> None:
    pointer, _ = error_of(mixed, NUMBERS, CATEGORIES, ("age", "FP64", [3], [1, 2, 3]))
    assert pointer == "/inputs/2/shape"
    pointer, _ = error_of(mixed, NUMBERS, CATEGORIES, ("age", "BYTES", [2], ["1", "2"]))
    assert pointer == "/inputs/2/datatype"


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("numbers", [2], "[rows, 3]"),
        ("numbers", [2, 2], "[rows, 3]"),
        ("numbers", [1, 2, 3], "[rows, 3]"),
        ("numbers", [3, 2], "[rows, 3]"),
        ("numbers", [], "[rows, 3]"),
        ("numbers", [-1, 3], "[rows, 3]"),
        ("numbers", [2, 10**30], "[rows, 3]"),
        ("numbers", [1] * 10_000, "[rows, 3]"),
        ("age", [1, 2], "[rows, 1] or [rows]"),
        ("age", [-2], "[rows, 1] or [rows]"),
    ],
)
def test_error_for_a_wrong_shape_gives_the_expected_one(mixed, name, shape, expected) -> None:
    own = MIXED_LAYOUTS["one tensor per feature"]
    others = (CATEGORIES,) if name == "numbers" else own[1:]
    pointer, message = error_of(mixed, (name, "FP64", shape, [1] * 6), *others)
    assert pointer == "/inputs/0/shape"
    assert f"expected shape {expected}, got " in message
    assert len(message) < 150


def test_tensors_with_different_numbers_of_rows_are_rejected(mixed: Model) -> None:
    pointer, message = error_of(mixed, NUMBERS, ("categories", "BYTES", [1, 2], ["red", ""]))
    assert pointer == "/inputs/1/shape"
    assert "got 1 rows, expected 2" in message


def test_text_for_numbers_is_rejected(mixed: Model) -> None:
    pointer, _ = error_of(mixed, ("numbers", "BYTES", [2, 3], ["1"] * 6), CATEGORIES)
    assert pointer == "/inputs/0/datatype"


@pytest.mark.parametrize("rows", [LIMIT + 1, 10**12, 10**40])
def test_row_limit_is_checked_before_values_are_read(mixed: Model, rows: int) -> None:
    with pytest.raises(TooManyRows):
        columns_of(mixed, ("numbers", "FP64", [rows, 3], []), CATEGORIES)


def names_of(model: Model) -> dict[str, list[str]]:
    return {
        name: [feature.name for feature in features]
        for name, features in graph_inputs(model).items()
    }


def test_graph_inputs_hold_their_features_in_order(load, mixed) -> None:
    assert names_of(mixed) == {
        "numbers": ["age", "member", "size/cm"],
        "categories": ["color", "shape"],
    }
    bare = load(x=("float", 3), y=("string", 2), z=("int64", 1), x_3=("double", 1))
    assert names_of(bare) == {
        "x": ["x_0", "x_1", "x_2"],
        "y": ["y_0", "y_1"],
        "z": ["z"],
        "x_3": ["x_3"],
    }


def test_file_without_metadata_accepts_its_own_inputs(load) -> None:
    model = load(x=("float", 2), s=("string", 2), z=("int64", 1))
    own = columns_of(
        model,
        ("z", "INT64", [1, 1], [3]),
        ("x", "FP32", [1, 2], np.array([0.1, 2], np.float32).tobytes()),
        ("s", "BYTES", [1, 2], ["a", "b"]),
    )
    assert own.numbers.tolist() == [[float(np.float32(0.1)), 2, 3]]
    assert own.categories.tolist() == [["a", "b"]]
    by_column = columns_of(
        model,
        ("x_1", "FP32", [1], [2]),
        ("x_0", "FP32", [1], [0.1]),
        ("s_0", "BYTES", [1], ["a"]),
        ("s_1", "BYTES", [1], ["b"]),
        ("z", "INT64", [1], [3]),
    )
    assert by_column.numbers.tolist() == [[0.1, 2, 3]]
    first, second = (model.session.run(columns) for columns in (own, by_column))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_name_of_both_an_input_and_a_feature_means_the_input(tmp_path, write_model) -> None:
    features = [{"name": name, "kind": "number"} for name in ("numbers", "weight_kg")]
    signature = {"features": features, "classes": ["underweight", "overweight"]}
    golden = {
        "row": {"numbers": 172, "weight_kg": 65},
        "label": "underweight",
        "probabilities": {"underweight": 0.5, "overweight": 0.5},
    }
    metadata = {"signature": json.dumps(signature), "golden": json.dumps([golden])}
    path = write_model(tmp_path, metadata=metadata)
    model = load_model(path, name="m", version=1, threads=1, max_bytes=2**20)
    assert columns_of(model, ("numbers", "FP64", [1, 2], [1, 2])).numbers.tolist() == [[1, 2]]


def test_differences_are_reported_up_to_a_limit(mixed: Model) -> None:
    rows = 1000
    values = [[1, 1, 1]] * rows
    with pytest.raises(InvalidRows) as caught:
        InputSpec(mixed, rows).columns(
            [
                tensor(0, "numbers", "FP64", [rows, 3], values),
                tensor(1, "categories", "BYTES", [rows, 2], [["red", "round"]] * rows),
                tensor(2, "age", "FP64", [rows], [2] * rows),
                tensor(3, "color", "BYTES", [rows], ["blue"] * rows),
            ]
        )
    assert caught.value.truncated
    assert {problem.feature for problem in caught.value.problems} == {"age"}


@pytest.mark.parametrize("name", ["input-0", "input_1", "input", "input0", "predict"])
def test_sole_input_may_have_a_generic_name(load, name: str) -> None:
    model = load(x=("double", 2))
    columns = InputSpec(model, LIMIT).columns([tensor(0, name, "FP64", [1, 2], [1, 2])])
    assert columns.numbers.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"x": ("double", 2)}, ["inputs"]),
        ({"x": ("double", 2)}, ["predictions"]),
        ({"x": ("double", 2)}, ["input-0", "input-1"]),
        ({"x": ("double", 2)}, ["x", "input-0"]),
        ({"x": ("double", 2), "y": ("string", 2)}, ["input-0"]),
    ],
)
def test_other_unknown_names_are_rejected(load, inputs, names: list[str]) -> None:
    tensors = [tensor(place, name, "FP64", [1, 2], [1, 2]) for place, name in enumerate(names)]
    with pytest.raises(InvalidRows):
        InputSpec(load(**inputs), LIMIT).columns(tensors)


def test_values_of_a_wrong_type_are_reported_one_by_one(mixed) -> None:
    sent = [
        tensor(0, "age", "FP64", [2], [None, "old"]),
        tensor(1, "member", "BOOL", [2], [7, True]),
        tensor(2, "color", "BYTES", [2], ["red", {"a": 1}]),
        tensor(3, "size/cm", "FP32", [2, 1], [[[1, 2]], [None]]),
    ]
    with pytest.raises(InvalidRows) as caught:
        InputSpec(mixed, LIMIT).columns(sent)
    problems = [(p.row, p.feature, p.pointer, p.expected, p.got) for p in caught.value.problems]
    assert problems == [
        (0, "member", "/inputs/1/data/0", "boolean", "number 7"),
        (0, "size/cm", "/inputs/3/data/0/0", "number", "array of 2"),
        (1, "age", "/inputs/0/data/1", "number", 'string "old"'),
        (1, "color", "/inputs/2/data/1", "text", "object"),
        (1, "size/cm", "/inputs/3/data/1/0", "number", "null"),
    ]


def test_wrong_datatype_of_valid_values_is_reported_once(mixed) -> None:
    sent = [
        tensor(0, "member", "BOOL", [1], [True]),
        tensor(1, "color", "FP32", [1], ["red"]),
        tensor(2, "size/cm", "FP32", [1], [1]),
    ]
    with pytest.raises(InvalidRequest, match="data of FP32"):
        InputSpec(mixed, LIMIT).columns(sent)


def test_text_among_datetimes_in_seconds_is_reported(dated) -> None:
    width = len(dated.signature.numbers)
    values = [*[0.0] * (width - 1), "x"]
    with pytest.raises(InvalidRows) as caught:
        InputSpec(dated, LIMIT).columns([tensor(0, "numbers", "FP64", [1, width], values)])
    assert [problem.got for problem in caught.value.problems] == ['string "x"']
