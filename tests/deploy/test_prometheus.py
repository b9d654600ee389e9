"""deploy/prometheus: files that Prometheus takes, and rules that say what they are meant to."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from pigeonhole.service.serving.metric_specs import BUCKETS_S
from pigeonhole.service.web.handlers.inference_routes import inference_paths
from tests.deploy.expressions import NotThereError, labels_of, rules

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


def test_prometheus_takes_its_configuration_and_all_rules(promtool: str, folder: Path) -> None:
    succeeds(
        promtool, "check", "config", "--lint=all", "--lint-fatal", str(folder / "prometheus.yml")
    )


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_record_and_alert_as_they_are_meant_to(promtool: str, path: Path) -> None:
    succeeds(promtool, "test", "rules", str(path))


def test_every_alert_is_seen_to_fire_and_to_stay_silent(alerts) -> None:
    seen = defaultdict(set)
    for path in UNIT_TESTS:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for check in case.get("alert_rule_test", ()):
                seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {name: {True, False} for name in alerts}


def test_every_alert_says_how_bad_it_is_and_where(alerts) -> None:
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, name
        assert re.search(r"\$labels\.(instance|model|job)\b", rule["annotations"]["description"]), (
            name
        )


def test_every_alert_has_a_section_that_says_what_to_do(alerts, repository: Path) -> None:
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


def test_rules_look_at_every_route_that_predicts_and_at_no_other(folder: Path) -> None:
    made = []

    def make(name: str, *_) -> None:
        made.append(name)

    inference_paths(make, max_rows=1)
    text = "".join(path.read_text("utf-8") for path in (folder / "rules").glob("*.yml"))
    patterns = {pattern.removesuffix("|unknown") for pattern in re.findall(r'route=~"(.+?)"', text)}
    assert patterns == {"|".join(made)}


def test_what_is_in_time_is_a_bucket_of_the_histogram(folder: Path) -> None:
    bounds = [
        (rule["expr"], rule["labels"]["le"])
        for rule in rules(folder / "rules")
        if rule.get("record") == "pigeonhole:objective_latency:seconds"
    ]
    assert bounds
    for expression, le in bounds:
        assert expression == f"vector({le})"
        assert le in map(str, BUCKETS_S)


def test_a_new_key_or_target_needs_no_other_change(folder: Path) -> None:
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
def test_the_labels_of_a_result_are_known(expression: str, labels: set[str]) -> None:
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
def test_an_expression_that_names_what_is_not_there_is_found_out(expression: str) -> None:
    with pytest.raises(NotThereError):
        labels_of(expression, KNOWN)
