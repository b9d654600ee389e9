"""The kinds of panels that the dashboards are made of, and what stands around them."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import (
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "pigeonhole"
"""Dashboards that have it link to each other."""

SOURCE = options.DataSourceRef(type_val="prometheus", uid="${datasource}")

BLUE, GREEN, YELLOW, ORANGE, RED, GREY = "blue", "green", "yellow", "orange", "red", "#808080"

OBJECTIVE = "objective"
"""The name of a series that is drawn as a limit."""

Step = tuple[float, str]
"""From which value on which colour."""

Panel = stat.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel | table.Panel
AnyPanel = TypeVar("AnyPanel", bound=Panel)


class Query(NamedTuple):
    """One query of a panel, and what its series are called."""

    expression: str
    legend: str = ""


class Column(NamedTuple):
    """A column of a table: its heading, what fills it, in which unit, and from where coloured."""

    heading: str
    expression: str
    unit: str = "none"
    steps: Sequence[Step] = ()


def panel(
    made: AnyPanel, title: str, description: str, unit: str, queries: Iterable[Query]
) -> AnyPanel:
    """What all kinds have in common."""
    made.title(title).description(description).datasource(SOURCE).unit(unit)
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expression).datasource(SOURCE)
        made.with_target(asked.legend_format(query.legend or "__auto").range())
    return made


def thresholds(*steps: Step, first: str = GREEN) -> build.ThresholdsConfig:
    """Colours by value; below the first step it is the first colour."""
    made = [models.Threshold(None, first), *(models.Threshold(*step) for step in steps)]
    return build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def changed(**properties: object) -> list[models.DynamicConfigValue]:
    """What an override changes; a dot in a property's name is written as two underscores."""
    return [
        models.DynamicConfigValue(name.replace("__", "."), value)
        for name, value in properties.items()
    ]


def steps_from(*steps: Step) -> list[models.DynamicConfigValue]:
    """An override: colours by value."""
    return changed(thresholds=thresholds(*steps).build())


def shades_of(color: str) -> list[models.DynamicConfigValue]:
    """An override: a colour, in a shade for each series."""
    return changed(color={"mode": models.FieldColorModeId.SHADES, "fixedColor": color})


def figure(
    title: str, description: str, unit: str, *queries: Query, steps: Sequence[Step] = ()
) -> stat.Panel:
    """The newest value in large, with its course behind it."""
    made = panel(stat.Panel(), title, description, unit, queries)
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    made.reduce_options(last).graph_mode(options.BigValueGraphMode.AREA)
    made.color_mode(options.BigValueColorMode.VALUE).no_value("none").min(0)
    return made.thresholds(thresholds(*steps, first=GREEN if steps else BLUE))


def course(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    stepped: bool = False,
    logarithmic: bool = False,
    maximum: float | None = None,
) -> timeseries.Panel:
    """Lines over time, from nought on; the series called `OBJECTIVE` is dashed."""
    made = panel(timeseries.Panel(), title, description, unit, queries)
    made.color_scheme(build.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    made.line_width(1).show_points(options.VisibilityMode.NEVER).fill_opacity(8)
    made.legend(legend(["lastNotNull", "max"])).tooltip(tooltip())
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10)
        made.scale_distribution(scale).fill_opacity(0)
    else:
        made.min(0)
    if stacked:
        made.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
        made.fill_opacity(50)
    if stepped:
        made.line_interpolation(options.LineInterpolation.STEP_AFTER)
    if maximum is not None:
        made.max(maximum)
    if any(query.legend == OBJECTIVE for query in queries):
        made.override_by_name(
            OBJECTIVE,
            changed(
                color={"mode": models.FieldColorModeId.FIXED, "fixedColor": RED},
                custom__lineStyle={"fill": "dash", "dash": [10, 10]},
                custom__fillOpacity=0,
            ),
        )
    return made


def legend(figures: Sequence[str] = ()) -> common.VizLegendOptions:
    """Names of the series beside the panel, the largest first, or below it where no figures are."""
    made = common.VizLegendOptions().show_legend(show_legend=True).calcs(list(figures))
    if not figures:
        return made.display_mode(options.LegendDisplayMode.LIST).placement(
            options.LegendPlacement.BOTTOM
        )
    made.display_mode(options.LegendDisplayMode.TABLE).placement(options.LegendPlacement.RIGHT)
    return made.sort_by("Last *").sort_desc(sort_desc=True)


def tooltip() -> common.VizTooltipOptions:
    """All series at the time pointed at, the largest first."""
    made = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    return made.sort(options.SortOrder.DESCENDING)


