"""Builders of the panels, sections, variables and annotations of the dashboards."""

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
"""Tag of the dashboards; dashboards with it link to each other."""

SOURCE = options.DataSourceRef(type_val="prometheus", uid="${datasource}")

BLUE, GREEN, YELLOW, ORANGE, RED, GREY = "blue", "green", "yellow", "orange", "red", "#808080"

OBJECTIVE_LEGEND = "objective"
"""Legend of the series that are drawn as dashed limits."""

Step = tuple[float, str]
"""A value, and the color from it on."""

Panel = stat.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel | table.Panel
AnyPanel = TypeVar("AnyPanel", bound=Panel)


class Query(NamedTuple):
    """A PromQL expression, and the legend of its series."""

    expression: str
    legend: str = ""


class Column(NamedTuple):
    """A column of a table: heading, PromQL expression, unit, and color thresholds."""

    heading: str
    expression: str
    unit: str = "none"
    steps: Sequence[Step] = ()


def configure(
    panel: AnyPanel, title: str, description: str, unit: str, queries: Iterable[Query]
) -> AnyPanel:
    """Set the options that all panels have, and return the panel."""
    panel.title(title).description(description).datasource(SOURCE).unit(unit)
    for letter, query in zip(string.ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expression).datasource(SOURCE)
        panel.with_target(target.legend_format(query.legend or "__auto").range())
    return panel


def thresholds(*steps: Step, first: str = GREEN) -> build.ThresholdsConfig:
    """Return colors by value; values below the first step have the color `first`."""
    colors = [models.Threshold(None, first), *(models.Threshold(*step) for step in steps)]
    return build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colors)


def override(**properties: object) -> list[models.DynamicConfigValue]:
    """Return an override of properties; two underscores stand for a dot in a name."""
    return [
        models.DynamicConfigValue(name.replace("__", "."), value)
        for name, value in properties.items()
    ]


def threshold_override(*steps: Step) -> list[models.DynamicConfigValue]:
    """Return an override of the thresholds."""
    return override(thresholds=thresholds(*steps).build())


def shades_override(color: str) -> list[models.DynamicConfigValue]:
    """Return an override with a color, in another shade for each series."""
    return override(color={"mode": models.FieldColorModeId.SHADES, "fixedColor": color})


def stat_panel(
    title: str, description: str, unit: str, *queries: Query, steps: Sequence[Step] = ()
) -> stat.Panel:
    """Return a panel with the last value as a number, and its history in the background."""
    panel = configure(stat.Panel(), title, description, unit, queries)
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel.reduce_options(last).graph_mode(options.BigValueGraphMode.AREA)
    panel.color_mode(options.BigValueColorMode.VALUE).no_value("none").min(0)
    return panel.thresholds(thresholds(*steps, first=GREEN if steps else BLUE))


def time_series_panel(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    stepped: bool = False,
    logarithmic: bool = False,
    maximum: float | None = None,
) -> timeseries.Panel:
    """Return a panel with lines over time.

    Args:
        title: title of the panel.
        description: description of the panel.
        unit: unit of the values.
        queries: queries; the legend `OBJECTIVE_LEGEND` marks a dashed limit.
        stacked: whether the series are stacked.
        stepped: whether values hold until the next value.
        logarithmic: whether the axis is logarithmic; otherwise it starts at zero.
        maximum: end of the axis; None for the largest value.
    """
    panel = configure(timeseries.Panel(), title, description, unit, queries)
    panel.color_scheme(build.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
    panel.line_width(1).show_points(options.VisibilityMode.NEVER).fill_opacity(8)
    panel.legend(legend(["lastNotNull", "max"])).tooltip(tooltip())
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(scale).fill_opacity(0)
    else:
        panel.min(0)
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
        panel.fill_opacity(50)
    if stepped:
        panel.line_interpolation(options.LineInterpolation.STEP_AFTER)
    if maximum is not None:
        panel.max(maximum)
    if any(query.legend == OBJECTIVE_LEGEND for query in queries):
        panel.override_by_name(
            OBJECTIVE_LEGEND,
            override(
                color={"mode": models.FieldColorModeId.FIXED, "fixedColor": RED},
                custom__lineStyle={"fill": "dash", "dash": [10, 10]},
                custom__fillOpacity=0,
            ),
        )
    return panel


def legend(figures: Sequence[str] = ()) -> common.VizLegendOptions:
    """Return a legend: a sorted table on the right, or a list below without figures."""
    options_builder = common.VizLegendOptions().show_legend(show_legend=True).calcs(list(figures))
    if not figures:
        return options_builder.display_mode(options.LegendDisplayMode.LIST).placement(
            options.LegendPlacement.BOTTOM
        )
    options_builder.display_mode(options.LegendDisplayMode.TABLE).placement(
        options.LegendPlacement.RIGHT
    )
    return options_builder.sort_by("Last *").sort_desc(sort_desc=True)


def tooltip() -> common.VizTooltipOptions:
    """Return a tooltip with all series, the largest first."""
    options_builder = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    return options_builder.sort(options.SortOrder.DESCENDING)


def heatmap_panel(title: str, description: str, buckets: str) -> heatmap.Panel:
    """Return a heatmap of a histogram's buckets, in seconds, over time."""
    panel = configure(heatmap.Panel(), title, description, "s", ())
    target = (
        prometheus.Dataquery().ref_id("A").expr(buckets).datasource(SOURCE).legend_format("{{le}}")
    )
    panel.with_target(target.range().format(PromQueryFormat.HEATMAP))
    panel.calculate(calculate=False).cell_gap(1).show_legend()
    panel.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(options.AxisPlacement.LEFT))
    panel.rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO))
    # Small counts get a visible color, because a few slow requests matter.
    palette = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Oranges")
    palette.steps(64).scale(heat.HeatmapColorScale.EXPONENTIAL).exponent(0.3).fill("dark-orange")
    panel.color(palette).cell_values(heatmap.CellValues().unit("reqps"))
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    tip = heatmap.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE)
    return panel.tooltip(tip.show_color_scale(show_color_scale=True))


