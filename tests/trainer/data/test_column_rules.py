import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.trainer.data.cells.text import tidy
from pigeonhole.trainer.data.column import Column
from pigeonhole.trainer.data.column_rules import infer_feature
from pigeonhole.trainer.data.schema import Kind

ROWS = 100


def column(values, name="x") -> Column:
    array = pa.array(values)
    return Column(name, pa.chunked_array([tidy(array) if array.type == pa.string() else array]))


def kind(values, name="x") -> Kind:
    feature, _ = infer_feature(column(values, name))
    assert feature is not None
    return feature.kind


def left_out(values, name="x") -> str:
    feature, findings = infer_feature(column(values, name))
    assert feature is None
    assert findings[0].column == name
    assert f"Column {name!r} is left out" in findings[0].text
    return findings[0].rule


def advice(values) -> list[str]:
    return [finding.rule for finding in infer_feature(column(values))[1]]


def texts(numbers) -> list[str]:
    return [str(number) for number in numbers]


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "2"],
        ["-1.5", "+2", ".5", "3.", "1e-3", "2E5"],
        ["0", "1", "0", "1"],
        ["1", "", "3", "3"],
        ["007", "7", "8"],
    ],
)
def test_plain_decimal_numbers_are_numbers(cells):
    assert kind(cells) == Kind.NUMBER


@pytest.mark.parametrize("cells", [["true", "False", "TRUE"], ["true", "", "true"]])
def test_true_and_false_in_any_case_are_boolean(cells):
    assert kind(cells) == Kind.BOOLEAN


@pytest.mark.parametrize("cells", [["t", "f", "t"], ["yes", "no", "no"], ["red", "blue", "red"]])
def test_other_words_are_categories(cells):
    assert kind(cells) == Kind.CATEGORY


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, 2], pa.int8()), Kind.NUMBER),
        (pa.array([1, 2, 2**63], pa.uint64()), Kind.NUMBER),
        (pa.array([0.5, None, 2.0], pa.float32()), Kind.NUMBER),
        (pa.array([0.5, None, 2.0], pa.float16()), Kind.NUMBER),
        (pa.array([1, 2, None], pa.decimal128(5, 2)), Kind.NUMBER),
        (pa.array([True, False, None]), Kind.BOOLEAN),
    ],
)
def test_typed_columns_are_what_their_type_says(values, expected):
    assert kind(values) == expected


def test_column_without_missing_cells_is_required():
    assert infer_feature(column(["1", "2", "3"]))[0].required
    assert not infer_feature(column(["1", "", "3"]))[0].required
    assert not infer_feature(column(["red", "", "blue"]))[0].required


def test_number_column_with_an_invalid_cell_is_not_required():
    assert not infer_feature(column([*texts([1, 2] * 50), "n.a."]))[0].required


def test_five_percent_of_a_number_column_may_be_words():
    numbers = texts(i % 10 for i in range(95))
    assert kind([*numbers, *["?!"] * 5]) == Kind.NUMBER
    assert kind([*numbers[:94], *["?!"] * 6]) == Kind.CATEGORY


def test_numbers_with_one_common_word_stay_text_with_advice():
    cells = [*texts(i % 10 for i in range(80)), *["unknown"] * 20]
    feature, findings = infer_feature(column(cells))
    assert feature.kind == Kind.CATEGORY
    assert findings[0].rule == "mixed"
    assert "80%" in findings[0].text
    assert "'unknown'" in findings[0].text


def test_codes_with_many_digits_get_no_advice():
    assert advice([*texts(i % 60 for i in range(80)), *(f"A{i}" for i in range(20))]) == [
        "many-levels"
    ]


@pytest.mark.parametrize("example", ["1,234", "1.234,50", "12,5", "$1,000.00", "5 %", "1 234"])
def test_formatted_numbers_stay_text_and_are_reported(example):
    feature, findings = infer_feature(column([example, "12", example]))
    assert feature is None or feature.kind == Kind.CATEGORY
    assert findings[-1].rule == "number-format"
    assert repr(example) in findings[-1].text


@pytest.mark.parametrize("cells", [["", "NA", "?"], ["inf", "-inf", ""]])
def test_empty_column_is_left_out(cells):
    assert left_out(cells) == "empty"


def test_column_of_type_null_is_left_out():
    assert left_out(pa.nulls(3)) == "empty"


@pytest.mark.parametrize("cells", [["5", "5", "5.0"], ["red", "red", "red"], ["true"] * 3])
def test_constant_column_is_left_out(cells):
    assert left_out(cells) == "constant"


@pytest.mark.parametrize("cells", [["5", "", "5"], ["red", "", "red"]])
def test_column_of_one_value_and_missing_cells_is_kept(cells):
    assert kind(cells) in {Kind.NUMBER, Kind.CATEGORY}


