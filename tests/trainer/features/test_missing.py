from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from pigeonhole.trainer.features.missing import FEW_ROWS, MissingIndicator
from pigeonhole.trainer.graph import Graph

GAP = np.nan


def numbers(rows: int, *gaps: int) -> np.ndarray:
    """(rows, columns) of numbers, with so many gaps in each column."""
    columns = [[GAP] * count + [1.5] * (rows - count) for count in gaps]
    return np.array(columns, dtype=np.float64).reshape(len(gaps), rows).T


@pytest.mark.parametrize("rows", [20, 20_000])
def test_a_column_with_a_handful_of_gaps_gets_an_input_in_a_table_of_any_size(rows: int) -> None:
    told = MissingIndicator.fit(numbers(rows, 0, FEW_ROWS - 1, FEW_ROWS, rows // 2))
    assert told.columns == (2, 3)


def test_a_column_with_hardly_a_number_gets_none() -> None:
    rows = 20
    assert MissingIndicator.fit(numbers(rows, rows, rows - FEW_ROWS + 1, rows - FEW_ROWS)).columns == (2,)  # fmt: skip


def test_it_is_one_where_the_number_is_missing_else_zero() -> None:
    told = MissingIndicator((0, 2))
    rows = np.array([[GAP, GAP, 0], [1e308, 0, GAP], [-1, 0, -0.0]])
    found = told.transform(rows)
    assert found.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert found.dtype == np.float32


def test_the_graph_tells_the_same() -> None:
    told = MissingIndicator((2, 0))
    graph = Graph("indicator")
    graph.output(told.emit(graph, graph.input("numbers", "double", 3)), "inputs", "float", 2)
    content = graph.model({}, "test").SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for rows in (np.array([[GAP, GAP, 0], [1e308, 0, GAP]]), np.empty((0, 3))):
        found = session.run(["inputs"], {"numbers": rows})[0]
        np.testing.assert_array_equal(found, told.transform(rows))
