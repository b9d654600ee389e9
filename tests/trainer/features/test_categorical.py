from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.features.categorical import (
    EMBEDDED_FROM,
    SEPARATOR,
    CategoryEncoder,
    Vocabulary,
)
from pigeonhole.trainer.features.missing import FEW_ROWS
from pigeonhole.trainer.graph import Graph

TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "A", "a ", "nan", "None", "0", "1"]),
    st.sampled_from(
        [SEPARATOR, f"0{SEPARATOR}", f"1{SEPARATOR}a", f"a{SEPARATOR}b", "é", "e\u0301"]
    ),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)


@st.composite
def tables(draw: st.DrawFn, columns: int) -> np.ndarray:
    """Return any texts, (rows, columns), some of them in many rows."""
    row = st.lists(TEXTS, min_size=columns, max_size=columns)
    rows = draw(st.lists(row, max_size=8))
    repeats = [draw(st.integers(1, 2 * FEW_ROWS)) for _ in rows]
    return texts(*rows).reshape(len(rows), columns).repeat(repeats, axis=0)


def texts(*rows: list[str]) -> np.ndarray:
    return np.array(rows, dtype=object)


def column(**counts: int) -> np.ndarray:
    """Return a column with each text in a number of rows; "missing" stands for the empty text."""
    cells = [["" if name == "missing" else name] * count for name, count in counts.items()]
    return texts(*([cell] for group in cells for cell in group))


