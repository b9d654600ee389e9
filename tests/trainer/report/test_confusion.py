from __future__ import annotations

import math

import numpy as np

from pigeonhole.trainer.report.confusion import (
    SHOWN_CLASSES,
    SHOWN_FIGURES,
    class_figures,
    confusion_table,
    mistakes,
)

SMALL = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 0]])

NAMES = ("cat", "dog", "emu")


def test_shares_are_of_the_true_class() -> None:
    table = confusion_table(SMALL, NAMES)
    assert table.names == NAMES
    assert [cell.count for cell in table.cells[0]] == [8, 2, 0]
    assert [cell.share for cell in table.cells[1]] == [0.2, 0.8, 0]
    assert [cell.share for cell in table.cells[2]] == [0, 0, 0]
    assert [[cell.kind for cell in line] for line in table.cells] == [
        ["right", "wrong", "none"],
        ["wrong", "right", "none"],
        ["none", "none", "right"],
    ]


def test_of_many_classes_the_least_confused_are_combined() -> None:
    size = 50
    confusion = 10 * np.eye(size, dtype=np.int64)
    confusion[7, 3] = 5
    table = confusion_table(confusion, [f"class {i}" for i in range(size)])
    assert len(table.names) == SHOWN_CLASSES
    assert {"class 3", "class 7"} <= set(table.names)
    assert table.combined == size - SHOWN_CLASSES + 1
    assert table.names[-1] == f"{table.combined} other classes"
    assert sum(cell.count for line in table.cells for cell in line) == confusion.sum()
    assert table.cells[-1][-1].kind == "mixed"


def test_most_frequent_mistakes_come_first() -> None:
    found = mistakes(SMALL, NAMES)
    assert [(one.true, one.predicted, one.count) for one in found] == [
        ("cat", "dog", 2),
        ("dog", "cat", 1),
    ]


def test_precision_recall_and_f1_of_each_class() -> None:
    cat, dog, emu = class_figures(SMALL, NAMES)
    assert (cat.rows, cat.precision, cat.recall) == (10, 8 / 9, 0.8)
    assert dog.f1 == 2 * 4 / (5 + 6)
    assert emu.rows == 0
    assert all(math.isnan(figure) for figure in (emu.precision, emu.recall, emu.f1))


def test_of_many_classes_the_most_frequent_have_figures() -> None:
    rows = np.arange(100)
    found = class_figures(np.diag(rows), [str(row) for row in rows])
    assert [one.rows for one in found] == list(range(100 - SHOWN_FIGURES, 100))