@pytest.mark.parametrize(
    ("cells", "format_"),
    [
        (["2020-01-31", "2020-02-01", "2020-02-01"], None),
        (["2020-01-31 12:30", "2020-02-01T12:30:05.25Z", "2020-02-01 12:30:05+02:00"], None),
        (["31/01/2020", "1/2/2020"], "%d/%m/%Y"),
        (["31.01.2020 12:30", "01.02.2020 01:00"], "%d.%m.%Y %H:%M"),
        (["12:30", "7:05", "07:00"], "%H:%M"),
        (pa.array([dt.date(2020, 1, 31), None]), None),
        (pa.array([1, None], pa.timestamp("us", "UTC")), None),
        (pa.array([1, 2], pa.time32("s")), None),
    ],
)
def test_dates_and_times_are_datetimes(cells, format_):
    feature, _ = infer_feature(column(cells))
    assert (feature.kind, feature.format) == (Kind.DATETIME, format_)


def test_distinct_sorted_dates_are_not_identifiers():
    days = [f"2020-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(ROWS)]
    assert kind(days, "id") == Kind.DATETIME


def test_five_percent_of_a_datetime_column_may_be_words():
    days = [f"2020-01-{1 + i % 28:02}" for i in range(95)]
    feature, _ = infer_feature(column([*days, *["soon"] * 5]))
    assert (feature.kind, feature.required) == (Kind.DATETIME, False)
    assert kind([*days[:94], *["soon"] * 6]) == Kind.CATEGORY


def test_time_span_of_a_datetime_column_is_reported():
    _, findings = infer_feature(column(["2020-01-31T12:30", "2021-01-01", "2019-05-01"]))
    assert [finding.rule for finding in findings] == ["datetime"]
    assert "from 2019-05-01 to 2021-01-01" in findings[0].text


@pytest.mark.parametrize("cells", [["12:30", "13:00"], pa.array([1, 2], pa.time32("s"))])
def test_times_of_day_have_no_time_span(cells):
    assert advice(cells) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["", "03/04/2020", "05/06/2020"], "The month comes first: 03/04/2020 is 2020-03-04"),
        (["3-4-2020", "05-06-2020"], "The day comes first: 3-4-2020 is 2020-04-03"),
    ],
)  # fmt: skip
def test_ambiguous_order_of_day_and_month_is_reported(cells, expected):
    _, findings = infer_feature(column(cells))
    assert findings[0].rule == "day-month"
    assert expected in findings[0].text


def test_day_after_the_twelfth_leaves_no_doubt_about_day_and_month():
    assert advice(["13/04/2020", "05/06/2020"]) == ["datetime"]


@pytest.mark.parametrize(
    "cells",
    [
        ["1 May 2020", "12 Jun 2020"],
        ["01-May-20", "12-Jun-20"],
        ["May 1, 2020", "June 12, 2020"],
        ["Fri, 01 May 2020 12:30:00 GMT", "Fri, 12 Jun 2020 12:30:00 GMT"],
        ["Fri May 01 12:30:00 2020", "Fri Jun 12 12:30:00 2020"],
        ["1/5/20", "12/6/20"],
        ["2020-05-01T12:30+0200", "2020-06-12T12:30+0200"],
        ["2020-05-01", "12/31/2020"],
        ["7:30 pm", "8:00 AM"],
    ],
)
def test_dates_in_unsupported_formats_are_left_out_with_advice(cells):
    assert left_out(cells) == "date"
    text = infer_feature(column(cells))[1][0].text
    assert repr(cells[0]) in text
    assert "2024-05-01T13:45" in text


@pytest.mark.parametrize("cells", [["1.2.3", "1.10.0"], ["3-1", "2-2"], ["may", "june"], ["10.0.0.1", "10.0.0.2"]])  # fmt: skip
def test_text_that_resembles_a_date_is_a_category(cells):
    assert kind(cells) == Kind.CATEGORY


def test_dates_outside_the_calendar_are_left_out():
    assert left_out(pa.array([0, 10**14], pa.timestamp("s"))) == "date"


def test_single_date_is_constant():
    _, findings = infer_feature(column(["2020-01-31"] * 3))
    assert findings[0].text.endswith("every row has the same value, 2020-01-31.")


@pytest.mark.parametrize("cells", [["007", "100", "007"], ["100", "", "007"], ["01", "10", "00"]])
def test_digits_of_one_width_with_leading_zeros_are_codes(cells):
    feature, findings = infer_feature(column(cells))
    assert feature.kind == Kind.CATEGORY
    assert [finding.rule for finding in findings] == ["code"]


@pytest.mark.parametrize(
    "cells",
    [
        ["7", "10", "08"],
        ["100", "200"],
        ["0", "1"],
        ["0.5", "1.5"],
        ["-07", "012"],
        ["0e1", "100"],
    ],
)
def test_other_digits_are_numbers(cells):
    assert kind(cells) == Kind.NUMBER


