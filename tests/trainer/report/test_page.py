from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from pigeonhole.trainer.data.findings import Finding
from pigeonhole.trainer.data.schema import Feature, Kind
from pigeonhole.trainer.evaluation.threshold import Threshold
from pigeonhole.trainer.report.inputs import DrawnLayer
from pigeonhole.trainer.report.page import report

HOSTILE = (
    '<script>alert("x")</script>',
    "</title></style></svg>-->",
    '" onload="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{2}$ & 'q'",
    "x" * 500,
    "\u202eturned\x00\x1b[31m\nround",
)

GOLDEN = {"row": {"height": 1.5}, "label": "cat", "probabilities": {"cat": 0.75, "dog": 0.25}}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.shown: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.shown.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())


@pytest.fixture
def full(make_inputs, history, layers):
    """Inputs with every field."""
    rng = np.random.default_rng(1)
    return make_inputs(
        history=history,
        layers=layers,
        baselines={
            "commonest class": np.tile([0.6, 0.4], (40, 1)),
            "other": rng.dirichlet([1, 1], 40),
        },
        findings=(Finding("constant", "tail", "Column 'tail' is left out: it is constant."),),
        temperatures=(1.25,),
        threshold=Threshold(1, 0.37, "f1"),
        spread={"accuracy": (0.9, 0.05)},
        row_counts={"for training": 100, "for test": 40},
        example=GOLDEN,
        settings={"hidden": (3,)},
    )


def test_report_has_every_section(full) -> None:
    text = Page(report(full)).text
    for part in (
        *(
            "Distinguishes cat and dog by 2 columns of pets.csv.",
            "Accuracy on 40 test rows: ",
        ),
        *("95 % interval", "All scores", "in cross-validation", "± 0.0500", "Confusion matrix"),
        *("Reliability", "ROC curve", "Precision and recall", "Permutation importance"),
        *("Partial dependence", "Loss", "Layers", "1.25", "Data"),
        *(
            "Column 'tail' is left out: it is constant.",
            "pets.csv: 100 rows for training, 40 rows for test.",
        ),
        *("Threshold: dog is predicted from a probability of 0.37 on, chosen for f1", "Usage"),
    ):
        assert part in text, part


def test_sections_of_empty_inputs_are_left_out(make_inputs) -> None:
    text = Page(report(make_inputs())).text
    for part in ("Fit", "Usage", "Temperature", "Best baseline"):
        assert part not in text


def test_no_template_syntax_is_left(full, make_inputs) -> None:
    for inputs in (full, make_inputs()):
        text = Page(report(inputs)).text
        assert not {syntax for syntax in ("{{", "{%", "%}", "None", "nan") if syntax in text}


def test_same_inputs_give_the_same_bytes(full) -> None:
    assert report(full) == report(full)


def test_report_loads_no_other_files(full) -> None:
    html = report(full)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on")}
        for name in ("href", "src", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in html
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", html)
    assert len(html) < 1_000_000


def test_headings_are_in_order_and_ids_are_unique(full) -> None:
    page = Page(report(full))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    named = {attributes.get("href", "#")[1:] for _, attributes in page.elements} - {""}
    assert named <= set(ids)


def test_drawings_have_alternative_texts_and_tables_have_scopes(full) -> None:
    page = Page(report(full))
    drawings = page.all("svg")
    assert len(drawings) >= 9
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in drawings)
    assert page.all("th")
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_the_table_are_escaped_everywhere(
    make_inputs, history, layers, name: str
) -> None:
    features = (
        Feature(name, Kind.NUMBER, required=True),
        Feature(f"{name}2", Kind.CATEGORY, required=True),
    )
    classes = (name, "dog", f"{name}3")
    html = report(
        make_inputs(
            features,
            classes,
            name="pets",
            table=f"{name}.csv",
            history=dataclasses.replace(history, stopped_by=name),
            layers=(*layers[:1], DrawnLayer(name, 3)),
            baselines={name: np.full((40, 3), 1 / 3)},
            findings=[Finding("x", name, name)],
            example={"row": {name: name}, "label": name, "probabilities": {name: 1.0}},
            settings={name: name},
        )
    )
    plain = report(
        make_inputs(
            (Feature("a", Kind.NUMBER, required=True), Feature("a2", Kind.CATEGORY, required=True)),
            ("a", "dog", "a3"),
            name="pets",
            table="a.csv",
            history=history,
            layers=(*layers[:1], DrawnLayer("a", 3)),
            baselines={"a": np.full((40, 3), 1 / 3)},
            findings=[Finding("x", "a", "a")],
            example={"row": {"a": "a"}, "label": "a", "probabilities": {"a": 1.0}},
            settings={"a": "a"},
        )
    )
    hostile, tame = (
        [tag for tag, _ in Page(text).elements if tag in {"script", "b", "title", "svg", "style"}]
        for text in (html, plain)
    )
    assert hostile == tame
    assert not {sign for sign in html if not sign.isprintable()} - {"\n"}


