"""Rules that keep a column or leave it out, and infer its kind.

The first rule that applies leaves a column out. "Filled" cells are those not missing. Rules about
repeated values need at least 20 filled cells.

    type         its type is a list, a struct, bytes or similar
    empty        every cell is missing, or no number is finite
    constant     one value, and never missing
    date         at least 95 % of the filled cells look like dates or times in mixed or unknown
                 formats, or are outside the years 1 to 9999
    identifier   distinct integers that (a) rise or fall throughout the file, or (b) are in a range
                 so narrow that chance would give ten equal pairs, or (c) are in a column with a
                 name like "id", "key" or "PassengerId"
    free-text    text with more levels than half the filled cells, longer than 5 words or 50
                 characters on average
    identifier   text with at least 95 % distinct filled cells
    many-levels  text with more levels than half the filled cells

Rule (b): n values drawn from w integers have n (n - 1) / 2w equal pairs on average, and more if some
integers are more likely. So the rule finds row numbers after shuffling and in a part of a table. It
keeps body masses in grams or prices, whose range is wider.

The kind of the other columns is that of at least 95 % of their filled cells:

    number       plain decimals; codes, integers of one width with some leading zeros, are categories
    boolean      only true and false, in any case; 0 and 1 are numbers, yes and no are categories
    datetime     dates, times or both in one known format, or by the column's type
    category     everything else

A kind that the user set leaves a column out only if it is empty or constant. Findings about kept
columns:

    code           the column is read as codes
    datetime       the time span of the training data
    day-month      day and month can't be told apart; which one comes first
    number-format  at least 95 % of the filled cells are numbers with thousands separators, a decimal
                   comma, a currency or a percent sign; the column stays text
    mixed          50 to 95 % of the filled cells are plain numbers, and one word makes up half of the
                   others; the column stays text
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .cells.datetimes import FIRST_S, LAST_S, TIMES, datetime_text
from .cells.numbers import NEARLY_ALL, NUMBER
from .column import Column, is_readable
from .findings import Finding
from .schema import Feature, Kind

FEW_CELLS = 20
EXPECTED_PAIRS = 10  # the probability of no equal pair is then 1 in 22,000
HALF = 0.5
LONG_WORDS = 5
LONG_CHARACTERS = 50

MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE_LIKE = "|".join(
    (
        # Digits with a year of four, or between slashes; 1.2.3, a release, does not match.
        r"^[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}([T ,].*)?$",
        r"^[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}([T ,].*)?$",
        r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}([T ,].*)?$",
        # The month's name after or before the day, with or without a weekday.
        rf"^(?i:([a-z]+,? )?[0-9]{{1,2}}(st|nd|rd|th)?[-. ]{MONTH}[-., ]+[0-9]{{2,4}}([T ,].*)?)$",
        rf"^(?i:([a-z]+,? )?{MONTH} [0-9]{{1,2}}(st|nd|rd|th)?,?( .*)? [0-9]{{2,4}}([T ,].*)?)$",
        # A 12-hour time of day.
        r"^(?i:[0-9]{1,2}(:[0-9]{2}){1,2} ?[ap]\.?m\.?)$",
    )
)
FORMATTED_NUMBER = (
    r"^[$€£¥]? ?[+-]?"
    r"([0-9]+([.,][0-9]+)?|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[0-9]{1,3}([.' ][0-9]{3})+(,[0-9]+)?)"
    r" ?[%$€£¥]?$"
)
IDENTIFIER_NAME = re.compile(r"(^|[\W_])(?i:id|key)$|[a-z](Id|ID|Key)$")


def infer_feature(column: Column) -> tuple[Feature | None, list[Finding]]:
    """Return the feature of a column, or None if it is left out, and the findings about it."""
    for rule, find_reason in LEFT_OUT:
        if column.user_kind and rule not in ALWAYS_LEFT_OUT:
            continue
        if reason := find_reason(column):
            text = f"Column {column.name!r} is left out: {reason}."
            return None, [Finding(rule, column.name, text), *_find_number_text(column)]
    feature = Feature(column.name, column.kind, not column.has_missing, _format(column))
    return feature, [*_find_surprises(column), *_find_number_text(column)]


def _format(column: Column) -> str | None:
    """Return the format of a datetime column that is not ISO 8601."""
    if column.kind is not Kind.DATETIME or column.datetime_format is None:
        return None
    return column.datetime_format.format


def _unreadable(column: Column) -> str | None:
    if is_readable(column.type) or is_readable(column.type, Kind.DATETIME):
        return None
    return f"the type {column.type} is not supported, expected numbers, text, dates or times"


def _empty(column: Column) -> str | None:
    if column.filled == 0:
        return "every cell is missing"
    if column.kind is Kind.CATEGORY or len(column.known):
        return None
    return f"it has no {'finite number' if column.kind is Kind.NUMBER else column.kind}"


def _constant(column: Column) -> str | None:
    if column.has_missing:
        return None  # missing values may carry information
    if column.kind in {Kind.NUMBER, Kind.DATETIME}:
        low, high = column.known.min(), column.known.max()
        value = f"{low:g}" if column.kind is Kind.NUMBER else datetime_text(low)
        single = low == high
    else:
        value, single = column.levels.names[0], len(column.levels.names) == 1
    return f"every row has the same value, {value}" if single else None


def _date(column: Column) -> str | None:
    if column.kind is Kind.DATETIME:
        # Text can't express such years, but a typed column can.
        in_text = pa.types.is_string(column.type)
        if in_text or (column.known.min() >= FIRST_S and column.known.max() < LAST_S):
            return None
        return "it has dates outside the years 1 to 9999"
    if column.kind is not Kind.CATEGORY or column.levels.share(DATE_LIKE) < NEARLY_ALL:
        return None
    example = column.levels.names[column.levels.matching(DATE_LIKE)][0]
    return (
        f"it has dates or times in mixed or unknown formats, such as {example!r}; "
        "write them as 2024-05-01 or 2024-05-01T13:45 to use them"
    )


def _row_numbers(column: Column) -> str | None:
    """Return why the integers of a column are identifiers, if they are."""
    if column.kind is not Kind.NUMBER or len(column.known) < FEW_CELLS:
        return None
    values = column.known
    if not _are_distinct_integers(values):
        return None
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return "its integers are distinct and sorted, like row numbers"
    pairs = len(values) * (len(values) - 1) / 2
    # Half the range, because the range from -1.7e308 to 1.7e308 overflows float64.
    if pairs / EXPECTED_PAIRS / 2 >= values.max() / 2 - values.min() / 2 + 0.5:
        return "its integers are distinct and dense, like a numbering"
    if IDENTIFIER_NAME.search(column.name):
        return "its integers are distinct, and its name is that of an identifier"
    return None


def _are_distinct_integers(values: NDArray[np.float64]) -> bool:
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _is_mostly_distinct(column: Column) -> bool:
    """Return whether text has fewer than two rows per level on average."""
    if column.kind is not Kind.CATEGORY or column.filled < FEW_CELLS:
        return False
    return column.distinct_share > HALF


def _free_text(column: Column) -> str | None:
    if not _is_mostly_distinct(column):
        return None
    names = column.levels.names
    words = np.mean([name.count(" ") + 1 for name in names])
    characters = np.mean([len(name) for name in names])
    if words <= LONG_WORDS and characters <= LONG_CHARACTERS:
        return None
    return (
        f"it is free text, {words:.0f} words long on average; put what matters into columns of "
        "their own, such as whether a word occurs"
    )


def _names(column: Column) -> str | None:
    if not _is_mostly_distinct(column) or column.distinct_share < NEARLY_ALL:
        return None
    return f"nearly all of its texts are distinct ({_proportion(column)}), like names"


def _many_levels(column: Column) -> str | None:
    if not _is_mostly_distinct(column):
        return None
    return f"it has more levels than half its filled cells ({_proportion(column)})"


def _proportion(column: Column) -> str:
    return f"{len(column.levels.names):,} of {column.filled:,}"


LEFT_OUT = (
    ("type", _unreadable),
    ("empty", _empty),
    ("constant", _constant),
    ("date", _date),
    ("identifier", _row_numbers),
    ("free-text", _free_text),
    ("identifier", _names),
    ("many-levels", _many_levels),
)
"""Rules in their order: a name, and a function that returns the reason or None."""

ALWAYS_LEFT_OUT = {"empty", "constant"}
"""Rules that also apply to columns whose kind the user set."""


def _find_surprises(column: Column) -> list[Finding]:
    """Return findings about surprising kinds."""
    if column.user_kind is None and column.kind is Kind.CATEGORY and column.is_code:
        text = (
            f"Column {column.name!r} is read as categories, not as numbers: its cells have one "
            f"width and leading zeros, like codes."
        )
        return [Finding("code", column.name, text)]
    if column.kind is not Kind.DATETIME:
        return []
    return [*_find_day_month_doubt(column), *_find_time_span(column)]


def _find_day_month_doubt(column: Column) -> list[Finding]:
    """Return a finding if day and month can't be told apart."""
    if column.datetime_format is None or column.datetime_format.alternative is None:
        return []
    first = "month" if str(column.datetime_format.format).startswith("%m") else "day"
    row = int(np.flatnonzero(~np.isnan(column.values.values))[0])
    text = (
        f"Column {column.name!r}: day and month can't be told apart. The {first} comes first: "
        f"{column.cells[row].as_py()} is {datetime_text(column.known[0])}. Write dates as "
        "2024-05-01 to be sure."
    )
    return [Finding("day-month", column.name, text)]


