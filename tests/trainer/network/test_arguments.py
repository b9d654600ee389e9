from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.arguments import chosen, fraction, positive, whole

NAN, INFINITY = float("nan"), float("inf")


def test_an_entry_is_chosen_by_its_name() -> None:
    assert chosen("letter", "b", {"a": 1, "b": 2}) == 2


@pytest.mark.parametrize("name", ["c", None, ["a"]])
def test_a_name_that_is_none_is_answered_with_those_there_are(name) -> None:
    with pytest.raises(ValueError, match=r"^letter is .*, expected one of a, b$"):
        chosen("letter", name, {"a": 1, "b": 2})


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_a_whole_number_of_any_kind_is_taken_as_an_int(value) -> None:
    taken = whole("rows", value, 1)
    assert (taken, type(taken)) == (3, int)


@pytest.mark.parametrize("value", [3.0, True, "3", None, NAN])
def test_what_is_no_whole_number_is_named(value) -> None:
    with pytest.raises(TypeError, match=r"^rows is .*, expected a whole number of at least 1$"):
        whole("rows", value, 1)


def test_a_whole_number_below_the_least_is_named() -> None:
    assert whole("rows", 2, 2) == 2
    with pytest.raises(ValueError, match=r"^rows is 1, expected at least 2$"):
        whole("rows", 1, 2)


def test_a_fraction_may_be_0_and_not_1() -> None:
    assert fraction("rate", 0) == 0
    assert fraction("rate", 0.999) == 0.999
    for value in (-1e-9, 1, NAN, INFINITY):
        with pytest.raises(ValueError, match=r"^rate is .*, expected at least 0 and less than 1$"):
            fraction("rate", value)


def test_a_positive_number_is_above_0_and_finite() -> None:
    assert positive("rate", 5e-324) == 5e-324
    for value in (0, -1, NAN, INFINITY):
        with pytest.raises(ValueError, match=r"^rate is .*, expected a finite number above 0$"):
            positive("rate", value)