def heat_map(title: str, description: str, buckets: str) -> heatmap.Panel:
    """How much fell into which bucket, over time."""
    made = panel(heatmap.Panel(), title, description, "s", ())
    asked = (
        prometheus.Dataquery().ref_id("A").expr(buckets).datasource(SOURCE).legend_format("{{le}}")
    )
    made.with_target(asked.range().format(PromQueryFormat.HEATMAP))
    made.calculate(calculate=False).cell_gap(1).show_legend()
    made.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(options.AxisPlacement.LEFT))
    made.rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO))
    # A few slow requests among thousands matter: small counts get color too.
    palette = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges")
    palette.steps(64).scale(heat.HeatmapColorScale.EXPONENTIAL).exponent(0.3).fill("dark-orange")
    made.color(palette).cell_values(heatmap.CellValues().unit("reqps"))
    made.filter_values(heatmap.FilterValueRange().le(1e-9))
    seen = heatmap.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE)
    return made.tooltip(seen.show_color_scale(show_color_scale=True))


def states(
    title: str, description: str, unit: str, *queries: Query, named: dict[str, tuple[str, str]]
) -> statetimeline.Panel:
    """Bars over time, whose colours say in which state something was.

    Args:
        title: the panel's.
        description: the panel's.
        unit: of values without a name.
        queries: what it shows.
        named: for a value, or ``from..to``, its name and its colour.
    """
    made = panel(statetimeline.Panel(), title, description, unit, queries)
    mappings: list[models.ValueMapping] = []
    for value, (name, color) in named.items():
        result = models.ValueMappingResult(text=name, color=color)
        low, dots, high = value.partition("..")
        if dots:
            bounds = models.DashboardRangeMapOptions(float(low), float(high), result)
            mappings.append(models.RangeMap(bounds))
        else:
            mappings.append(models.ValueMap({value: result}))
    made.mappings(mappings).thresholds(thresholds())
    made.color_scheme(build.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    made.show_value(options.VisibilityMode.NEVER).merge_values(merge_values=True).row_height(0.8)
    return made.legend(legend()).tooltip(tooltip())


def listing(title: str, description: str, labels: dict[str, str], *columns: Column) -> table.Panel:
    """A table, one row for each set of labels.

    Args:
        title: the panel's.
        description: the panel's.
        labels: those that tell the rows apart, and their headings.
        columns: the others.
    """
    made = panel(table.Panel(), title, description, "short", ()).thresholds(thresholds())
    headings = dict(labels)
    for letter, column in zip(string.ascii_uppercase, columns, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(column.expression).datasource(SOURCE)
        made.with_target(asked.instant().format(PromQueryFormat.TABLE))
        headings[f"Value #{letter}"] = column.heading
        looks = changed(unit=column.unit)
        if column.steps:
            looks += steps_from(*column.steps)
            looks += changed(custom__cellOptions={"type": "color-text"})
        made.override_by_name(column.heading, looks)
    order = {name: place for place, name in enumerate(headings)}
    arranged = {"excludeByName": {"Time": True}, "renameByName": headings, "indexByName": order}
    made.with_transformation(models.DataTransformerConfig("merge", options={}))
    made.with_transformation(models.DataTransformerConfig("organize", options=arranged))
    first = next(iter(labels.values()))
    return made.sort_by([common.TableSortByFieldState().display_name(first).desc(desc=False)])


class Section(NamedTuple):
    """A heading, and the panels below it."""

    title: str
    panels: list[Panel]


def section(title: str, height: int, *panels: Panel, width: int = 12) -> Section:
    """Panels of one size, of the 24 parts that a page is wide, from left to right."""
    for one in panels:
        one.height(height).span(width)
    return Section(title, list(panels))


def fill(made: build.Dashboard, *sections: Section) -> None:
    """Put the sections below one another, and number everything."""
    numbers = count(1)
    for title, panels in sections:
        made.with_row(build.Row(title).id(next(numbers)))
        for one in panels:
            made.with_panel(one.id(next(numbers)))


def dashboard(title: str, uid: str, description: str) -> build.Dashboard:
    """A dashboard without variables of its own and without panels."""
    made = build.Dashboard(title).uid(uid).tags([TAG]).readonly().description(description)
    made.refresh("30s").time("now-1h", "now").timezone("browser")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR)
    others = build.DashboardLink("Pigeonhole").type(models.DashboardLinkType.DASHBOARDS)
    others.tags([TAG]).include_vars(include_vars=True).keep_time(keep_time=True)
    made.link(others)
    made.with_variable(
        build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    return made


def mark(name: str, color: str, expression: str, title: str) -> build.AnnotationQuery:
    """A line through every panel, where a query begins to have an answer."""
    made = build.AnnotationQuery().name(name).datasource(SOURCE).enable(enable=True)
    return made.icon_color(color).expr(expression).title_format(title).step("10s")


def choice(
    name: str, label: str, series: str, everything: str | None = None
) -> build.QueryVariable:
    """A variable: any number of the values that a label of some series has.

    Args:
        name: the label's, and the variable's.
        label: what it is called on the page.
        series: whose label it is.
        everything: what All stands for; all values, one by one, where None.
    """
    query = f"label_values({series}, {name})"
    made = build.QueryVariable(name).label(label).datasource(SOURCE)
    made.query({"query": query, "refId": name}).definition(query)
    made.multi(multi=True).include_all(include_all=True)
    made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(models.VariableSort.NATURAL_ASC)
    made.current(models.VariableOption(text=["All"], value=["$__all"]))
    return made if everything is None else made.all_value(everything)
