"""deploy/prometheus: the configuration, the rules and the alerts."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from pigeonhole.service.serving.metric_specs import BUCKETS_S
from pigeonhole.service.web.handlers.inference_routes import inference_paths
from tests.deploy.expressions import UnknownSeriesError, labels_of, rules

UNIT_TESTS = sorted((Path(__file__).parent / "prometheus").glob("*.yml"))

SEVERITIES = {"critical", "warning", "info"}


@pytest.fixture(scope="session")
def promtool(program) -> str:
    return program("promtool", "prometheus")


@pytest.fixture(scope="session")
def folder(repository: Path) -> Path:
    return repository / "deploy" / "prometheus"


@pytest.fixture(scope="session")
def alerts(folder: Path) -> dict[str, dict]:
    return {rule["alert"]: rule for rule in rules(folder / "rules") if "alert" in rule}


def succeeds(*command: str) -> None:
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout


def test_promtool_accepts_configuration_and_rules(promtool: str, folder: Path) -> None:
    succeeds(
        promtool, "check", "config", "--lint=all", "--lint-fatal", str(folder / "prometheus.yml")
    )


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_pass_their_unit_tests(promtool: str, path: Path) -> None:
    succeeds(promtool, "test", "rules", str(path))


def test_every_alert_has_a_case_that_fires_and_one_that_does_not(alerts) -> None:
    outcomes = defaultdict(set)
    for path in UNIT_TESTS:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for check in case.get("alert_rule_test", ()):
                outcomes[check["alertname"]].add(bool(check["exp_alerts"]))
    assert outcomes == {name: {True, False} for name in alerts}


def test_every_alert_has_severity_annotations_and_a_source(alerts) -> None:
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, name
        assert re.search(r"\$labels\.(instance|model|job)\b", rule["annotations"]["description"]), (
            name
        )


def test_every_alert_has_a_runbook_section(alerts, repository: Path) -> None:
    document = (repository / "docs" / "monitoring.md").read_text("utf-8")
    sections = dict(
        re.findall(r"^### (Pigeonhole\w+)\n\n(.+?)(?=\n#|\Z)", document, re.MULTILINE | re.DOTALL)
    )
    assert set(sections) == set(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"
        assert "**First:**" in sections[name], name
        severity = rule["labels"]["severity"]
        assert sections[name].startswith(f"*{severity.capitalize()}.*"), name


def test_rules_select_exactly_the_prediction_routes(folder: Path) -> None:
    routes = []

    def collect(name: str, *_) -> None:
        routes.append(name)

    inference_paths(collect, max_rows=1)
    text = "".join(path.read_text("utf-8") for path in (folder / "rules").glob("*.yml"))
    patterns = {pattern.removesuffix("|unknown") for pattern in re.findall(r'route=~"(.+?)"', text)}
    assert patterns == {"|".join(routes)}


def test_latency_objective_is_a_bucket_of_the_histogram(folder: Path) -> None:
    bounds = [
        (rule["expr"], rule["labels"]["le"])
        for rule in rules(folder / "rules")
        if rule.get("record") == "pigeonhole:objective_latency:seconds"
    ]
    assert bounds
    for expression, le in bounds:
        assert expression == f"vector({le})"
        assert le in map(str, BUCKETS_S)


def test_key_and_targets_are_files_of_their_own(folder: Path) -> None:
    (scrape, _) = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert scrape["authorization"] == {"credentials_file": "token"}
    assert scrape["file_sd_configs"] == [{"files": ["targets.yml"]}]
    assert (folder / "token").is_file()
    assert (folder / "targets.yml").is_file()


KNOWN = {
    "a_total": frozenset({"job", "instance", "code"}),
    "a_bucket": frozenset({"job", "instance", "le"}),
    "limit": frozenset({"job", "instance"}),
}


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("a_total", {"job", "instance", "code"}),
        ("sum by (code) (rate(a_total[5m]))", {"code"}),
        ("sum without (code) (rate(a_total[5m]))", {"job", "instance"}),
        ("sum(a_total)", set()),
        ("topk(3, a_total)", {"job", "instance", "code"}),
        ("histogram_quantile(0.9, rate(a_bucket[5m]))", {"job", "instance"}),
        ("limit / on (job) group_right () a_total", {"job", "instance", "code"}),
        ("a_total / on (job) group_left () limit > 0.5", {"job", "instance", "code"}),
        ("limit / ignoring (instance) limit", {"job"}),
        ("limit and on (job) a_total{code='200'}", {"job", "instance"}),
        ("a_total > 2 * scalar(limit) or vector(0)", {"job", "instance", "code"}),
        ("max_over_time((-limit)[1h:1m])", {"job", "instance"}),
        ('label_replace(limit, "host", "$1", "instance", "(.*):.*")', {"job", "instance", "host"}),
    ],
)
def test_labels_of_an_expression_are_inferred(expression: str, labels: set[str]) -> None:
    assert labels_of(expression, KNOWN) == labels


@pytest.mark.parametrize(
    "expression",
    [
        "nothing",
        'a_total{color="red"}',
        "sum by (color) (a_total)",
        "rate(nothing[5m])",
        "a_total / on (color) limit",
        "a_total / on (job) group_left (code) limit",
        "sum by (code) (sum by (job) (a_total))",
        "histogram_quantile(0.9, rate(a_total[5m]))",
        "limit + scalar(nothing)",
    ],
)
def test_expression_with_an_unknown_metric_or_label_is_rejected(expression: str) -> None:
    with pytest.raises(UnknownSeriesError):
        labels_of(expression, KNOWN)
