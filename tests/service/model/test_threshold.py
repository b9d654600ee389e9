from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.model.threshold import Threshold

CLASSES = ["no", "yes"]


def labels(positive: str, value: float, *yes: float) -> list[str]:
    probabilities = np.array([[1 - p, p] for p in yes], np.float32).reshape(-1, 2)
    return Threshold(positive=positive, value=value, metric="f1").labels(probabilities, CLASSES)


def test_class_is_the_label_from_its_threshold_on() -> None:
    assert labels("yes", 0.25, 0.1, 0.25, 0.4, 0.9) == ["no", "yes", "yes", "yes"]
    assert labels("no", 0.75, 0.1, 0.25, 0.4, 0.9) == ["no", "no", "yes", "yes"]


def test_threshold_may_be_0_or_1() -> None:
    assert labels("yes", 0, 0, 1) == ["yes", "yes"]
    assert labels("yes", 1, 0, 0.999, 1) == ["no", "no", "yes"]


def test_zero_rows_get_zero_labels() -> None:
    assert labels("yes", 0.5) == []


@given(st.floats(0, 1), st.lists(st.floats(0, 1, width=32)))
def test_client_that_compares_the_probability_gets_the_same_label(value, yes) -> None:
    # Responses hold float32 probabilities as doubles, so the rule compares doubles.
    for probability, label in zip(yes, labels("yes", value, *yes), strict=True):
        assert (label == "yes") == (probability >= value)