def runner(encoder: CategoryEncoder) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that runs the graph of the encoder alone."""
    graph = Graph("encoder")
    columns = len(encoder.vocabularies)
    parts = encoder.emit(graph, graph.input("categories", "string", columns))
    graph.output(graph.add("Concat", *parts, axis=1), "inputs", "float", encoder.size)
    content = graph.model({}, "test").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda categories: session.run(["inputs"], {"categories": categories})[0]


def encoded(encoder: CategoryEncoder, *rows: list[str]) -> list[list[float]]:
    """Return the inputs of these rows; numpy and onnxruntime must agree."""
    found = encoder.transform(texts(*rows))
    np.testing.assert_array_equal(runner(encoder)(texts(*rows)), found)
    return found.tolist()


def test_each_level_has_an_input_in_sorted_order() -> None:
    encoder = CategoryEncoder.fit(texts(["red"], ["blue"], ["green"]))
    assert encoder.vocabularies == (Vocabulary(("blue", "green", "red")),)
    assert encoded(encoder, ["red"], ["blue"], ["green"]) == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_two_levels_are_plus_and_minus_one_in_one_input() -> None:
    encoder = CategoryEncoder.fit(texts(["yes"], ["no"]))
    assert encoder.size == 1
    assert encoded(encoder, ["no"], ["yes"]) == [[1], [-1]]


def test_columns_keep_their_order() -> None:
    encoder = CategoryEncoder.fit(texts(["a", "x", "p"], ["b", "y", "p"], ["c", "x", "p"]))
    assert encoder.size == 3 + 1 + 1
    assert encoded(encoder, ["b", "y", "p"]) == [[0, 1, 0, -1, 1]]


@pytest.mark.parametrize("text", ["", "unseen", "A", " a", "a ", "nan", "None"])
def test_missing_and_unseen_categories_are_all_zeros_without_rare_levels(
    text: str,
) -> None:
    encoder = CategoryEncoder.fit(texts(["a", "x"], ["b", "y"], ["c", ""]))
    assert encoded(encoder, [text, text]) == [[0, 0, 0, 0]]


def test_rare_and_unseen_levels_share_an_input() -> None:
    encoder = CategoryEncoder.fit(column(a=50, b=20, c=FEW_ROWS, d=FEW_ROWS - 1, e=1))
    assert encoder.vocabularies == (Vocabulary(("a", "b", "c"), rare=True),)
    assert encoded(encoder, ["c"], ["d"], ["e"], ["new"], [""]) == [
        [0, 0, 1, 0],
        *[[0, 0, 0, 1]] * 3,
        [0, 0, 0, 0],
    ]


def test_one_common_level_and_rare_levels_are_plus_and_minus_one() -> None:
    encoder = CategoryEncoder.fit(column(a=50, b=2, c=1))
    assert encoded(encoder, ["a"], ["b"], ["new"], [""]) == [[1], [-1], [-1], [0]]


@pytest.mark.parametrize("counts", [{"a": 99, "b": 1}, {"a": 99, "b": 50, "c": 1}])
def test_single_rare_level_keeps_its_input(counts: dict[str, int]) -> None:
    assert Vocabulary.fit(column(**counts)[:, 0]) == Vocabulary(tuple(counts))


def test_levels_of_most_rows_are_not_pooled() -> None:
    # No level has 5 rows. The levels with fewer than 4 rows hold a third of all rows.
    assert Vocabulary.fit(column(a=4, b=4, c=2, d=2)[:, 0]) == Vocabulary(("a", "b"), rare=True)
    few = column(**{f"l{i}": 3 for i in range(9)})
    assert Vocabulary.fit(few[:, 0]) == Vocabulary(tuple(f"l{i}" for i in range(9)))


def test_missing_has_its_own_input_from_five_rows_on() -> None:
    three = {"a": 9, "b": 9, "c": 9}
    assert not Vocabulary.fit(column(**three, missing=FEW_ROWS - 1)[:, 0]).missing
    encoder = CategoryEncoder.fit(column(**three, missing=FEW_ROWS))
    assert encoded(encoder, ["a"], [""], ["new"]) == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_missing_has_an_input_beside_two_levels() -> None:
    encoder = CategoryEncoder.fit(column(a=9, b=9, missing=9))
    assert encoded(encoder, ["a"], ["b"], [""], ["new"]) == [[1, 0], [-1, 0], [0, 1], [0, 0]]


def test_column_that_is_always_missing_has_no_input() -> None:
    encoder = CategoryEncoder.fit(texts(*[["", "x"], ["", "y"]] * 9))
    assert encoder.size == 1
    assert encoded(encoder, ["", "y"], ["new", "x"]) == [[-1], [1]]


def many(levels: int, rows: int = FEW_ROWS) -> dict[str, int]:
    return {f"l{i:02}": rows for i in range(levels)}


def test_many_levels_are_an_index_after_the_one_hot_inputs() -> None:
    wide = column(**many(EMBEDDED_FROM))
    narrow = texts(*(["xyz"[i % 3]] for i in range(len(wide))))
    encoder = CategoryEncoder.fit(np.hstack([wide, narrow]))
    assert (encoder.one_hot_size, encoder.indices) == (3, (EMBEDDED_FROM + 1,))
    last = f"l{EMBEDDED_FROM - 1:02}"
    assert encoded(encoder, ["l00", "y"], [last, "z"], ["new", "x"], ["", ""]) == [
        [0, 1, 0, 1],
        [0, 0, 1, EMBEDDED_FROM],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_one_level_below_the_limit_is_one_hot() -> None:
    assert CategoryEncoder.fit(column(**many(EMBEDDED_FROM - 1))).indices == ()


def test_rare_levels_have_index_zero_and_missing_its_own_index() -> None:
    encoder = CategoryEncoder.fit(column(**many(40), p=2, q=2, missing=FEW_ROWS))
    assert encoder.indices == (42,)
    assert encoded(encoder, ["l39"], ["p"], ["new"], [""]) == [[40], [0], [0], [41]]


def test_level_equal_to_another_columns_key_is_not_confused_with_it() -> None:
    encoder = CategoryEncoder.fit(
        texts(
            ["a", f"0{SEPARATOR}a", "1"],
            [f"1{SEPARATOR}a", "a", f"{SEPARATOR}1"],
            [f"1{SEPARATOR}0{SEPARATOR}a", SEPARATOR, "2"],
        )
    )
    found = encoded(
        encoder,
        *(["a", "a", "a"], [f"0{SEPARATOR}a"] * 3, [f"1{SEPARATOR}a"] * 3),
        *([SEPARATOR] * 3, ["1"] * 3),
    )
    # The number of columns that know the text of each row.
    assert np.sum(found, axis=1).tolist() == [2, 1, 1, 1, 1]


def test_columns_one_and_ten_are_not_confused() -> None:
    training = texts(*[[f"{column}:{row}" for column in range(11)] for row in range(3)])
    encoder = CategoryEncoder.fit(training)
    np.testing.assert_array_equal(encoded(encoder, *training.tolist()), np.tile(np.eye(3), 11))


@pytest.mark.parametrize("rows", [["a", "b"], [f"l{i}" for i in range(EMBEDDED_FROM)]])
def test_number_of_nodes_does_not_depend_on_the_number_of_columns(rows: list[str]) -> None:
    lengths = set()
    for columns in (1, 50):
        graph = Graph("encoder")
        encoder = CategoryEncoder.fit(texts(*([row] * columns for row in rows)))
        encoder.emit(graph, graph.input("categories", "string", columns))
        lengths.add(len(graph.model({}, "test").graph.node))
    assert len(lengths) == 1


@given(st.integers(1, 3).flatmap(lambda columns: st.tuples(tables(columns), tables(columns))))
def test_numpy_and_graph_agree_on_any_texts(pair: tuple[np.ndarray, np.ndarray]) -> None:
    training, categories = pair
    encoder = CategoryEncoder.fit(training)
    if not encoder.size:
        assert not encoder.transform(training).size
        return
    run = runner(encoder)
    for rows in (training, categories):
        np.testing.assert_array_equal(run(rows), encoder.transform(rows))