def test_name_that_looks_like_drawing_syntax_is_unchanged(make_inputs) -> None:
    name = "#a10001 font: 9px x id"
    html = report(make_inputs((Feature(name, Kind.NUMBER, required=True),)))
    assert f">{name}: +" in html


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(2, "Distinguishes class 0 and class 1"), (200, "class 4 and 195 more by 2 columns")],
)
def test_report_says_that_it_omits_classes(make_inputs, classes, expected) -> None:
    names = tuple(f"class {number}" for number in range(classes))
    html = report(make_inputs(classes=names, count=500))
    text = Page(html).text
    assert expected in text
    assert ("combines the other 189" in text) == (classes == 200)
    assert ("the 30 most frequent of 200 classes" in text) == (classes == 200)
    assert ("for the 6 most frequent of 200 classes" in text) == (classes == 200)
    assert len(html) < 300_000


def test_report_says_that_it_omits_columns(make_inputs) -> None:
    features = [Feature(f"column {i}", Kind.NUMBER, required=True) for i in range(500)]
    html = report(make_inputs(features, count=60))
    text = Page(html).text
    assert "The chart has the first 15 of 500 columns." in text
    assert "The 100 most important of 500 columns." in text
    assert len(html) < 300_000


@pytest.mark.parametrize("rows", [1, 3])
def test_report_of_a_few_rows_of_one_class(make_inputs, rows: int) -> None:
    html = report(make_inputs(count=rows, labels=np.zeros(rows, dtype=np.int64)))
    text = Page(html).text
    assert f"Few rows: scores from {rows} row" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_only_two_number_columns_have_a_decision_map(make_inputs) -> None:
    number, boolean = (Feature(kind, kind, required=True) for kind in (Kind.NUMBER, Kind.BOOLEAN))
    other = Feature("other", Kind.NUMBER, required=True)
    assert "Decision map" in report(make_inputs((number, other)))
    assert "Decision map" not in report(make_inputs((number,)))
    flags = np.stack([np.arange(40.0), np.arange(40) % 2], axis=1)
    assert "Decision map" not in report(make_inputs((number, boolean), numbers=flags))


def test_datetimes_are_shown_as_dates(make_inputs) -> None:
    features = [Feature(name, Kind.DATETIME, required=True) for name in ("born", "met")]
    seconds = 1_600_000_000 + np.arange(80.0).reshape(40, 2) * 864_000
    assert re.search(r">20(20|21|22)<", report(make_inputs(features, numbers=seconds)))


@pytest.mark.parametrize(
    "ends", [(-1.7e308, 1.7e308), (1e15, 1e15 + 1), (5e-324, 1e-300), (5.0, 5.0), (0.0, 1e13)]
)
@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.DATETIME])
def test_numbers_of_any_size_can_be_drawn(make_inputs, kind: Kind, ends) -> None:
    features = [Feature(name, kind, required=True) for name in ("a", "b")]
    numbers = np.stack([np.linspace(0, 1, 40), np.repeat(ends, 20)], axis=1)
    html = report(make_inputs(features, numbers=numbers))
    assert not re.search(r'[ "](nan|inf|-inf)[ "]', html)


def test_column_without_values_is_accepted(make_inputs) -> None:
    features = [Feature(name, Kind.NUMBER, required=False) for name in ("a", "b")]
    numbers = np.stack([np.arange(40.0), np.full(40, np.nan)], axis=1)
    text = Page(report(make_inputs(features, numbers=numbers))).text
    assert "Permutation importance" in text


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        (
            "right",
            "Better than the baselines: the accuracy is 100.0 points above the best baseline's (95 %",
        ),
        (
            "wrong",
            "Worse than guess: the accuracy is 100.0 points lower (95 % interval of the difference -100",
        ),
        ("same", "No clear difference from guess: the difference in accuracy is +0.0 points (95 %"),
    ],
)
def test_verdict_names_the_better_method(make_inputs, labels: str, verdict: str) -> None:
    inputs = make_inputs(count=200)
    predicted = inputs.predictions.predicted
    truth = 1 - predicted if labels == "wrong" else predicted
    guess = np.eye(2)[truth if labels != "right" else 1 - predicted]
    test = dataclasses.replace(inputs.test, labels=truth)
    html = report(dataclasses.replace(inputs, test=test, baselines={"guess": guess}))
    assert verdict in Page(html).text