def infer_with_kind(values, kind) -> tuple:
    array = pa.array(values)
    cells = pa.chunked_array([tidy(array) if array.type == pa.string() else array])
    return infer_feature(Column("id", cells, kind))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (texts(range(ROWS)), Kind.NUMBER),  # in order
        (texts(range(ROWS)), Kind.CATEGORY),  # all different
        (["01067", "10115"], Kind.NUMBER),
        ([f"free text of some length {i} and more" for i in range(ROWS)], Kind.CATEGORY),
        (["2020-01-31", "2020-02-01"], Kind.CATEGORY),
        (["1 May 2020", "12 Jun 2020"], Kind.CATEGORY),
        (["2020-01-31", "2020-02-01", "soon"], Kind.DATETIME),
        (["true", "false", "maybe"], Kind.BOOLEAN),
    ],
)
def test_kind_that_the_user_sets_is_kept(cells, kind):
    feature, findings = infer_with_kind(cells, kind)
    assert feature.kind == kind
    assert {finding.rule for finding in findings} <= {"datetime"}


@pytest.mark.parametrize(("cells", "rule"), [([""] * 3, "empty"), (["5"] * 3, "constant")])
def test_empty_or_constant_column_is_left_out_despite_a_set_kind(cells, rule):
    feature, findings = infer_with_kind(cells, Kind.CATEGORY)
    assert feature is None
    assert findings[0].rule == rule


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"x", b"y"]),
        pa.array([1, 2], pa.duration("s")),
    ],
)
def test_nested_and_binary_columns_and_durations_are_left_out(values):
    assert left_out(values) == "type"


def shuffled(values) -> list[int]:
    return np.random.default_rng(0).permutation(values).tolist()


def test_row_numbers_are_left_out():
    assert left_out(texts(range(ROWS))) == "identifier"


def test_row_numbers_are_left_out_after_shuffling():
    assert left_out(texts(shuffled(range(ROWS)))) == "identifier"


def test_row_numbers_are_left_out_in_a_part_of_a_larger_table():
    assert left_out(texts(shuffled(range(5 * ROWS))[:ROWS])) == "identifier"


@pytest.mark.parametrize("direction", [1, -1])
def test_sorted_distinct_integers_are_left_out(direction):
    assert left_out(texts(1_000_000 + 10_007 * i for i in range(ROWS))[::direction]) == "identifier"


@pytest.mark.parametrize("name", ["id", "ID", "customer_id", "PassengerId", "customerID", "Key"])
def test_distinct_integers_with_the_name_of_an_identifier_are_left_out(name):
    numbers = np.random.default_rng(0).choice(10**8, ROWS, replace=False)
    assert left_out(texts(numbers), name) == "identifier"


@pytest.mark.parametrize("name", ["grid", "monkey", "arid", "idle", "body_mass_index", "price"])
def test_name_that_resembles_an_identifier_does_not_count(name):
    numbers = np.random.default_rng(0).choice(10**8, ROWS, replace=False)
    assert kind(texts(numbers), name) == Kind.NUMBER


def test_distinct_integers_of_a_measure_are_kept():
    grams = np.random.default_rng(0).choice(np.arange(2700, 6300), 50, replace=False)
    assert kind(texts(grams)) == Kind.NUMBER


def test_repeated_integers_are_kept():
    assert kind([*texts(range(ROWS)), "7"], "id") == Kind.NUMBER


def test_distinct_decimals_are_kept():
    assert kind(texts(i + 0.5 for i in range(ROWS))) == Kind.NUMBER


def test_nearly_distinct_texts_are_left_out():
    assert left_out([f"animal {i}" for i in range(ROWS - 1)] + ["animal 7"]) == "identifier"


def test_category_with_more_levels_than_half_its_cells_is_left_out():
    assert left_out([f"code {i % 51}" for i in range(ROWS)]) == "many-levels"
    assert kind([f"code {i % 50}" for i in range(ROWS)]) == Kind.CATEGORY


def test_missing_cells_do_not_count_as_repeated_levels():
    cells = [f"cabin {i % 15}" for i in range(20)]
    assert left_out(cells + [""] * 1000) == "many-levels"


def test_category_with_many_repeated_levels_is_kept():
    assert kind([f"town {i % 400}" for i in range(2000)]) == Kind.CATEGORY


def test_long_distinct_texts_are_left_out_as_free_text():
    assert left_out([f"this is what person {i} had to say" for i in range(ROWS)]) == "free-text"
    assert left_out(["x" * 60 + str(i % 60) for i in range(ROWS)]) == "free-text"


def test_long_texts_that_repeat_are_categories():
    cells = ["I agree to a very large extent", "I do not agree to any extent"] * 50
    assert kind(cells) == Kind.CATEGORY


def test_distinct_values_of_a_small_table_are_kept():
    assert kind(texts(range(10))) == Kind.NUMBER
    assert kind(list("abcdefghij")) == Kind.CATEGORY
