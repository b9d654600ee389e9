"""The page and the chart of the trainer's benchmark."""

import pytest

from benchmarks.trainer.chart import draw
from benchmarks.trainer.epochs import EpochTimes
from benchmarks.trainer.fits import FitTimes
from benchmarks.trainer.memory import LargeFit
from benchmarks.trainer.page import epoch_ratios, page

EPOCHS = [
    EpochTimes("pigeonhole", "2", (16, 16), 0.1, 0.2, 1.5, 50_000_000),
    EpochTimes("torch", "2", (16, 16), 0.4, 0.5, 1.5, 300_000_000),
    EpochTimes("scikit_learn", "1", (16, 16), 0.125, 0.5, 1.5, 160_000_000),
]

FITS = [
    FitTimes("census", 800, "pigeonhole", 4.0, 3.0, None, 1, 0.8, 0.4),
    FitTimes("census", 800, "realmlp-td-s", 30.0, 40.0, 20.0, 1, 0.8, 0.4),
]

LARGE = [LargeFit("CSV", 1000, 5_000_000, 240_000, 9.0, 480_000, {"read": 0.5, "clean": 1.0}, 1)]


def row_of(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_ratios_are_ours_divided_by_the_peers():
    ratios = {library: ratio for _, library, ratio in epoch_ratios(EPOCHS)}
    assert ratios == {"torch": pytest.approx(0.25), "scikit_learn": pytest.approx(0.8)}


def test_page_shows_each_target_beside_the_measurement():
    text = page(EPOCHS, FITS, LARGE, "a machine.")
    assert row_of(text, "torch", "x 0.250", "x 0.750").endswith(" met |")
    assert row_of(text, "scikit_learn", "x 0.800", "x 0.500").endswith(" not met |")
    assert row_of(text, "realmlp-td-s", "x 0.133", "x 0.200", "x 0.333").endswith(" met |")
    assert "x 2.0" in row_of(text, "CSV", "5 MB")


def test_page_omits_unmeasured_parts():
    text = page([], FITS, [], "a machine.")
    assert "## From table to model file" in text
    assert "epoch" not in text


def test_chart_is_drawn_of_any_part(tmp_path):
    for name, epochs, fits in (("a", EPOCHS, FITS), ("b", [], FITS), ("c", [], [])):
        draw(epochs, fits, tmp_path / f"{name}.svg")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text("utf-8")
