"""A real Prometheus with deploy/prometheus scrapes a running service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.busy_service import DEFAULT, ask, metrics, reject, sample_models
from tests.deploy.expressions import exposed, labels_of, rules, with_recorded
from tests.deploy.live_prometheus import Prometheus
from tests.running_service import RunningService

pytestmark = pytest.mark.slow


@pytest.fixture
def watch(program, repository: Path, tmp_path: Path) -> Iterator[Callable[..., Prometheus]]:
    """Starts Prometheus for a service, and stops it after the test."""
    executable = program("prometheus", "prometheus")
    started: list[Prometheus] = []

    def watching(server: RunningService) -> Prometheus:
        shipped = repository / "deploy" / "prometheus"
        started.append(Prometheus(executable, shipped, tmp_path, server.address))
        return started[-1]

    yield watching
    for prometheus in started:
        prometheus.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningService]]:
    """Starts the service on a model folder, and stops it after the test."""
    started: list[RunningService] = []

    def running(models: Path, *flags: str) -> RunningService:
        started.append(
            RunningService(models, tmp_path / "service.log", *DEFAULT, "--workers", "2", *flags)
        )
        return started[-1]

    yield running
    for server in started:
        server.stop()


def test_service_exposes_every_metric_of_the_rules(start, repository: Path, tmp_path: Path) -> None:
    folder = repository / "deploy" / "prometheus" / "rules"
    known = exposed(metrics(start(sample_models(repository, tmp_path))))
    known = with_recorded(known, folder)
    for rule in rules(folder):
        # Prometheus adds metrics of its own; only alerts use them.
        labels = labels_of(rule["expr"], known)
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule.get("annotations", {}))))
        assert named <= labels, rule["alert"]


def test_prometheus_scrapes_records_and_alerts(
    start, watch, repository: Path, tmp_path: Path
) -> None:
    models = sample_models(repository, tmp_path)
    shutil.rmtree(models / "bodymass" / "2")
    server = start(models)
    prometheus = watch(server)
    prometheus.until(lambda: prometheus.value('up{job="pigeonhole"}') == 1)

    # A rate needs a counter that grows after its first scrape.
    missing = {
        rule["record"] for rule in rules(prometheus.configuration / "rules") if "record" in rule
    }

    def all_recorded() -> bool:
        missing.difference_update([n for n in missing if prometheus.value(n) is not None])
        return not missing

    prometheus.until(all_recorded, meanwhile=lambda: ask(server))
    assert prometheus.value('job_model:pigeonhole_errors:ratio_rate5m{model="bodymass"}') == 0
    # On a busy machine a scrape may be late.
    assert prometheus.value('job_model:pigeonhole_slow:ratio_rate5m{model="bodymass"}') < 0.1

    groups = prometheus.data_of("rules")["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert rule["health"] == "ok", rule
    assert prometheus.data_of("alerts")["alerts"] == []

    reject(models)

    def firing() -> list[dict[str, str]]:
        alerts = prometheus.data_of("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    prometheus.until(firing)
    (labels,) = firing()
    assert labels == {
        "alertname": "PigeonholeModelRejected",
        "severity": "warning",
        "job": "pigeonhole",
        "instance": server.address.removeprefix("http://"),
        "model": "bodymass",
        "version": "2",
    }


def test_prometheus_sends_its_key_and_reads_a_new_one_without_a_restart(
    start, watch, repository: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    made = [sys.executable, "-m", "pigeonhole", "key", "prometheus"]
    token = subprocess.run(
        [*made, "--scopes", "metrics", "--keys", str(keys)],
        check=True,
        capture_output=True,
        text=True,
        cwd=repository,
    ).stdout
    prometheus = watch(start(repository / "models", "--keys", str(keys)))

    def target() -> dict[str, Any]:
        targets = (prometheus.data_of("targets") or {}).get("activeTargets", ())
        return next((t for t in targets if t["labels"]["job"] == "pigeonhole"), {"health": None})

    prometheus.until(lambda: target()["health"] == "down")
    assert "401" in target()["lastError"]
    (prometheus.configuration / "token").write_text(token, "utf-8")
    prometheus.until(lambda: target()["health"] == "up")