def state_timeline_panel(
    title: str, description: str, unit: str, *queries: Query, states: dict[str, tuple[str, str]]
) -> statetimeline.Panel:
    """Return a panel with bars over time, colored by state.

    Args:
        title: title of the panel.
        description: description of the panel.
        unit: unit of values without a state.
        queries: queries.
        states: name and color of a value, or of a range ``from..to``.
    """
    panel = configure(statetimeline.Panel(), title, description, unit, queries)
    mappings: list[models.ValueMapping] = []
    for value, (name, color) in states.items():
        result = models.ValueMappingResult(text=name, color=color)
        low, dots, high = value.partition("..")
        if dots:
            bounds = models.DashboardRangeMapOptions(float(low), float(high), result)
            mappings.append(models.RangeMap(bounds))
        else:
            mappings.append(models.ValueMap({value: result}))
    panel.mappings(mappings).thresholds(thresholds())
    panel.color_scheme(build.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    panel.show_value(options.VisibilityMode.NEVER).merge_values(merge_values=True).row_height(0.8)
    return panel.legend(legend()).tooltip(tooltip())


def table_panel(
    title: str, description: str, labels: dict[str, str], *columns: Column
) -> table.Panel:
    """Return a table with a row per set of labels.

    Args:
        title: title of the panel.
        description: description of the panel.
        labels: labels that identify a row, with their headings.
        columns: further columns.
    """
    panel = configure(table.Panel(), title, description, "short", ()).thresholds(thresholds())
    headings = dict(labels)
    for letter, column in zip(string.ascii_uppercase, columns, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(column.expression).datasource(SOURCE)
        panel.with_target(target.instant().format(PromQueryFormat.TABLE))
        headings[f"Value #{letter}"] = column.heading
        properties = override(unit=column.unit)
        if column.steps:
            properties += threshold_override(*column.steps)
            properties += override(custom__cellOptions={"type": "color-text"})
        panel.override_by_name(column.heading, properties)
    order = {name: position for position, name in enumerate(headings)}
    organize = {"excludeByName": {"Time": True}, "renameByName": headings, "indexByName": order}
    panel.with_transformation(models.DataTransformerConfig("merge", options={}))
    panel.with_transformation(models.DataTransformerConfig("organize", options=organize))
    first = next(iter(labels.values()))
    return panel.sort_by([common.TableSortByFieldState().display_name(first).desc(desc=False)])


class Section(NamedTuple):
    """A heading with panels."""

    title: str
    panels: list[Panel]


def section(title: str, height: int, *panels: Panel, width: int = 12) -> Section:
    """Return a section of panels of one size; a page is 24 columns wide."""
    for panel in panels:
        panel.height(height).span(width)
    return Section(title, list(panels))


def add_sections(dashboard: build.Dashboard, *sections: Section) -> None:
    """Add sections below one another, with ids for rows and panels."""
    ids = count(1)
    for title, panels in sections:
        dashboard.with_row(build.Row(title).id(next(ids)))
        for panel in panels:
            dashboard.with_panel(panel.id(next(ids)))


def empty_dashboard(title: str, uid: str, description: str) -> build.Dashboard:
    """Return a dashboard with the data source as its only variable, and no panels."""
    dashboard = build.Dashboard(title).uid(uid).tags([TAG]).readonly().description(description)
    dashboard.refresh("30s").time("now-1h", "now").timezone("browser")
    dashboard.tooltip(models.DashboardCursorSync.CROSSHAIR)
    link = build.DashboardLink("Pigeonhole").type(models.DashboardLinkType.DASHBOARDS)
    link.tags([TAG]).include_vars(include_vars=True).keep_time(keep_time=True)
    dashboard.link(link)
    dashboard.with_variable(
        build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    return dashboard


def annotation(name: str, color: str, expression: str, title: str) -> build.AnnotationQuery:
    """Return an annotation: a line in every panel where a query starts to have results."""
    query = build.AnnotationQuery().name(name).datasource(SOURCE).enable(enable=True)
    return query.icon_color(color).expr(expression).title_format(title).step("10s")


def variable(
    name: str, label: str, series: str, all_value: str | None = None
) -> build.QueryVariable:
    """Return a variable with multiple choice among the values of a Prometheus label.

    Args:
        name: name of the Prometheus label and of the variable.
        label: label on the page.
        series: selector of the series.
        all_value: regular expression of the choice All; None for all values joined.
    """
    query = f"label_values({series}, {name})"
    query_variable = build.QueryVariable(name).label(label).datasource(SOURCE)
    query_variable.query({"query": query, "refId": name}).definition(query)
    query_variable.multi(multi=True).include_all(include_all=True)
    query_variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    query_variable.sort(models.VariableSort.NATURAL_ASC)
    query_variable.current(models.VariableOption(text=["All"], value=["$__all"]))
    return query_variable if all_value is None else query_variable.all_value(all_value)
