from __future__ import annotations

import numpy as np

from pigeonhole.trainer.evaluation.intervals import Predictions, bootstrap
from pigeonhole.trainer.evaluation.scores import score
from pigeonhole.trainer.evaluation.tables import (
    SHOWN_CHARACTERS,
    aligned,
    confusion_table,
    scores_table,
    shortened,
)

SCORES = score(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]))


def test_first_column_is_left_aligned_and_the_others_right() -> None:
    assert aligned([["", "n"], ["a", "1,000"], ["long", "5"]]).splitlines() == [
        "          n",
        "a     1,000",
        "long      5",
    ]


def test_scores_stand_below_their_headings() -> None:
    table = scores_table({"mine": SCORES, "15 nearest neighbors": SCORES}).splitlines()
    headings = "accuracy balanced log loss macro F1 ROC AUC ECE"
    assert table[0].split() == headings.split()
    # Two rows are right with probabilities 0.9 and 0.8; one is wrong with 0.8.
    figures = "0.6667 0.7500 0.6460 0.6667 1.0000 0.2333"
    assert table[1].split() == ["mine", *figures.split()]
    assert len({len(line) for line in table}) == 1


def test_unknown_score_is_a_dash() -> None:
    single = score(np.array([0]), np.array([[0.9, 0.1]]))
    assert "-" in scores_table({"mine": single}).splitlines()[1].split()


def test_intervals_stand_below_their_scores() -> None:
    predictions = Predictions.most_likely(np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]))
    resamples = bootstrap(np.array([0, 1, 1]), {"mine": predictions}, np.random.default_rng(0))
    lines = scores_table({"mine": SCORES, "other": SCORES}, resamples).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["mine", "95%", "to", "other"]
    lower, figure, upper = (float(lines[i].split()[-6]) for i in (2, 1, 3))
    assert lower < figure < upper
    assert len({len(line) for line in lines}) == 1


def test_unprintable_characters_become_replacement_characters() -> None:
    assert (
        shortened("a\u202eb\x1b[31m") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"
    )


def test_confusion_matrix_has_true_classes_down_and_predicted_across() -> None:
    table = confusion_table(np.array([[1200, 3], [0, 7]]), ["cat", "dog"]).splitlines()
    assert table == [
        "true \\ predicted    cat  dog",
        "cat               1,200    3",
        "dog                   0    7",
    ]


def test_class_name_is_put_on_one_line_and_cut_off() -> None:
    table = confusion_table(np.eye(2, dtype=np.int64), ["x" * 300, "two\n  lines"]).splitlines()
    assert len(table) == 3
    assert max(map(len, table)) < 80
    assert table[1].startswith("x" * (SHOWN_CHARACTERS - 1) + "…")
    assert table[2].startswith("two lines ")


def test_name_of_exactly_the_longest_length_is_not_cut_off() -> None:
    name = "n" * SHOWN_CHARACTERS
    assert name in confusion_table(np.eye(2, dtype=np.int64), [name, "b"])


def test_wide_confusion_matrix_is_not_printed() -> None:
    classes = [str(number) for number in range(100)]
    table = confusion_table(np.eye(100, dtype=np.int64), classes)
    assert table == "(The confusion matrix of 100 classes is in the model file.)"
