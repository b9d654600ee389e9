"""PromQL expressions, held against what a running service exposes and the rules record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[str]

Known = Mapping[str, Labels]
"""The labels that each series may have, by its name."""

OF_TARGETS: Labels = frozenset({"job", "instance", "namespace"})
"""What Prometheus adds to whatever it scrapes; the last one where services are found in Kubernetes."""

OF_PROMETHEUS: Known = {"up": OF_TARGETS}

OF_OBJECTIVES: Known = {"pigeonhole:objective_latency:seconds": frozenset({"model"})}
"""Labels that whoever runs the service may give rules of his own."""

SCALARS = {"scalar", "time", "vector"}
SET_OPERATORS = ("and", "or", "unless")
CHOOSING = ("topk", "bottomk")


class NotThereError(Exception):
    """A metric or a label that is neither exposed nor recorded."""


def exposed(text: str) -> dict[str, Labels]:
    """What a scrape gives: the labels of each sample, by its name.

    Args:
        text: what ``/metrics`` answered.
    """
    found: dict[str, Labels] = dict(OF_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, OF_TARGETS) | frozenset(sample.labels)
    return found


def rules(folder: Path) -> list[dict[str, Any]]:
    """Every rule of the files in a folder, in Prometheus's order."""
    files = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def with_recorded(known: Known, folder: Path) -> dict[str, Labels]:
    """What is known, and what the rules in a folder record besides.

    Raises:
        NotThereError: when one of them names what is not there, or is only recorded after it.
    """
    found = dict(known)
    for rule in rules(folder):
        if name := rule.get("record"):
            labels = labels_of(rule["expr"], found) | frozenset(rule.get("labels", ()))
            found[name] = (
                found.get(name, frozenset()) | labels | OF_OBJECTIVES.get(name, frozenset())
            )
    return found


def labels_of(expression: str, known: Known) -> Labels:
    """The labels that the result of an expression may have.

    Args:
        expression: PromQL, without variables of a dashboard.
        known: the series that there are.

    Raises:
        ValueError: when it is no PromQL.
        NotThereError: when it names a metric or a label that is not there.
    """
    return _labels(promql.parse(expression), known)


def _labels(node: Any, known: Known) -> Labels:
    match node:
        case promql.VectorSelector():
            return _selected(node, known)
        case promql.MatrixSelector():
            return _labels(node.vector_selector, known)
        case promql.Call():
            return _called(node, known)
        case promql.AggregateExpr():
            return _aggregated(node, known)
        case promql.BinaryExpr():
            return _joined(node, known)
    # A subquery, parentheses or a sign around an expression; or a literal, which has no labels.
    return _labels(node.expr, known) if hasattr(node, "expr") else frozenset()


def _selected(node: promql.VectorSelector, known: Known) -> Labels:
    if node.name not in known:
        raise NotThereError(f"there is no metric {node.name}")
    labels = known[node.name]
    _must_have(labels, {matcher.name for matcher in node.matchers.matchers}, node)
    return labels


def _called(node: promql.Call, known: Known) -> Labels:
    name, of_all = node.func.name, [_labels(argument, known) for argument in node.args]
    labels = frozenset().union(*of_all)
    if name in SCALARS:
        return frozenset()
    if name == "histogram_quantile":
        _must_have(labels, {"le"}, node)
        return labels - {"le"}
    return labels | {node.args[1].val} if name.startswith("label_") else labels


def _aggregated(node: promql.AggregateExpr, known: Known) -> Labels:
    labels = _labels(node.expr, known)
    if node.modifier is None:
        return labels if str(node.op) in CHOOSING else frozenset()
    named = frozenset(node.modifier.labels)
    _must_have(labels, named, node)
    is_by = node.modifier.type == promql.AggModifierType.By
    return named if is_by else labels - named


def _joined(node: promql.BinaryExpr, known: Known) -> Labels:
    left, right = _labels(node.lhs, known), _labels(node.rhs, known)
    operator, modifier = str(node.op), node.modifier
    if modifier is None or modifier.matching is None:
        return left if operator in ("and", "unless") else left | right
    named, given = frozenset(modifier.matching.labels), frozenset(modifier.group_labels or ())
    _must_have(left | OF_TARGETS, named, node)
    _must_have(right | OF_TARGETS, named, node)
    if operator in SET_OPERATORS:
        return left | right if operator == "or" else left
    match modifier.card:
        case promql.VectorMatchCardinality.ManyToOne:
            _must_have(right, given, node)
            return left | given
        case promql.VectorMatchCardinality.OneToMany:
            _must_have(left, given, node)
            return right | given
    is_on = modifier.matching.type == promql.LabelModifierType.Include
    return named if is_on else left - named


def _must_have(labels: Labels, named: set[str] | Labels, node: Any) -> None:
    if missing := named - labels:
        raise NotThereError(f"there is no label {', '.join(sorted(missing))} in {node.prettify()}")
