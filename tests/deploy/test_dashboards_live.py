"""Every query of the dashboards, run by a real Prometheus that scrapes a real service."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.deploy import busy_service
from tests.deploy.expressions import Known, exposed, labels_of, with_recorded
from tests.deploy.live_prometheus import RANGE_S, STEP_S, Prometheus
from tests.running_service import RunningService
from tests.tiny_models import write_heavy_model

pytestmark = pytest.mark.slow

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"

ALERTS: Known = {
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "job", "instance", "model"})
}


class DashboardQuery(NamedTuple):
    """A query of a dashboard, with its variables."""

    dashboard: str
    panel: str
    expression: str
    labels: frozenset[str] | None = None
    """Labels that distinguish the rows of a table."""


def dashboard_queries() -> list[DashboardQuery]:
    """Return every query of every panel and annotation."""
    queries: list[DashboardQuery] = []
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text("utf-8"))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                labels = row_labels(panel) if panel["type"] == "table" else None
                queries.append(DashboardQuery(path.stem, panel["title"], target["expr"], labels))
        annotations = dashboard["annotations"]["list"]
        queries += [
            DashboardQuery(path.stem, f"annotation {each['name']}", each["expr"])
            for each in annotations
        ]
    return queries


def row_labels(panel: dict[str, Any]) -> frozenset[str]:
    """Return the labels that become columns of a table."""
    (names,) = (t["options"]["renameByName"] for t in panel["transformations"][1:])
    return frozenset(name for name in names if not name.startswith("Value #"))


QUERIES = dashboard_queries()


class Traffic:
    """Send requests of every kind until the event is set."""

    def __init__(self, server: RunningService) -> None:
        self._server, self._over = server, threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(kind,))
            for kind in (self._everything, self._crowd, self._crowd, self._crowd, self._late)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, kind: Any) -> None:
        with httpx.Client(base_url=self._server.address, timeout=30) as client:
            while not self._over.wait(0.02):
                kind(client)

    def _everything(self, _client: httpx.Client) -> None:
        busy_service.ask(self._server)

    def _crowd(self, client: httpx.Client) -> None:
        client.post("/v1/models/heavy:predict", json={"instances": [[2]]})

    def _late(self, client: httpx.Client) -> None:
        headers = {"X-Request-Timeout-Ms": "1"}
        client.post("/v1/models/heavy:predict", json={"instances": [[2]]}, headers=headers)


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    models = busy_service.sample_models(repository, folder)
    write_heavy_model(models)
    server = RunningService(models, folder / "log", "--workers", "2", *busy_service.DEFAULT)
    traffic = Traffic(server)
    yield server
    traffic.stop()
    assert server.stop() == 0


@pytest.fixture(scope="module")
def prometheus(
    program, server: RunningService, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    shipped = repository / "deploy" / "prometheus"
    executable = program("prometheus", "prometheus")
    prometheus = Prometheus(executable, shipped, folder, server.address)
    yield prometheus
    prometheus.stop()


@pytest.fixture(scope="module")
def known(server: RunningService, repository: Path) -> Known:
    """The metrics that the service exposes and that the rules record."""
    rules = repository / "deploy" / "prometheus" / "rules"
    return with_recorded(exposed(busy_service.metrics(server)), rules) | ALERTS


@pytest.fixture(scope="module")
def chosen(prometheus: Prometheus) -> dict[str, dict[str, str]]:
    """The value of each dashboard variable when All is selected."""
    prometheus.until(lambda: prometheus.history('pigeonhole_requests_total{model="heavy"}'))
    return {path.stem: choices(prometheus, path) for path in GRAFANA.glob("dashboards/*.json")}


def choices(prometheus: Prometheus, path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable in json.loads(path.read_text("utf-8"))["templating"]["list"]:
        if variable["type"] == "query":
            query = filled(variable["query"]["query"], found)
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
            values = prometheus.data_of(f"label/{label}/values", **{"match[]": series})
            assert values, query
            escaped = "|".join(re.escape(value).replace("\\", "\\\\") for value in values)
            found[variable["name"]] = variable.get("allValue") or f"({escaped})"
    return found


def filled(expression: str, variables: dict[str, str]) -> str:
    """Return a query with its variables replaced, as Grafana sends it."""
    built_in = {"__rate_interval": f"{4 * STEP_S}s", "__range": f"{RANGE_S}s"}
    for name, value in (built_in | variables).items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_query_uses_existing_metrics_and_labels(query: DashboardQuery, known: Known) -> None:
    everything = dict.fromkeys(("job", "instance", "model", "version", "route"), ".+")
    labels = labels_of(filled(query.expression, everything), known)
    if query.labels is not None:
        assert labels == query.labels, (
            "rows of a table have the labels that it shows, and no others"
        )


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.dashboard}: {query.panel}")
def test_query_returns_data(query: DashboardQuery, prometheus: Prometheus, chosen) -> None:
    values = prometheus.until(
        lambda: prometheus.history(filled(query.expression, chosen[query.dashboard]))
    )
    assert all(map(math.isfinite, values))
