"""What a column is good for: the rules by which it is kept or left out.

A column is left out by the first of these rules that speaks. "Filled" cells are those not
missing; a rule that reasons from how often values repeat holds from 20 filled cells on.

    type         its type is a list, a struct, bytes or the like
    empty        every cell is missing, or holds no finite number
    constant     one value, and never missing
    date         95 % or more of the filled cells look like dates or times, but not in one of the
                 spellings that are read; or they lie outside of the years 1 to 9999
    identifier   whole numbers, all different, that (a) rise or fall all the way down the file, or
                 (b) lie in a range so narrow that chance would have made ten pairs of them equal,
                 or (c) stand in a column called "id" or "key", or ending so ("PassengerId")
    free-text    text with more levels than half the filled cells, on average longer than 5 words
                 or 50 characters
    identifier   text of which 95 % or more of the filled cells are different
    many-levels  text with more levels than half the filled cells

Rule (b) takes n values drawn from the w whole numbers between smallest and largest: they hold
n (n - 1) / 2w equal pairs on average, and no fewer if some numbers are likelier than others. So row
numbers are found after shuffling too, and in a part of a larger table; body masses in grams or
prices, spread wider than they are many, are kept.

What remains is, by 95 % or more of its filled cells,

    number       plain decimal numbers; but a category where they are codes: whole numbers of one
                 width, some with zeros in front
    boolean      true and false only, in any case; 0 and 1 are numbers, yes and no are categories
    datetime     dates, times or both, in ISO 8601 or in one of a few other spellings, all in the
                 same; or its type says so
    category     anything else

Whoever knows better says what a column is: then it is left out only if it is empty or constant.
What is pointed out about a column that is kept:

    code           it is taken for codes
    datetime       the moments it spans: the network has seen no others
    day-month      day and month can't be told apart, and which one was taken to be first
    number-format  95 % or more of the filled cells are numbers with separators of thousands, a
                   decimal comma, a currency or a percent sign; it stays text
    mixed          more than half of the filled cells are plain numbers, but fewer than 95 %, and
                   one word makes up half of the others or more, as "unknown" would; it stays text
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .cells.datetimes import FIRST_S, LAST_S, TIMES, moment_text
from .cells.numbers import NUMBER
from .column import NEARLY_ALL, Column, is_readable
from .findings import Finding
from .schema import Feature, Kind

FEW_CELLS = 20
PAIRS_BY_CHANCE = 10  # that ten expected pairs all fail to turn up has a chance of 1 in 22,000
HALF = 0.5
LONG_WORDS = 5
LONG_CHARACTERS = 50

MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DATE_LIKE = "|".join(
    (
        # Digits: with four of a year, or between slashes. So 1.2.3, a release, is none.
        r"^[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}([T ,].*)?$",
        r"^[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}([T ,].*)?$",
        r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}([T ,].*)?$",
        # The month's name, behind the day or before it, after a weekday or not.
        rf"^(?i:([a-z]+,? )?[0-9]{{1,2}}(st|nd|rd|th)?[-. ]{MONTH}[-., ]+[0-9]{{2,4}}([T ,].*)?)$",
        rf"^(?i:([a-z]+,? )?{MONTH} [0-9]{{1,2}}(st|nd|rd|th)?,?( .*)? [0-9]{{2,4}}([T ,].*)?)$",
        # A time of day in twelve hours.
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
    """The feature a column makes, or None if it is left out, and what was found in it."""
    for rule, reason in LEFT_OUT:
        if column.given and rule not in ALWAYS_LEFT_OUT:
            continue
        if why := reason(column):
            text = f"Column {column.name!r} is left out: {why}."
            return None, [Finding(rule, column.name, text), *_advice(column)]
    feature = Feature(column.name, column.kind, not column.has_gaps, _format(column))
    return feature, [*_remarks(column), *_advice(column)]


def _format(column: Column) -> str | None:
    """How its dates and times are written, if it holds any and that is not ISO 8601."""
    if column.kind is not Kind.DATETIME or column.notation is None:
        return None
    return column.notation.format


def _unreadable(column: Column) -> str | None:
    if is_readable(column.type) or is_readable(column.type, Kind.DATETIME):
        return None
    return f"its type, {column.type}, is neither numbers, text, dates nor times"


def _empty(column: Column) -> str | None:
    if column.filled == 0:
        return "every cell is missing"
    if column.kind is Kind.CATEGORY or len(column.known):
        return None
    return f"it holds no {'finite number' if column.kind is Kind.NUMBER else column.kind}"


def _constant(column: Column) -> str | None:
    if column.has_gaps:
        return None  # then whether it is missing may tell something
    if column.kind in {Kind.NUMBER, Kind.DATETIME}:
        low, high = column.known.min(), column.known.max()
        value = f"{low:g}" if column.kind is Kind.NUMBER else moment_text(low)
        single = low == high
    else:
        value, single = column.levels.names[0], len(column.levels.names) == 1
    return f"every row has the same value, {value}" if single else None


def _date(column: Column) -> str | None:
    if column.kind is Kind.DATETIME:
        # Text can't say so, but a type that counts seconds can.
        in_text = pa.types.is_string(column.type)
        if in_text or (column.known.min() >= FIRST_S and column.known.max() < LAST_S):
            return None
        return "it holds moments outside of the years 1 to 9999"
    if column.kind is not Kind.CATEGORY or column.levels.share(DATE_LIKE) < NEARLY_ALL:
        return None
    example = column.levels.names[column.levels.matching(DATE_LIKE)][0]
    return (
        f"it holds dates or times, but not all in one spelling that is read, such as {example!r}; "
        "written as 2024-05-01 or 2024-05-01T13:45 they would be learned from"
    )


def _numbered(column: Column) -> str | None:
    """Whole numbers that name a row rather than measure it."""
    if column.kind is not Kind.NUMBER or len(column.known) < FEW_CELLS:
        return None
    values = column.known
    if not _whole_and_different(values):
        return None
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return "its whole numbers are all different and in order down the file, as row numbers are"
    pairs = len(values) * (len(values) - 1) / 2
    # Half the range, which float64 can hold even from -1.7e308 to 1.7e308.
    if pairs / PAIRS_BY_CHANCE / 2 >= values.max() / 2 - values.min() / 2 + 0.5:
        return (
            "its whole numbers are all different, though close together, as numbers given out in "
            "turn are"
        )
    if IDENTIFIER_NAME.search(column.name):
        return "its whole numbers are all different, and by its name it is an identifier"
    return None


def _whole_and_different(values: NDArray[np.float64]) -> bool:
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _repeats_little(column: Column) -> bool:
    """Whether this is text whose levels have fewer than two rows each, on average."""
    if column.kind is not Kind.CATEGORY or column.filled < FEW_CELLS:
        return False
    return column.share_different > HALF


def _free_text(column: Column) -> str | None:
    if not _repeats_little(column):
        return None
    names = column.levels.names
    words = np.mean([name.count(" ") + 1 for name in names])
    characters = np.mean([len(name) for name in names])
    if words <= LONG_WORDS and characters <= LONG_CHARACTERS:
        return None
    return (
        f"it is free text, {words:.0f} words long on average; what matters in it can be learned "
        "from once it stands in columns of its own, such as whether a word occurs"
    )


def _named(column: Column) -> str | None:
    if not _repeats_little(column) or column.share_different < NEARLY_ALL:
        return None
    return f"its texts are nearly all different ({_proportion(column)}), as names are"


def _many_levels(column: Column) -> str | None:
    if not _repeats_little(column):
        return None
    return f"it has more levels than half its filled cells ({_proportion(column)})"


def _proportion(column: Column) -> str:
    return f"{len(column.levels.names):,} of {column.filled:,}"


LEFT_OUT = (
    ("type", _unreadable),
    ("empty", _empty),
    ("constant", _constant),
    ("date", _date),
    ("identifier", _numbered),
    ("free-text", _free_text),
    ("identifier", _named),
    ("many-levels", _many_levels),
)
"""The rules in the order they are asked, each a name and a function: why it is left out, if so."""

ALWAYS_LEFT_OUT = {"empty", "constant"}
"""The rules that hold whatever a column was said to be: there is nothing to learn from it."""


def _remarks(column: Column) -> list[Finding]:
    """How a column was read, where that may surprise."""
    if column.given is None and column.kind is Kind.CATEGORY and column.is_code:
        text = (
            f"Column {column.name!r} is read as categories, not as numbers: all its cells have as "
            f"many digits, some with zeros in front, as codes have."
        )
        return [Finding("code", column.name, text)]
    if column.kind is not Kind.DATETIME:
        return []
    return [*_doubtful_order(column), *_span(column)]


def _doubtful_order(column: Column) -> list[Finding]:
    """Whether day and month may have been taken for one another."""
    if column.notation is None or column.notation.rival is None:
        return []
    first = "month" if str(column.notation.format).startswith("%m") else "day"
    place = int(np.flatnonzero(~np.isnan(column.values.values))[0])
    text = (
        f"Column {column.name!r}: nothing tells day and month apart; the {first} is taken to come "
        f"first, so that {column.cells[place].as_py()} is {moment_text(column.known[0])}. Write "
        "dates as 2024-05-01 to be sure."
    )
    return [Finding("day-month", column.name, text)]


def _span(column: Column) -> list[Finding]:
    if _format(column) in TIMES or pa.types.is_time(column.type):
        return []  # times of day come back
    low, high = moment_text(column.known.min()), moment_text(column.known.max())
    text = (
        f"Column {column.name!r} holds dates or times from {low} to {high}; what was true then may "
        "not be so later, which no score on these rows can show."
    )
    return [Finding("datetime", column.name, text)]


def _advice(column: Column) -> list[Finding]:
    """What to change in text that looks as if it was meant to be numbers."""
    if not pa.types.is_string(column.type) or column.kind is not Kind.CATEGORY or column.is_number:
        return []
    if column.levels.share(FORMATTED_NUMBER) >= NEARLY_ALL:
        example = column.levels.names[~column.levels.matching(NUMBER)][0]
        text = (
            f"Column {column.name!r} is read as text, but looks like numbers with separators or "
            f"signs, such as {example!r}; written plainly, as 1234.5 is, it would be numbers."
        )
        return [Finding("number-format", column.name, text)]
    numbers = 1 - len(column.numbers.unparsable) / max(column.filled, 1)
    word, share = _commonest_word(column)
    if numbers > HALF and share >= HALF:
        text = (
            f"Column {column.name!r} is read as text, though {numbers:.0%} of it is numbers: it "
            f"has {word!r} among them; leave such cells empty to have it read as numbers."
        )
        return [Finding("mixed", column.name, text)]
    return []


def _commonest_word(column: Column) -> tuple[str, float]:
    """The commonest of the cells that are no numbers, and its share of them."""
    counts = np.bincount(column.levels.codes[column.numbers.unparsable])
    return str(column.levels.names[counts.argmax()]), float(counts.max() / counts.sum())
