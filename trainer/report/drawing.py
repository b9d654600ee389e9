"""Draws figures as SVG whose colors follow the page and whose text stays text.

Figures are drawn in placeholder colors. Each placeholder becomes a variable of the page's style sheet,
so one drawing serves light and dark. Sizes are in pixels of the page at the figure's own width.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..data.cells.datetimes import DAY_S, FIRST_S, LAST_S, datetime_text

PIXELS_PER_INCH = 72
"""Matplotlib writes SVG in points; the browser shows each as a pixel of the page."""

WIDTH = 340
"""Pixels of a chart: the width of a small phone, so that text is hardly scaled down."""

VARIABLES = {
    name: f"#a1{place:04x}"
    for place, name in enumerate(
        (
            *("ink", "quiet", "card", "line", "shade"),
            *("series-1", "series-2", "series-3", "series-4", "series-5", "series-6"),
        ),
        start=1,
    )
}
"""Variables of the style sheet, with their placeholder colors."""

INK, QUIET, CARD, LINE, SHADE = (
    VARIABLES[name] for name in ("ink", "quiet", "card", "line", "shade")
)

SERIES = tuple(color for name, color in VARIABLES.items() if name.startswith("series"))

DASHES: tuple[Any, ...] = (
    "solid",
    (0, (6, 2)),
    (0, (2, 2)),
    (0, (8, 2, 2, 2)),
    (0, (4, 1, 1, 1, 1, 1)),
    (0, (12, 3)),
)
"""A dash for each color, because color alone must not distinguish series."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""A marker for each color, for the same reason."""

FONT_SIZE = 13

LEGEND_ROW = 19
"""Pixels of a line of a legend."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays searchable
    "svg.hashsalt": "pigeonhole",  # the same figure gives the same ids
    "text.parse_math": False,  # a column may be named $x$
    "axes.formatter.use_mathtext": False,
    "font.family": "DejaVu Sans",  # part of matplotlib, so layouts are the same everywhere
    "font.size": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "legend.fontsize": FONT_SIZE,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 4,
    "ytick.major.size": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
    "path.simplify_threshold": 0.3,
}

LARGEST = 1e12
"""Larger values get two ticks of our own, because matplotlib's arithmetic overflows."""


@dataclass(frozen=True)
class Chart:
    """A drawing with its title and caption.

    Attributes:
        title: what it shows.
        svg: the drawing.
        note: how to read it; may be empty.
    """

    title: str
    svg: Markup
    note: str = ""


@contextmanager
def style() -> Iterator[None]:
    """Draw figures in the report's style, regardless of the user's matplotlib settings."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        # Matplotlib measures characters that its font lacks as boxes; the browser has other fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure; height and width in pixels."""
    return Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH))


def axes(
    drawn: Figure, left: float = 50, right: float = 22, top: float = 26, bottom: float = 44
) -> Axes:
    """Return axes within margins, in pixels."""
    width, height = (side * PIXELS_PER_INCH for side in drawn.get_size_inches())
    box = (
        left / width,
        bottom / height,
        (width - left - right) / width,
        (height - top - bottom) / height,
    )
    return drawn.add_axes(box)


def heading(drawn: Axes, text: str) -> None:
    """Write the name of the y axis horizontally above it."""
    drawn.annotate(
        text,
        (0, 1),
        (-44, 11),
        xycoords="axes fraction",
        textcoords="offset points",
        color=QUIET,
        annotation_clip=False,
    )


ONE = 1 + 1e-9
"""A share of 1, with room for rounding."""