def _find_time_span(column: Column) -> list[Finding]:
    if _format(column) in TIMES or pa.types.is_time(column.type):
        return []  # times of day recur
    low, high = datetime_text(column.known.min()), datetime_text(column.known.max())
    text = (
        f"Column {column.name!r} has dates from {low} to {high}. Scores on these rows do not show how "
        "the model does on later dates."
    )
    return [Finding("datetime", column.name, text)]


def _find_number_text(column: Column) -> list[Finding]:
    """Return findings about text that looks like numbers, with what to change."""
    if not pa.types.is_string(column.type) or column.kind is not Kind.CATEGORY or column.is_number:
        return []
    if column.levels.share(FORMATTED_NUMBER) >= NEARLY_ALL:
        example = column.levels.names[~column.levels.matching(NUMBER)][0]
        text = (
            f"Column {column.name!r} is read as text, but looks like numbers with separators or "
            f"signs, such as {example!r}. Write them plainly, such as 1234.5, to use them as numbers."
        )
        return [Finding("number-format", column.name, text)]
    numbers = 1 - len(column.numbers.unparsable) / max(column.filled, 1)
    word, share = _commonest_word(column)
    if numbers > HALF and share >= HALF:
        text = (
            f"Column {column.name!r} is read as text, although {numbers:.0%} of it is numbers, because "
            f"of {word!r}. Leave such cells empty to use it as numbers."
        )
        return [Finding("mixed", column.name, text)]
    return []


def _commonest_word(column: Column) -> tuple[str, float]:
    """Return the commonest cell that is not a number, and its share of such cells."""
    counts = np.bincount(column.levels.codes[column.numbers.unparsable])
    return str(column.levels.names[counts.argmax()]), float(counts.max() / counts.sum())
