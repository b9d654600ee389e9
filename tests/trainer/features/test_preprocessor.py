from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pigeonhole.trainer.data.schema import Examples, Feature, Kind, Schema
from pigeonhole.trainer.features.categorical import EMBEDDED_FROM
from pigeonhole.trainer.features.preprocessor import BLOCK_CELLS, InputLayout, Preprocessor
from pigeonhole.trainer.graph import Graph

DAY = 86_400.0

NUMBERS = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, 1.0]),
    st.floats(-6.3e10, 2.6e11),  # the years 1 to 9999 in seconds
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "0\x1fa"]),
    st.integers(0, EMBEDDED_FROM + 5).map(str),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


def examples(numbers: list[list[float]], categories: list[list[str]], n: int, m: int) -> Examples:
    rows = len(numbers)
    return Examples(
        np.array(numbers, dtype=np.float64).reshape(rows, n),
        np.array(categories, dtype=object).reshape(rows, m),
        np.zeros(rows, dtype=np.int64),
    )


def make_schema(kinds: list[Kind], m: int) -> Schema:
    names = [*kinds, *[Kind.CATEGORY] * m]
    features = (Feature(f"f{i}", kind, required=False) for i, kind in enumerate(names))
    return Schema(tuple(features), "y", ("a", "b"))


@st.composite
def parts(draw: st.DrawFn) -> tuple[Schema, Examples, Examples]:
    """Return a schema, rows to fit and rows to transform."""
    kinds = draw(st.lists(st.sampled_from([Kind.NUMBER, Kind.DATETIME, Kind.BOOLEAN]), max_size=3))
    n, m = len(kinds), draw(st.integers(0 if kinds else 1, 2))
    number_row = st.lists(NUMBERS, min_size=n, max_size=n)
    text_row = st.lists(TEXTS, min_size=m, max_size=m)
    found = []
    for _ in range(2):
        rows = draw(st.lists(st.tuples(number_row, text_row), max_size=6))
        rows = [row for row in rows for _ in range(draw(st.integers(1, 6)))]
        found.append(examples([row[0] for row in rows], [row[1] for row in rows], n, m))
    if m and draw(st.booleans()):  # enough levels for an embedding
        levels = [[f"l{i}"] * m for i in range(EMBEDDED_FROM)]
        more = examples([[1.5 * i] * n for i in range(EMBEDDED_FROM)], levels, n, m)
        found[0] = Examples(
            np.vstack([found[0].numbers, more.numbers]),
            np.vstack([found[0].categories, more.categories]),
            np.concatenate([found[0].labels, more.labels]),
        )
    return make_schema(kinds, m), found[0], found[1]


def model(preprocessor: Preprocessor) -> onnx.ModelProto:
    graph = Graph("preprocessor")
    graph.output(preprocessor.emit(graph), "inputs", "float", preprocessor.size)
    return graph.model({}, "test")


