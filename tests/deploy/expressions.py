"""PromQL expressions, checked against exposed and recorded series."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[str]

Known = Mapping[str, Labels]
"""The possible labels of each series by name."""

OF_TARGETS: Labels = frozenset({"job", "instance", "namespace"})
"""Labels that Prometheus adds to scraped series; `namespace` only in Kubernetes."""

OF_PROMETHEUS: Known = {"up": OF_TARGETS}

OF_OBJECTIVES: Known = {"pigeonhole:objective_latency:seconds": frozenset({"model"})}
"""Labels that operators may add by rules of their own."""

SCALARS = {"scalar", "time", "vector"}
SET_OPERATORS = ("and", "or", "unless")
SELECTING_AGGREGATIONS = ("topk", "bottomk")


class UnknownSeriesError(Exception):
    """A metric or a label is neither exposed nor recorded."""


def exposed(text: str) -> dict[str, Labels]:
    """Return the labels of each series on a metrics page.

    Args:
        text: content of ``/metrics``.
    """
    known: dict[str, Labels] = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            known[sample.name] = known.get(sample.name, OF_TARGETS) | frozenset(sample.labels)
    return known


def rules(folder: Path) -> list[dict[str, Any]]:
    """Return the rules of all files in a folder, in Prometheus's order."""
    files = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def with_recorded(known: Known, folder: Path) -> dict[str, Labels]:
    """Return known series and the series that the rules in a folder record.

    Raises:
        UnknownSeriesError: a rule uses an unknown series, or one that a later rule records.
    """
    series = dict(known)
    for rule in rules(folder):
        if name := rule.get("record"):
            labels = labels_of(rule["expr"], series) | frozenset(rule.get("labels", ()))
            series[name] = (
                series.get(name, frozenset()) | labels | OF_OBJECTIVES.get(name, frozenset())
            )
    return series


def labels_of(expression: str, known: Known) -> Labels:
    """Return the possible labels of an expression's result.

    Args:
        expression: PromQL without dashboard variables.
        known: the existing series.

    Raises:
        ValueError: the expression is not valid PromQL.
        UnknownSeriesError: the expression uses an unknown metric or label.
    """
    return _labels(promql.parse(expression), known)


def _labels(node: Any, known: Known) -> Labels:
    match node:
        case promql.VectorSelector():
            return _selector_labels(node, known)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, known)
        case promql.Call():
            return _call_labels(node, known)
        case promql.AggregateExpr():
            return _aggregation_labels(node, known)
        case promql.BinaryExpr():
            return _binary_labels(node, known)
    # A subquery, parentheses or unary minus; a literal has no labels.
    return _labels(node.expr, known) if hasattr(node, "expr") else frozenset()


def _selector_labels(node: promql.VectorSelector, known: Known) -> Labels:
    if node.name not in known:
        raise UnknownSeriesError(f"unknown metric {node.name}")
    labels = known[node.name]
    _require(labels, {matcher.name for matcher in node.matchers.matchers}, node)
    return labels


def _call_labels(node: promql.Call, known: Known) -> Labels:
    name = node.func.name
    labels = frozenset().union(*(_labels(argument, known) for argument in node.args))
    if name in SCALARS:
        return frozenset()
    if name == "histogram_quantile":
        _require(labels, {"le"}, node)
        return labels - {"le"}
    return labels | {node.args[1].val} if name.startswith("label_") else labels


def _aggregation_labels(node: promql.AggregateExpr, known: Known) -> Labels:
    labels = _labels(node.expr, known)
    if node.modifier is None:
        return labels if str(node.op) in SELECTING_AGGREGATIONS else frozenset()
    grouping = frozenset(node.modifier.labels)
    _require(labels, grouping, node)
    is_by = node.modifier.type == promql.AggModifierType.By
    return grouping if is_by else labels - grouping


def _binary_labels(node: promql.BinaryExpr, known: Known) -> Labels:
    left, right = _labels(node.lhs, known), _labels(node.rhs, known)
    operator, modifier = str(node.op), node.modifier
    if modifier is None or modifier.matching is None:
        return left if operator in ("and", "unless") else left | right
    matching = frozenset(modifier.matching.labels)
    group = frozenset(modifier.group_labels or ())
    _require(left | OF_TARGETS, matching, node)
    _require(right | OF_TARGETS, matching, node)
    if operator in SET_OPERATORS:
        return left | right if operator == "or" else left
    match modifier.card:
        case promql.VectorMatchCardinality.ManyToOne:
            _require(right, group, node)
            return left | group
        case promql.VectorMatchCardinality.OneToMany:
            _require(left, group, node)
            return right | group
    is_on = modifier.matching.type == promql.LabelModifierType.Include
    return matching if is_on else left - matching


def _require(labels: Labels, required: set[str] | Labels, node: Any) -> None:
    if missing := required - labels:
        raise UnknownSeriesError(f"unknown label {', '.join(sorted(missing))} in {node.prettify()}")
