from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.errors import ModelRejected
from pigeonhole.service.model.datetimes import FORMATS
from pigeonhole.service.model.signature import Feature, Kind, Signature, category_text
from pigeonhole.service.model.threshold import Threshold

HEIGHT = {"name": "height", "kind": "number"}


def metadata(**entries) -> str:
    return json.dumps({"features": [HEIGHT], "classes": ["no", "yes"], **entries})


def test_every_entry_of_the_metadata_is_read() -> None:
    signature = Signature.from_metadata(
        metadata(
            features=[
                {
                    "name": "height",
                    "kind": "number",
                    "required": False,
                    "unit": "cm",
                    "minimum": 140,
                    "maximum": 200.5,
                    "default": 172,
                },
                {"name": "color", "kind": "category", "categories": {"red": 5, "blue": 3}},
                {"name": "member", "kind": "boolean"},
                {"name": "seen", "kind": "datetime", "format": "%d.%m.%Y", "minimum": 86400},
            ],
            threshold={"class": "yes", "value": 0.37, "metric": "f1"},
        )
    )
    assert signature.classes == ("no", "yes")
    assert signature.by_name["height"] == Feature(
        name="height",
        kind=Kind.NUMBER,
        required=False,
        unit="cm",
        minimum=140.0,
        maximum=200.5,
        default=172.0,
    )
    assert signature.by_name["color"].categories == {"red": 5, "blue": 3}
    assert signature.by_name["member"].required
    assert signature.by_name["seen"] == Feature(
        name="seen", kind=Kind.DATETIME, format="%d.%m.%Y", minimum=86400.0
    )
    assert signature.threshold == Threshold(positive="yes", value=0.37, metric="f1")


def test_threshold_is_optional() -> None:
    assert Signature.from_metadata(metadata()).threshold is None


def test_unknown_keys_are_ignored() -> None:
    text = metadata(features=[{**HEIGHT, "color_of_chart": "red"}], costs=[0, 1])
    assert Signature.from_metadata(text).features == (Feature(name="height", kind=Kind.NUMBER),)


def test_booleans_and_datetimes_are_numbers_in_signature_order() -> None:
    kinds = {
        "a": Kind.CATEGORY,
        "b": Kind.BOOLEAN,
        "c": Kind.CATEGORY,
        "d": Kind.NUMBER,
        "e": Kind.DATETIME,
    }
    signature = Signature([Feature(name=n, kind=k) for n, k in kinds.items()], ["x"])
    assert [f.name for f in signature.numbers] == ["b", "d", "e"]
    assert [f.name for f in signature.categories] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            metadata(features=[HEIGHT, HEIGHT]),
            "names feature 'height' twice, expected unique names",
        ),
        (metadata(classes=["a", "b", "a"]), "names class 'a' twice"),
        (metadata(features=[]), "has no feature, expected at least one"),
        (metadata(classes=[]), "has no class, expected at least one"),
        (metadata(features=[{"name": "a", "kind": "color"}]), r"'color' - at `\$.features\[0\]"),
        (metadata(features=[{"kind": "number"}]), "missing required field `name`"),
        (metadata(features=[{**HEIGHT, "minimum": "low"}]), "Expected `float | null`, got `str`"),
        (
            metadata(features=[{"name": "seen", "kind": "datetime", "format": "%Y"}]),
            "feature 'seen' has format '%Y', expected one of %d/%m/%Y, %m/%d/%Y, ",
        ),
        (
            metadata(features=[{"name": "seen", "kind": "datetime", "format": 1}]),
            r"Expected `str | null`, got `int` - at `\$.features\[0\].format`",
        ),
        (
            metadata(threshold={"class": "maybe", "value": 0.5, "metric": "f1"}),
            "the threshold is for class 'maybe', expected class 'no' or 'yes'",
        ),
        (
            metadata(
                threshold={"class": "a", "value": 0.5, "metric": "f1"}, classes=["a", "b", "c"]
            ),
            "has a threshold and 3 classes, expected two classes",
        ),
        (
            metadata(threshold={"class": "a", "value": 0.5, "metric": "f1"}, classes=["a"]),
            "has a threshold and 1 classes, expected two classes",
        ),
        (
            metadata(threshold={"class": "yes", "value": 1.01, "metric": "f1"}),
            "the threshold is 1.01, expected 0 to 1",
        ),
        (
            metadata(threshold={"class": "yes", "value": -0.01, "metric": "f1"}),
            "the threshold is -0.01, expected 0 to 1",
        ),
        (metadata(threshold=0.4), r"Expected `object | null`, got `float` - at `\$.threshold`"),
        (metadata(threshold={"value": 0.4, "metric": "f1"}), "missing required field `class`"),
        (metadata(classes="no"), "metadata 'signature': Expected `array`, got `str`"),
        ("", "metadata 'signature': Input data was truncated"),
        ("[" * 100_000, "metadata 'signature'"),
        ('{"features": [{"name": "\\ud800", "kind": "number"}], "classes": ["a"]}', "surrogate"),
    ],
)
def test_signature_that_breaks_the_contract_is_rejected_with_the_reason(text, reason) -> None:
    with pytest.raises(ModelRejected, match=reason):
        Signature.from_metadata(text)


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_of_the_contract_is_accepted(format_: str) -> None:
    feature = {"name": "seen", "kind": "datetime", "format": format_}
    (read,) = Signature.from_metadata(metadata(features=[feature])).features
    assert read.format == format_


@pytest.mark.parametrize("value", [0, 1])
def test_threshold_may_be_0_or_1(value: float) -> None:
    threshold = {"class": "no", "value": value, "metric": "recall at precision 0.9"}
    signature = Signature.from_metadata(metadata(threshold=threshold))
    assert signature.threshold is not None
    assert signature.threshold.value == value


def test_blank_text_is_a_missing_datetime_if_the_feature_is_optional() -> None:
    assert math.isnan(Feature(name="a", kind=Kind.DATETIME, required=False).seconds(" "))
    with pytest.raises(ValueError, match="not a date or time"):
        Feature(name="a", kind=Kind.DATETIME).seconds(" ")


def test_number_is_shown_as_a_number_and_datetime_as_text() -> None:
    number, datetime = (Feature(name="a", kind=kind) for kind in (Kind.NUMBER, Kind.DATETIME))
    assert (number.json_value(86400.0), number.format_value(86400.0)) == (86400.0, "86400")
    assert datetime.json_value(86400.0) == datetime.format_value(86400.0) == "1970-01-02"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("red", "red"),
        ("  dark red\t", "dark red"),
        ("", ""),
        (" \n", ""),
        ("3.0", "3.0"),
        ("007", "007"),
        ("True", "True"),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (3.0, "3"),
        (-3.0, "-3"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (2.5e-7, "2.5e-07"),
        (2.0**53 - 1, "9007199254740991"),
        (2.0**53, "9007199254740992.0"),
        (2**53 + 1, "9007199254740993"),
        (1e300, "1e+300"),
    ],
)
def test_category_has_one_spelling(value, text) -> None:
    assert category_text(value) == text


@given(st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False))
def test_category_text_does_not_change_its_own_result(value) -> None:
    once = category_text(value)
    assert category_text(once) == once


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_category_text_of_a_number_reads_back_as_the_same_number(value) -> None:
    assert float(category_text(value)) == value
