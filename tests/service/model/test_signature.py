from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ModelRejected
from service.model.signature import Feature, Kind, Signature, category_text

HEIGHT = {"name": "height", "kind": "number"}


def metadata(**entries) -> str:
    return json.dumps({"features": [HEIGHT], "classes": ["no", "yes"], **entries})


def test_everything_in_the_metadata_is_read() -> None:
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
            ]
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


def test_entries_of_later_contracts_are_passed_over() -> None:
    text = metadata(features=[{**HEIGHT, "color_of_chart": "red"}], threshold=0.4)
    assert Signature.from_metadata(text).features == (Feature(name="height", kind=Kind.NUMBER),)


def test_booleans_go_with_the_numbers_and_the_order_is_kept() -> None:
    kinds = {"a": Kind.CATEGORY, "b": Kind.BOOLEAN, "c": Kind.CATEGORY, "d": Kind.NUMBER}
    signature = Signature([Feature(name=n, kind=k) for n, k in kinds.items()], ["x"])
    assert [f.name for f in signature.numbers] == ["b", "d"]
    assert [f.name for f in signature.categories] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (metadata(features=[HEIGHT, HEIGHT]), "names feature 'height' twice"),
        (metadata(classes=["a", "b", "a"]), "names class 'a' twice"),
        (metadata(features=[]), "has no feature"),
        (metadata(classes=[]), "has no class"),
        (metadata(features=[{"name": "a", "kind": "color"}]), r"'color' - at `\$.features\[0\]"),
        (metadata(features=[{"kind": "number"}]), "missing required field `name`"),
        (metadata(features=[{**HEIGHT, "minimum": "low"}]), "Expected `float | null`, got `str`"),
        (metadata(classes="no"), "metadata 'signature': Expected `array`, got `str`"),
        ("", "metadata 'signature': Input data was truncated"),
        ("[" * 100_000, "metadata 'signature'"),
        ('{"features": [{"name": "\\ud800", "kind": "number"}], "classes": ["a"]}', "surrogate"),
    ],
)
def test_a_signature_that_breaks_the_contract_is_refused_with_a_reason(text, reason) -> None:
    with pytest.raises(ModelRejected, match=reason):
        Signature.from_metadata(text)


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
def test_a_category_has_one_spelling(value, text) -> None:
    assert category_text(value) == text


@given(st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False))
def test_a_spelled_category_is_spelled_the_same_again(value) -> None:
    once = category_text(value)
    assert category_text(once) == once


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_spelled_number_reads_back_as_the_same_number(value) -> None:
    assert float(category_text(value)) == value