def runner(preprocessor: Preprocessor) -> Callable[[Examples], np.ndarray]:
    """Return a function that runs the graph of the preprocessor alone."""
    session = onnxruntime.InferenceSession(
        model(preprocessor).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [declared.name for declared in session.get_inputs()]

    def run(rows: Examples) -> np.ndarray:
        return session.run(["inputs"], {name: getattr(rows, name) for name in names})[0]

    return run


def test_numbers_come_first_then_categories() -> None:
    training = examples([[1.0], [2.0], [3.0]], [["x"], ["y"], ["z"]], 1, 1)
    preprocessor = Preprocessor.fit(training)
    assert preprocessor.size == 4
    found = preprocessor.transform(examples([[2.0]], [["y"]], 1, 1))
    assert found.tolist() == [[0, 0, 1, 0]]
    assert found.dtype == np.float32


def test_layout_counts_the_inputs_of_each_kind() -> None:
    rows = EMBEDDED_FROM * 6
    i = np.arange(rows)
    numbers = np.stack(
        [
            i % 2,  # two values
            np.where(i < 7, np.nan, i * 1.5),  # a number with an indicator
            1.7e9 + i * 3600.0,  # a datetime of less than two weeks: only daily waves
        ],
        axis=1,
    ).astype(np.float64)
    texts = [[f"{j % EMBEDDED_FROM}", "rgb"[j % 3], "yn"[j % 2]] for j in range(rows)]
    training = examples(numbers.tolist(), texts, 3, 3)
    schema = make_schema([Kind.BOOLEAN, Kind.NUMBER, Kind.DATETIME], 3)
    preprocessor = Preprocessor.fit(training, schema)
    waves = 4
    assert preprocessor.layout == InputLayout(
        numbers=2, others=1 + 1 + waves + 3 + 1, levels=(EMBEDDED_FROM + 1,)
    )
    assert preprocessor.size == preprocessor.layout.size
    found = preprocessor.transform(training)
    assert len(np.unique(found[:, 0])) > 2
    assert (np.diff(found[:, 1]) > 0).all()  # the scaled time
    assert len(np.unique(found[:, 2])) == 2
    assert found[:, 3].tolist() == [1.0] * 7 + [0.0] * (rows - 7)
    assert sorted(set(found[:, -1].tolist())) == list(range(1, EMBEDDED_FROM + 1))
    np.testing.assert_allclose(runner(preprocessor)(training), found, atol=1e-6)


def test_without_a_schema_no_number_is_a_datetime() -> None:
    training = examples([[1.7e9 + i * 3600.0] for i in range(99)], [[]] * 99, 1, 0)
    assert Preprocessor.fit(training).layout == InputLayout(numbers=1, others=0, levels=())


@pytest.mark.parametrize(
    ("n", "m", "inputs"),
    [(2, 0, ["numbers"]), (0, 2, ["categories"]), (1, 1, ["numbers", "categories"])],
)
def test_graph_input_without_columns_is_left_out(n: int, m: int, inputs: list[str]) -> None:
    preprocessor = Preprocessor.fit(examples([[1.0] * n, [2.0] * n], [["a"] * m, ["b"] * m], n, m))
    assert [declared.name for declared in model(preprocessor).graph.input] == inputs


def test_graph_input_of_uninformative_columns_is_declared() -> None:
    preprocessor = Preprocessor.fit(examples([[1.0], [2.0], [3.0]], [[""]] * 3, 1, 1))
    declared = [value.name for value in model(preprocessor).graph.input]
    assert declared == ["numbers", "categories"]
    rows = examples([[2.0]], [["new"]], 1, 1)
    assert runner(preprocessor)(rows).tolist() == [[0]]


def test_zero_rows_give_zero_rows() -> None:
    preprocessor = Preprocessor.fit(examples([[1.0], [2.0]], [["a"], ["b"]], 1, 1))
    none = examples([], [], 1, 1)
    assert preprocessor.transform(none).shape == (0, 2)
    assert runner(preprocessor)(none).shape == (0, 2)


def test_transform_does_not_change_the_preprocessor() -> None:
    preprocessor = Preprocessor.fit(examples([[1.0], [2.0], [4.0]], [["a"], ["b"], ["c"]], 1, 1))
    row = examples([[2.5]], [["b"]], 1, 1)
    before = preprocessor.transform(row)
    preprocessor.transform(examples([[1e300]], [["new"]], 1, 1))
    np.testing.assert_array_equal(preprocessor.transform(row), before)


def test_rows_of_several_blocks_keep_their_order() -> None:
    columns = 64
    rows = BLOCK_CELLS // columns + 7
    numbers = np.random.default_rng(0).normal(size=(rows, columns))
    many = Examples(numbers, np.empty((rows, 0), object), np.zeros(rows, np.int64))
    preprocessor = Preprocessor.fit(many.take(np.arange(50)))
    found = preprocessor.transform(many)
    for place in (0, rows - 8, rows - 7, rows - 1):
        alone = preprocessor.transform(many.take(np.array([place])))
        np.testing.assert_array_equal(found[place], alone[0])


@given(parts())
def test_numpy_and_graph_agree_on_any_rows(trio: tuple[Schema, Examples, Examples]) -> None:
    schema, training, rows = trio
    preprocessor = Preprocessor.fit(training, schema)
    assume(preprocessor.size)
    run = runner(preprocessor)
    indices = len(preprocessor.layout.levels)
    for part in (training, rows, rows.take(np.arange(0))):
        found = preprocessor.transform(part)
        assert found.shape == (len(part), preprocessor.size)
        assert np.isfinite(found).all()
        assert (np.abs(found[:, : preprocessor.size - indices]) <= 3).all()
        np.testing.assert_allclose(run(part), found, rtol=1e-6, atol=1e-6)
