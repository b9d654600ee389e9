from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.schema import Examples
from trainer.features.preprocessor import Preprocessor
from trainer.graph import Graph

NUMBERS = st.one_of(st.just(float("nan")), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "0\x1fa"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


def examples(numbers: list[list[float]], categories: list[list[str]], n: int, m: int) -> Examples:
    rows = len(numbers)
    return Examples(
        np.array(numbers, dtype=np.float64).reshape(rows, n),
        np.array(categories, dtype=object).reshape(rows, m),
        np.zeros(rows, dtype=np.int64),
    )


@st.composite
def parts(draw: st.DrawFn) -> tuple[Examples, Examples]:
    """Rows to fit and rows to transform, of the same columns."""
    n = draw(st.integers(0, 2))
    m = draw(st.integers(0 if n else 1, 2))
    number_row = st.lists(NUMBERS, min_size=n, max_size=n)
    text_row = st.lists(TEXTS, min_size=m, max_size=m)
    found = []
    for _ in range(2):
        rows = draw(st.lists(st.tuples(number_row, text_row), max_size=6))
        found.append(examples([row[0] for row in rows], [row[1] for row in rows], n, m))
    return found[0], found[1]


def model(preprocessor: Preprocessor) -> onnx.ModelProto:
    graph = Graph("preprocessor")
    graph.output(preprocessor.emit(graph), "inputs", "float", preprocessor.size)
    return graph.model({}, "test")


def runner(preprocessor: Preprocessor) -> Callable[[Examples], np.ndarray]:
    """The preprocessor's graph alone, run by onnxruntime."""
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


@pytest.mark.parametrize(
    ("n", "m", "inputs"),
    [(2, 0, ["numbers"]), (0, 2, ["categories"]), (1, 1, ["numbers", "categories"])],
)
def test_an_input_without_columns_is_left_out(n: int, m: int, inputs: list[str]) -> None:
    preprocessor = Preprocessor.fit(examples([[1.0] * n, [2.0] * n], [["a"] * m, ["b"] * m], n, m))
    assert [declared.name for declared in model(preprocessor).graph.input] == inputs


def test_zero_rows_give_zero_rows() -> None:
    preprocessor = Preprocessor.fit(examples([[1.0], [2.0]], [["a"], ["b"]], 1, 1))
    none = examples([], [], 1, 1)
    assert preprocessor.transform(none).shape == (0, 2)
    assert runner(preprocessor)(none).shape == (0, 2)


def test_rows_after_the_fit_change_nothing() -> None:
    preprocessor = Preprocessor.fit(examples([[1.0], [2.0], [4.0]], [["a"], ["b"], ["c"]], 1, 1))
    row = examples([[2.5]], [["b"]], 1, 1)
    before = preprocessor.transform(row)
    preprocessor.transform(examples([[1e300]], [["new"]], 1, 1))
    np.testing.assert_array_equal(preprocessor.transform(row), before)


@given(parts())
def test_numpy_and_the_graph_agree_on_any_rows(pair: tuple[Examples, Examples]) -> None:
    training, rows = pair
    preprocessor = Preprocessor.fit(training)
    run = runner(preprocessor)
    for part in (training, rows):
        found = preprocessor.transform(part)
        assert found.shape == (len(part), preprocessor.size)
        np.testing.assert_allclose(run(part), found, rtol=1e-6, atol=0)
