"""Markdown tables."""

from benchmarks.markdown import table


def test_columns_are_as_wide_as_their_widest_cell():
    text = table(["method", "s"], [["a", "1.0"], ["longer name", "10.25"]])
    assert text.splitlines() == [
        "| method      |     s |",
        "| ----------- | ----: |",
        "| a           |   1.0 |",
        "| longer name | 10.25 |",
    ]
