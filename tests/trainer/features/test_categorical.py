from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.features.categorical import SEPARATOR, OneHotEncoder
from trainer.graph import Graph

TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", "A", "a ", "nan", "None", "0", "1"]),
    st.sampled_from(
        [SEPARATOR, f"0{SEPARATOR}", f"1{SEPARATOR}a", f"a{SEPARATOR}b", "é", "e\u0301"]
    ),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)


def tables(columns: int) -> st.SearchStrategy[np.ndarray]:
    """Any texts, (rows, columns)."""
    row = st.lists(TEXTS, min_size=columns, max_size=columns)
    return st.lists(row, max_size=8).map(lambda rows: texts(*rows).reshape(len(rows), columns))


def texts(*rows: list[str]) -> np.ndarray:
    return np.array(rows, dtype=object)


def runner(encoder: OneHotEncoder) -> Callable[[np.ndarray], np.ndarray]:
    """The encoder's graph alone, run by onnxruntime."""
    graph = Graph("encoder")
    columns = len(encoder.levels)
    hot = encoder.emit(graph, graph.input("categories", "string", columns))
    graph.output(hot, "inputs", "float", encoder.size)
    content = graph.model({}, "test").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda categories: session.run(["inputs"], {"categories": categories})[0]


def test_each_level_has_a_place_in_the_order_of_its_letters() -> None:
    encoder = OneHotEncoder.fit(texts(["red"], ["blue"], ["green"], ["red"]))
    assert encoder.levels == (("blue", "green", "red"),)
    assert encoder.transform(texts(["red"], ["blue"], ["green"])).tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
    ]


def test_two_levels_share_a_place_as_plus_and_minus_one() -> None:
    encoder = OneHotEncoder.fit(texts(["yes"], ["no"]))
    assert encoder.size == 1
    assert encoder.transform(texts(["no"], ["yes"])).tolist() == [[1], [-1]]


def test_columns_stand_side_by_side_in_their_order() -> None:
    encoder = OneHotEncoder.fit(texts(["a", "x", "p"], ["b", "y", "p"], ["c", "x", "p"]))
    assert encoder.size == 3 + 1 + 1
    assert encoder.transform(texts(["b", "y", "p"])).tolist() == [[0, 1, 0, -1, 1]]


@pytest.mark.parametrize("text", ["", "unseen", "A", " a", "a ", "nan", "None"])
def test_missing_and_unseen_categories_are_all_zeros(text: str) -> None:
    encoder = OneHotEncoder.fit(texts(["a", "x"], ["b", "y"], ["c", ""]))
    found = encoder.transform(texts([text, text]))
    assert not found.any()
    np.testing.assert_array_equal(runner(encoder)(texts([text, text])), found)


def test_a_level_spelled_like_another_columns_key_is_only_itself() -> None:
    encoder = OneHotEncoder.fit(
        texts(
            ["a", f"0{SEPARATOR}a", "1"],
            [f"1{SEPARATOR}a", "a", f"{SEPARATOR}1"],
            [f"1{SEPARATOR}0{SEPARATOR}a", SEPARATOR, "2"],
        )
    )
    rows = texts(
        ["a", "a", "a"], [f"0{SEPARATOR}a"] * 3, [f"1{SEPARATOR}a"] * 3, [SEPARATOR] * 3, ["1"] * 3
    )
    found = encoder.transform(rows)
    # Of the three columns, the rows' texts are known to the first two, the second, ...
    assert found.sum(axis=1).tolist() == [2, 1, 1, 1, 1]
    np.testing.assert_array_equal(runner(encoder)(rows), found)


def test_eleven_columns_do_not_mix_up_one_and_ten() -> None:
    training = texts(*[[f"{column}:{row}" for column in range(11)] for row in range(3)])
    encoder = OneHotEncoder.fit(training)
    found = encoder.transform(training)
    np.testing.assert_array_equal(found, np.tile(np.eye(3), 11))
    np.testing.assert_array_equal(runner(encoder)(training), found)


def test_a_column_without_levels_has_no_place() -> None:
    encoder = OneHotEncoder.fit(texts(["", "x"], ["", "y"]))
    assert encoder.size == 1
    rows = texts(["", "y"], ["new", "x"])
    assert encoder.transform(rows).tolist() == [[-1], [1]]
    np.testing.assert_array_equal(runner(encoder)(rows), encoder.transform(rows))


def test_the_graph_is_as_long_for_one_column_as_for_many() -> None:
    lengths = set()
    for columns in (1, 50):
        graph = Graph("encoder")
        encoder = OneHotEncoder.fit(texts(["a"] * columns, ["b"] * columns))
        encoder.emit(graph, graph.input("categories", "string", columns))
        lengths.add(len(graph.model({}, "test").graph.node))
    assert len(lengths) == 1


@given(st.integers(1, 3).flatmap(lambda columns: st.tuples(tables(columns), tables(columns))))
def test_numpy_and_the_graph_agree_on_any_texts(pair: tuple[np.ndarray, np.ndarray]) -> None:
    training, categories = pair
    encoder = OneHotEncoder.fit(training)
    run = runner(encoder)
    for rows in (training, categories):
        np.testing.assert_array_equal(run(rows), encoder.transform(rows))
