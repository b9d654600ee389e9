"""Promises of benchmarks.trainer.page and chart."""

import pytest

from benchmarks.trainer.chart import draw
from benchmarks.trainer.epochs import Epochs
from benchmarks.trainer.fits import Fits
from benchmarks.trainer.memory import Large
from benchmarks.trainer.page import epoch_ratios, page

EPOCHS = [
    Epochs("pigeonhole", "2", (16, 16), 0.1, 0.2, 1.5, 50_000_000),
    Epochs("torch", "2", (16, 16), 0.4, 0.5, 1.5, 300_000_000),
    Epochs("scikit_learn", "1", (16, 16), 0.125, 0.5, 1.5, 160_000_000),
]

FITS = [
    Fits("census", 800, "pigeonhole", 4.0, 3.0, None, 1, 0.8, 0.4),
    Fits("census", 800, "realmlp-td-s", 30.0, 40.0, 20.0, 1, 0.8, 0.4),
]

LARGE = [Large("CSV", 1000, 5_000_000, 240_000, 9.0, 480_000, {"read": 0.5, "clean": 1.0}, 1)]


def row_of(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_ratios_are_ours_over_the_peers():
    found = {library: ratio for _, library, ratio in epoch_ratios(EPOCHS)}
    assert found == {"torch": pytest.approx(0.25), "scikit_learn": pytest.approx(0.8)}


def test_each_bar_stands_beside_what_was_measured():
    shown = page(EPOCHS, FITS, LARGE)
    assert row_of(shown, "torch", "x 0.250", "x 0.750").endswith(" met |")
    assert row_of(shown, "scikit_learn", "x 0.800", "x 0.500").endswith(" missed |")
    assert row_of(shown, "realmlp-td-s", "x 0.133", "x 0.200", "x 0.333").endswith(" met |")
    assert "x 2.0" in row_of(shown, "CSV", "5 MB")


def test_parts_that_were_not_measured_are_left_out():
    shown = page([], FITS, [])
    assert "## From a table to a file" in shown
    assert "epoch" not in shown


def test_a_picture_is_drawn_of_any_part(tmp_path):
    for name, epochs, fits in (("a", EPOCHS, FITS), ("b", [], FITS), ("c", [], [])):
        draw(epochs, fits, tmp_path / f"{name}.svg")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text("utf-8")
