"""Monitoring in a cluster equals monitoring under Compose."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.kubernetes.prometheus_rule import RULES, WRITTEN, prometheus_rule
from pigeonhole.service.api_keys import METRICS as METRICS_SCOPE
from pigeonhole.service.serving.metric_specs import METRICS
from pigeonhole.service.web.auth import SCOPES_OF_VIEWS
from tests.deploy.kubernetes.manifests import Manifests
from tests.deploy.kubernetes.test_objects import selects


@pytest.fixture(scope="module")
def overlay(build) -> Manifests:
    return build("deploy/kubernetes/overlays/bucket")


@pytest.fixture(scope="module")
def endpoint(overlay: Manifests) -> dict[str, Any]:
    (endpoint,) = overlay.one("ServiceMonitor")["spec"]["endpoints"]
    return endpoint


def test_committed_prometheus_rule_equals_the_rule_files() -> None:
    files = sorted(RULES.glob("*.yml"))
    text = WRITTEN.read_text("utf-8")
    assert text == prometheus_rule(files), "run python deploy/kubernetes/prometheus_rule.py"
    groups = [
        group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
    ]
    assert groups
    assert yaml.safe_load(text)["spec"]["groups"] == groups


def test_promtool_accepts_the_prometheus_rule(
    program: Callable[[str, str], str], overlay: Manifests, tmp_path: Path
) -> None:
    promtool = program("promtool", "prometheus")
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(overlay.one("PrometheusRule")["spec"]), "utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", str(rules)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_service_monitor_selects_the_service_with_job_and_interval_of_the_rules(
    overlay: Manifests, endpoint: dict[str, Any], repository: Path
) -> None:
    service, monitor = overlay.one("Service"), overlay.one("ServiceMonitor")
    assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    config = yaml.safe_load(
        (repository / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8")
    )
    job = service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
    assert job in {each["job_name"] for each in config["scrape_configs"]}
    assert endpoint["interval"] == config["global"]["scrape_interval"]
    assert endpoint["scrapeTimeout"] == config["global"]["scrape_timeout"]


def test_prometheus_has_network_access_and_a_key(
    overlay: Manifests, endpoint: dict[str, Any]
) -> None:
    assert SCOPES_OF_VIEWS["exposition"] == METRICS_SCOPE
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"]["credentials"]["name"] == "pigeonhole-metrics-token"
    assert "pigeonhole-prometheus" in {
        each["metadata"]["name"] for each in overlay.of("NetworkPolicy")
    }


def test_autoscaler_uses_the_metric_of_the_adapter(
    overlay: Manifests, repository: Path, program: Callable[[str, str], str], tmp_path: Path
) -> None:
    metrics = overlay.one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [each["type"] for each in metrics] == ["Resource", "Pods"]
    folder = repository / "deploy" / "kubernetes" / "components" / "scaled-by-requests"
    (rule,) = yaml.safe_load((folder / "adapter-rules.yaml").read_text("utf-8"))["rules"]
    assert metrics[1]["pods"]["metric"] == {"name": rule["name"]["as"]}
    series, _, labels = rule["seriesQuery"].partition("{")
    assert series in {metric.metric for metric in METRICS}
    query = (
        rule["metricsQuery"]
        .replace("<<.GroupBy>>", "pod")
        .replace("<<.Series>>", series)
        .replace("<<.LabelMatchers>>", labels.rstrip("}"))
    )
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "g", "rules": [{"record": "r", "expr": query}]}]}),
        "utf-8",
    )
    promtool = program("promtool", "prometheus")
    subprocess.run([promtool, "check", "rules", str(tmp_path / "rules.yml")], check=True)