def percent_axis(axis: Axis) -> None:
    """Label ticks from 0 to 1 in percent; ticks above 1 have no label."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{round(100 * value, 2):g} %" if value <= ONE else "")
    )


def value_axis(axis: Axis, values: Sequence[float], *, dates: bool) -> list[float]:
    """Prepare an axis for these values and return their positions on it.

    Args:
        axis: the x or y axis.
        values: at least one, finite.
        dates: whether the values are seconds since 1970, which are shown as dates.
    """
    low, high = min(values), max(values)
    if max(abs(low), abs(high)) > LARGEST:
        span = high / 4 - low / 4 or 1.0
        axis.set_ticks([0, 1], [f"{low:.2g}", f"{high:.2g}"])
        return [(value / 4 - low / 4) / span for value in values]
    if dates and not FIRST_S < 2 * low - high <= 2 * high - low < LAST_S:
        # Matplotlib would need dates around the values that it can't represent.
        axis.set_ticks([low, high], [datetime_text(low)[:10], datetime_text(high)[:10]])
        return list(values)
    if dates:
        locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]  # matplotlib's
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # the same
        return [value / DAY_S for value in values]
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return list(values)


def legend(drawn: Figure, plot: Axes, rows: int) -> None:
    """Write the names of the series at the bottom, `LEGEND_ROW` pixels each."""
    if rows:
        width, height = drawn.get_size_inches() * PIXELS_PER_INCH
        plot.legend(
            loc="lower left",
            bbox_to_anchor=(8 / width, 2 / height),
            bbox_transform=drawn.transFigure,
            labelspacing=0.35,
        )


def svg(drawn: Figure, key: str, alt: str) -> Markup:
    """Return the figure as an ``svg`` element.

    Args:
        drawn: the figure.
        key: a word that is unique on the page; it becomes the prefix of the drawing's ids.
        alt: alternative text, which describes the figure.
    """
    stream = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn.savefig(stream, format="svg", metadata=no_metadata)
    text = stream.getvalue()
    opening, body = text[text.index("<svg") :].split(">", 1)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r">\s+<", "><", body)
    ids = set(re.findall(r"<[^>]*(?:url\(#|href=\"#)([^\")]+)", body))
    # Only tags are edited: text between them comes from the table and stays as it is.
    body = re.sub(r"<[^>]*>", lambda tag: _themed(_prefixed(_shortened(tag[0]), key, ids)), body)
    box = re.search(r'viewBox="([^"]*)"', opening)
    width = float(drawn.get_size_inches()[0]) * PIXELS_PER_INCH
    # Markup.format escapes its arguments, except other Markup.
    return Markup('<svg viewBox="{}" role="img" aria-label="{}" style="--width: {:.0f}">{}').format(
        box[1] if box else "",
        alt,
        width,
        Markup(body),  # noqa: S704 - matplotlib escapes what it writes
    )


ATTRIBUTE = re.compile(r'\b(d|x|y|transform|points)="([^"]*)"')

DECIMAL = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")

REDUNDANT = re.compile(
    r"font-family: '[^']*'; |stroke-dashoffset: 0; | transform=\"rotate\(-?0 [^\"]*\""
)


def _shortened(tag: str) -> str:
    """Return a tag with coordinates rounded to a tenth of a pixel and the page's font."""

    def rounded(attribute: re.Match[str]) -> str:
        numbers = DECIMAL.sub(lambda number: f"{float(number[0]):.1f}", attribute[2])
        return f'{attribute[1]}="{" ".join(numbers.split())}"'

    return REDUNDANT.sub("", ATTRIBUTE.sub(rounded, tag))


def _prefixed(tag: str, key: str, used: set[str]) -> str:
    """Return a tag with the key before the ids that are used; unused ids are removed."""

    def prefixed(found: re.Match[str]) -> str:
        return f' id="{key}-{found[1]}"' if found[1] in used else ""

    tag = re.sub(r' id="([^"]*)"', prefixed, tag)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", tag.replace("xlink:href", "href"))


def _themed(tag: str) -> str:
    """Return a tag with style-sheet variables in place of the placeholder colors."""
    for name, color in VARIABLES.items():
        tag = tag.replace(color, f"var(--{name})")
    return tag
