from __future__ import annotations

import math

import pytest

from pigeonhole.trainer.evaluation.intervals import Interval
from pigeonhole.trainer.report import formatting


def test_shares_and_scores_are_rounded_and_unknown_ones_are_a_dash() -> None:
    assert formatting.percent(0.97456) == "97.5 %"
    assert formatting.decimal(0.97456) == "0.9746"
    assert formatting.percent(math.nan) == formatting.decimal(math.nan) == formatting.UNKNOWN
    assert formatting.percent_range(Interval(0.9, 0.98)) == "90.0 to 98.0 %"
    assert formatting.percent_range(Interval(math.nan, math.nan)) == formatting.UNKNOWN
    assert formatting.decimal_range(Interval(math.nan, math.nan)) == ""


@pytest.mark.parametrize("share", [0.0, -0.0, -0.00001])
def test_zero_has_a_plus_sign(share: float) -> None:
    assert (formatting.signed(share), formatting.points(share)) == ("+0.0000", "+0.0")


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (list("abcdefgh"), "a, b, c, d, e and 3 more"),
    ],
)
def test_names_are_joined_for_a_sentence(names: list[str], shown: str) -> None:
    assert formatting.join_names(names) == shown


def test_name_in_a_chart_has_fewer_wide_letters_than_narrow_ones() -> None:
    assert formatting.fit_width("flipper_length_mm") == "flipper_length_mm"
    lengths = [len(formatting.fit_width(letter * 100)) for letter in ("i", "a", "W", "日")]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 2 * lengths[-1]
    assert all(formatting.fit_width(letter * 100).endswith("…") for letter in "iaW日")


def test_name_without_visible_characters_is_shown_as_blank() -> None:
    assert formatting.fit_width(" ") == formatting.in_text("\t") == "(blank)"
