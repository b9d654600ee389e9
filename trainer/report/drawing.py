"""Figures as SVG text for a page: colors that follow its style, text that stays text.

Figures are drawn in stand-in colors, each of which becomes a variable of the page's style sheet, so
that one drawing serves light and dark. A unit of a figure is a pixel where it is shown at its own
width.
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

from ..data.cells.datetimes import DAY_S, FIRST_S, LAST_S, moment_text

PIXELS_PER_INCH = 72
"""Matplotlib's SVG is in points, of which the browser makes pixels of the page."""

WIDTH = 340
"""Of a chart: what a small phone has room for, so that text is never shrunk much."""

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
"""Variables of the style sheet, and the colors that stand in for them."""

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
"""One for each color: nothing is told by color alone."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""The same for points."""

FONT_SIZE = 13

LEGEND_ROW = 19
"""Pixels for a line of a legend."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text that can be read and searched
    "svg.hashsalt": "pigeonhole",  # the same names for the same shapes
    "text.parse_math": False,  # a column may be called $x$
    "axes.formatter.use_mathtext": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same measures everywhere
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
"""Beyond this, axes get three ticks of our own: matplotlib's arithmetic ends before float64's."""


@dataclass(frozen=True)
class Chart:
    """A drawing for a page.

    Attributes:
        title: what it shows.
        svg: the drawing.
        note: how to read it; "" where that is plain.
    """

    title: str
    svg: Markup
    note: str = ""


@contextmanager
def style() -> Iterator[None]:
    """Within this, figures are drawn in the report's style, whatever the user's own is."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        # A sign that matplotlib's font lacks is measured as a box; the reader's browser has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of a size in pixels."""
    return Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH))


def axes(
    drawn: Figure, left: float = 50, right: float = 22, top: float = 26, bottom: float = 44
) -> Axes:
    """Axes within margins in pixels."""
    width, height = (side * PIXELS_PER_INCH for side in drawn.get_size_inches())
    box = (
        left / width,
        bottom / height,
        (width - left - right) / width,
        (height - top - bottom) / height,
    )
    return drawn.add_axes(box)


def heading(drawn: Axes, text: str) -> None:
    """What the upright axis shows: level, above it, where it can be read without turning."""
    drawn.annotate(
        text,
        (0, 1),
        (-44, 11),
        xycoords="axes fraction",
        textcoords="offset points",
        color=QUIET,
        annotation_clip=False,
    )


WHOLE = 1 + 1e-9
"""A share of everything, rounding allowed for."""


def percent_axis(axis: Axis) -> None:
    """Ticks from 0 to 1 as percent; one above has no meaning and no name."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{round(100 * value, 2):g} %" if value <= WHOLE else "")
    )


def value_axis(axis: Axis, values: Sequence[float], *, dates: bool) -> list[float]:
    """Prepares an axis for these values, and says where they lie on it.

    Args:
        axis: the level or the upright one.
        values: at least one, finite.
        dates: whether they are seconds since 1970, to be shown as dates.
    """
    low, high = min(values), max(values)
    if max(abs(low), abs(high)) > LARGEST:
        span = high / 4 - low / 4 or 1.0
        axis.set_ticks([0, 1], [f"{low:.2g}", f"{high:.2g}"])
        return [(value / 4 - low / 4) / span for value in values]
    if dates and not FIRST_S < 2 * low - high <= 2 * high - low < LAST_S:
        # What lies around the values is no date of matplotlib's any more.
        axis.set_ticks([low, high], [moment_text(low)[:10], moment_text(high)[:10]])
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
    """The names of the series, below everything else; room for them is `LEGEND_ROW` pixels each."""
    if rows:
        width, height = drawn.get_size_inches() * PIXELS_PER_INCH
        plot.legend(
            loc="lower left",
            bbox_to_anchor=(8 / width, 2 / height),
            bbox_transform=drawn.transFigure,
            labelspacing=0.35,
        )


def svg(drawn: Figure, key: str, alt: str) -> Markup:
    """The figure as an ``svg`` element.

    Args:
        drawn: the figure.
        key: a word of the page that no other figure has; names in the drawing start with it.
        alt: what it shows, for those who can't see it.
    """
    stream = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn.savefig(stream, format="svg", metadata=nothing)
    text = stream.getvalue()
    opening, body = text[text.index("<svg") :].split(">", 1)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r">\s+<", "><", body)
    names = set(re.findall(r"<[^>]*(?:url\(#|href=\"#)([^\")]+)", body))
    # Only within tags: what is written between them is the table's, and stays as it is.
    body = re.sub(r"<[^>]*>", lambda tag: _themed(_named(_lean(tag[0]), key, names)), body)
    box = re.search(r'viewBox="([^"]*)"', opening)
    width = float(drawn.get_size_inches()[0]) * PIXELS_PER_INCH
    # Markup.format escapes what it is given, but for other markup.
    return Markup('<svg viewBox="{}" role="img" aria-label="{}" style="--width: {:.0f}">{}').format(
        box[1] if box else "",
        alt,
        width,
        Markup(body),  # noqa: S704 - matplotlib escapes what it writes
    )


ATTRIBUTE = re.compile(r'\b(d|x|y|transform|points)="([^"]*)"')

DECIMAL = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")

NEEDLESS = re.compile(
    r"font-family: '[^']*'; |stroke-dashoffset: 0; | transform=\"rotate\(-?0 [^\"]*\""
)


def _lean(tag: str) -> str:
    """Coordinates to a tenth of a pixel, and the page's own font."""

    def rounded(found: re.Match[str]) -> str:
        numbers = DECIMAL.sub(lambda number: f"{float(number[0]):.1f}", found[2])
        return f'{found[1]}="{" ".join(numbers.split())}"'

    return NEEDLESS.sub("", ATTRIBUTE.sub(rounded, tag))


def _named(tag: str, key: str, used: set[str]) -> str:
    """Names that are referred to start with the key; the others go."""

    def name(found: re.Match[str]) -> str:
        return f' id="{key}-{found[1]}"' if found[1] in used else ""

    tag = re.sub(r' id="([^"]*)"', name, tag)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", tag.replace("xlink:href", "href"))


def _themed(tag: str) -> str:
    for name, color in VARIABLES.items():
        tag = tag.replace(color, f"var(--{name})")
    return tag
