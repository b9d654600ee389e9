from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.trainer.data.cells.text import category_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (" red ", "red"),
        ("3.0", "3.0"),
        ("007", "007"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (3.0, "3"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (Decimal("3.00"), "3"),
        (1e300, "1e+300"),
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
    ],
)
def test_value_has_one_text_as_a_category(value, text):
    assert category_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_reads_back_from_its_text(value):
    assert float(category_text(value)) == value


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_integer_and_equal_float_have_the_same_text(value):
    assert category_text(value) == category_text(float(value))
