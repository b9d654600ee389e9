from __future__ import annotations

import numpy as np
import pytest

from pigeonhole.trainer.network.arguments import fraction, look_up, positive, whole

NAN, INFINITY = float("nan"), float("inf")


def test_entry_is_looked_up_by_name() -> None:
    assert look_up("letter", "b", {"a": 1, "b": 2}) == 2


@pytest.mark.parametrize("name", ["c", None, ["a"]])
def test_unknown_name_is_rejected_with_the_known_ones(name) -> None:
    with pytest.raises(ValueError, match=r"^letter is .*, expected one of a, b$"):
        look_up("letter", name, {"a": 1, "b": 2})


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_integer_of_any_type_becomes_an_int(value) -> None:
    taken = whole("rows", value, 1)
    assert (taken, type(taken)) == (3, int)


@pytest.mark.parametrize("value", [3.0, True, "3", None, NAN])
def test_value_that_is_not_an_integer_is_rejected(value) -> None:
    with pytest.raises(TypeError, match=r"^rows is .*, expected an integer of at least 1$"):
        whole("rows", value, 1)


def test_integer_below_the_minimum_is_rejected() -> None:
    assert whole("rows", 2, 2) == 2
    with pytest.raises(ValueError, match=r"^rows is 1, expected at least 2$"):
        whole("rows", 1, 2)


def test_fraction_may_be_0_but_not_1() -> None:
    assert fraction("rate", 0) == 0
    assert fraction("rate", 0.999) == 0.999
    for value in (-1e-9, 1, NAN, INFINITY):
        with pytest.raises(ValueError, match=r"^rate is .*, expected at least 0 and less than 1$"):
            fraction("rate", value)


def test_positive_number_is_above_0_and_finite() -> None:
    assert positive("rate", 5e-324) == 5e-324
    for value in (0, -1, NAN, INFINITY):
        with pytest.raises(ValueError, match=r"^rate is .*, expected a finite number above 0$"):
            positive("rate", value)
