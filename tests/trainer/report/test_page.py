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
    """What a test asks of a page: its elements with their attributes, and its text."""

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
def full(make_evidence, history, layers):
    """Evidence with everything there can be."""
    rng = np.random.default_rng(1)
    return make_evidence(
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
        rows={"to fit": 100, "to score on": 40},
        example=GOLDEN,
        settings={"hidden": (3,)},
    )


def test_every_part_is_there(full) -> None:
    text = Page(report(full)).text
    for part in (
        *(
            "It tells cat and dog apart by 2 columns of pets.csv.",
            "On 40 rows that were kept aside",
        ),
        *("95 % interval", "All scores", "in cross-validation", "± 0.0500", "Confusion matrix"),
        *("Reliability", "ROC curve", "Precision and recall", "Permutation importance"),
        *("Partial dependence", "Loss", "Layers", "1.25", "What was found in the data?"),
        *("Column 'tail' is left out: it is constant.", "100 rows to fit, 40 rows to score on"),
        *("dog is answered from a probability of 0.37 on, chosen for f1", "How is it called?"),
    ):
        assert part in text, part


def test_what_is_not_known_is_left_out(make_evidence) -> None:
    text = Page(report(make_evidence())).text
    for part in ("How was it fitted?", "How is it called?", "Temperature", "best simple method"):
        assert part not in text


def test_no_sign_of_the_template_is_left(full, make_evidence) -> None:
    for evidence in (full, make_evidence()):
        text = Page(report(evidence)).text
        assert not {sign for sign in ("{{", "{%", "%}", "None", "nan") if sign in text}


def test_the_same_evidence_makes_the_same_bytes(full) -> None:
    assert report(full) == report(full)


def test_the_page_needs_nothing_else(full) -> None:
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


def test_drawings_have_words_and_tables_have_scopes(full) -> None:
    page = Page(report(full))
    drawings = page.all("svg")
    assert len(drawings) >= 9
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in drawings)
    assert page.all("th")
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_the_table_are_text_wherever_they_stand(
    make_evidence, history, layers, name: str
) -> None:
    features = (
        Feature(name, Kind.NUMBER, required=True),
        Feature(f"{name}2", Kind.CATEGORY, required=True),
    )
    classes = (name, "dog", f"{name}3")
    html = report(
        make_evidence(
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
        make_evidence(
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


def test_text_that_looks_like_a_drawings_own_stays_as_it_is(make_evidence) -> None:
    name = "#a10001 font: 9px x id"
    html = report(make_evidence((Feature(name, Kind.NUMBER, required=True),)))
    assert f">{name}: +" in html


@pytest.mark.parametrize(
    ("classes", "said"),
    [(2, "It tells class 0 and class 1 apart"), (200, "class 4 and 195 more apart by 2 columns")],
)
def test_many_classes_are_shown_in_part_and_it_says_so(make_evidence, classes, said) -> None:
    names = tuple(f"class {number}" for number in range(classes))
    html = report(make_evidence(classes=names, count=500))
    text = Page(html).text
    assert said in text
    assert ("the other 189 together" in text) == (classes == 200)
    assert ("the 30 classes with most test rows, of 200" in text) == (classes == 200)
    assert ("of 200 classes 6, the commonest in the test part" in text) == (classes == 200)
    assert len(html) < 300_000


def test_many_columns_are_shown_in_part_and_it_says_so(make_evidence) -> None:
    features = [Feature(f"column {i}", Kind.NUMBER, required=True) for i in range(500)]
    html = report(make_evidence(features, count=60))
    text = Page(html).text
    assert "These are the first 15 of 500 columns." in text
    assert "The 100 most important of 500 columns." in text
    assert len(html) < 300_000


@pytest.mark.parametrize("rows", [1, 3])
def test_a_few_rows_of_one_class_make_a_page_too(make_evidence, rows: int) -> None:
    html = report(make_evidence(count=rows, labels=np.zeros(rows, dtype=np.int64)))
    text = Page(html).text
    assert f"Few rows: figures from {rows} row" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_two_numbers_have_a_map_and_other_columns_have_none(make_evidence) -> None:
    number, boolean = (Feature(kind, kind, required=True) for kind in (Kind.NUMBER, Kind.BOOLEAN))
    other = Feature("other", Kind.NUMBER, required=True)
    assert "Decision map" in report(make_evidence((number, other)))
    assert "Decision map" not in report(make_evidence((number,)))
    flags = np.stack([np.arange(40.0), np.arange(40) % 2], axis=1)
    assert "Decision map" not in report(make_evidence((number, boolean), numbers=flags))


def test_times_are_shown_as_dates(make_evidence) -> None:
    features = [Feature(name, Kind.DATETIME, required=True) for name in ("born", "met")]
    seconds = 1_600_000_000 + np.arange(80.0).reshape(40, 2) * 864_000
    assert re.search(r">20(20|21|22)<", report(make_evidence(features, numbers=seconds)))


@pytest.mark.parametrize(
    "ends", [(-1.7e308, 1.7e308), (1e15, 1e15 + 1), (5e-324, 1e-300), (5.0, 5.0), (0.0, 1e13)]
)
@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.DATETIME])
def test_numbers_of_any_size_can_be_drawn(make_evidence, kind: Kind, ends) -> None:
    features = [Feature(name, kind, required=True) for name in ("a", "b")]
    numbers = np.stack([np.linspace(0, 1, 40), np.repeat(ends, 20)], axis=1)
    html = report(make_evidence(features, numbers=numbers))
    assert not re.search(r'[ "](nan|inf|-inf)[ "]', html)


def test_a_column_without_any_value_is_no_hindrance(make_evidence) -> None:
    features = [Feature(name, Kind.NUMBER, required=False) for name in ("a", "b")]
    numbers = np.stack([np.arange(40.0), np.full(40, np.nan)], axis=1)
    text = Page(report(make_evidence(features, numbers=numbers))).text
    assert "Permutation importance" in text


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ("right", "Better than the simple methods: it gains 100.0 points (95 % interval of the"),
        ("wrong", "Worse than guess: it loses 100.0 points (95 % interval of the difference -100"),
        ("same", "No clear difference from guess: the difference in accuracy is +0.0 points (95 %"),
    ],
)
def test_the_verdict_says_who_is_better(make_evidence, labels: str, verdict: str) -> None:
    evidence = make_evidence(count=200)
    predicted = evidence.answers.predicted
    truth = 1 - predicted if labels == "wrong" else predicted
    guess = np.eye(2)[truth if labels != "right" else 1 - predicted]
    test = dataclasses.replace(evidence.test, labels=truth)
    html = report(dataclasses.replace(evidence, test=test, baselines={"guess": guess}))
    assert verdict in Page(html).text
