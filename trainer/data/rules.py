"""What a column is good for: the rules by which it is kept or left out.

A column is left out by the first of these rules that speaks. "Filled" cells are those not
missing; a rule that reasons from how often values repeat holds from 20 filled cells on.

    type         its type is a list, a struct, bytes or the like
    date         its type is a date or time, or 95 % of the filled cells are ISO dates or times
    empty        every cell is missing, or holds no finite number
    constant     one value, and never missing
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

What remains is a number (95 % or more of the filled cells are plain decimal numbers), a boolean
(true and false only, in any case; 0 and 1 are numbers, yes and no are categories) or a category.
Where text looks as if it was meant to be numbers, it stays text and a finding says so:

    number-format  95 % or more of the filled cells are numbers with separators of thousands, a
                   decimal comma, a currency or a percent sign
    mixed          more than half of the filled cells are plain numbers, but fewer than 95 %, and
                   one word makes up half of the others or more, as "unknown" would
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainer.data.columns import NEARLY_ALL, Column, is_readable
from trainer.data.findings import Finding
from trainer.data.numbers import NUMBER
from trainer.data.schema import Feature, Kind

FEW_CELLS = 20
PAIRS_BY_CHANCE = 10  # that ten expected pairs all fail to turn up has a chance of 1 in 22,000
HALF = 0.5
LONG_WORDS = 5
LONG_CHARACTERS = 50

ISO_DATE = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$"
)
FORMATTED_NUMBER = (
    r"^[$€£¥]? ?[+-]?"
    r"([0-9]+([.,][0-9]+)?|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[0-9]{1,3}([.' ][0-9]{3})+(,[0-9]+)?)"
    r" ?[%$€£¥]?$"
)
IDENTIFIER_NAME = re.compile(r"(^|[\W_])(?i:id|key)$|[a-z](Id|ID|Key)$")


def understand(column: Column) -> tuple[Feature | None, list[Finding]]:
    """The feature a column makes, or None if it is left out, and what was found in it."""
    for rule, reason in LEFT_OUT:
        if why := reason(column):
            text = f"Column {column.name!r} is left out: {why}."
            return None, [Finding(rule, column.name, text), *_advice(column)]
    return Feature(column.name, _kind(column), required=not column.has_gaps), _advice(column)


def _kind(column: Column) -> Kind:
    if column.is_number:
        return Kind.NUMBER
    return Kind.BOOLEAN if column.is_boolean else Kind.CATEGORY


def _unreadable(column: Column) -> str | None:
    if is_readable(column.type) or pa.types.is_temporal(column.type):
        return None
    return f"its type, {column.type}, is neither numbers nor text"


def _date(column: Column) -> str | None:
    if pa.types.is_temporal(column.type):
        return f"its type is {column.type}, and dates and times are not learned from yet"
    if column.is_number or column.levels.share(ISO_DATE) < NEARLY_ALL:
        return None
    return "it holds dates or times, which are not learned from yet"


def _empty(column: Column) -> str | None:
    if column.filled == 0:
        return "every cell is missing"
    return "it holds no finite number" if column.is_number and not len(column.finite) else None


def _constant(column: Column) -> str | None:
    if column.has_gaps:
        return None  # then whether it is missing may tell something
    if column.is_number:
        value, single = f"{column.finite[0]:g}", column.finite.min() == column.finite.max()
    else:
        value, single = column.levels.names[0], len(column.levels.names) == 1
    return f"every row has the same value, {value}" if single else None


def _numbered(column: Column) -> str | None:
    """Whole numbers that name a row rather than measure it."""
    values = column.finite if column.is_number else np.empty(0)
    if len(values) < FEW_CELLS or not _whole_and_different(values):
        return None
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return "its whole numbers are all different and in order down the file, as row numbers are"
    pairs = len(values) * (len(values) - 1) / 2
    if pairs >= PAIRS_BY_CHANCE * (np.ptp(values) + 1):
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
    return not column.is_number and column.filled >= FEW_CELLS and column.share_different > HALF


def _free_text(column: Column) -> str | None:
    if not _repeats_little(column):
        return None
    names = column.levels.names
    words = np.mean([name.count(" ") + 1 for name in names])
    characters = np.mean([len(name) for name in names])
    if words <= LONG_WORDS and characters <= LONG_CHARACTERS:
        return None
    return f"it is free text, {words:.0f} words long on average; make columns of what matters in it"


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
    ("date", _date),
    ("empty", _empty),
    ("constant", _constant),
    ("identifier", _numbered),
    ("free-text", _free_text),
    ("identifier", _named),
    ("many-levels", _many_levels),
)
"""The rules in the order they are asked, each a name and a function: why it is left out, if so."""


def _advice(column: Column) -> list[Finding]:
    """What to change in text that looks as if it was meant to be numbers."""
    if not pa.types.is_string(column.type) or column.is_number:
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
