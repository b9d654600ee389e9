"""deploy/grafana: dashboards that are what their code makes, and that Grafana can show."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models import units

from deploy.grafana.dashboards import OBJECTIVE_FAILED, OBJECTIVE_S, write
from deploy.grafana.queries import PREDICTING
from tests.deploy.expressions import rules

CORE = {"heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
"""Panels that come with Grafana."""

UNITS = {unit for name, unit in vars(units).items() if name[0].isupper()}

WIDTH = 24


@pytest.fixture(scope="session")
def grafana(repository: Path) -> Path:
    return repository / "deploy" / "grafana"


@pytest.fixture(scope="session")
def prometheus(repository: Path) -> Path:
    return repository / "deploy" / "prometheus"


@pytest.fixture(scope="session")
def dashboards(grafana: Path) -> dict[str, dict[str, Any]]:
    found = {path.stem: json.loads(path.read_text()) for path in grafana.glob("dashboards/*.json")}
    assert found
    return found


@pytest.fixture(scope="session")
def panels(dashboards) -> list[dict[str, Any]]:
    """Every panel that shows something."""
    every = [panel for dashboard in dashboards.values() for panel in dashboard["panels"]]
    return [panel for panel in every if panel["type"] != "row"]


def test_the_dashboards_are_what_their_code_makes(grafana: Path, tmp_path: Path) -> None:
    write(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (grafana / "dashboards").iterdir()}
    assert kept == made, "make dashboards"


def test_each_dashboard_is_called_by_its_identity(dashboards) -> None:
    for name, dashboard in dashboards.items():
        assert dashboard["uid"] == name
    titles = [dashboard["title"] for dashboard in dashboards.values()]
    assert len(set(titles)) == len(titles)


def test_panels_are_numbered_once_and_lie_beside_each_other(dashboards) -> None:
    for dashboard in dashboards.values():
        numbers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(numbers)) == len(numbers)
        places = [panel["gridPos"] for panel in dashboard["panels"]]
        assert all(place["x"] + place["w"] <= WIDTH for place in places)
        for one, other in combinations(places, 2):
            is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert is_beside or is_above, (one, other)


def test_every_panel_says_what_it_shows_and_in_which_unit(panels) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        overrides = [p for o in panel["fieldConfig"]["overrides"] for p in o["properties"]]
        found = [panel["fieldConfig"]["defaults"]["unit"]]
        found += [change["value"] for change in overrides if change["id"] == "unit"]
        assert set(found) <= UNITS, panel["title"]


def test_panels_come_with_grafana_and_ask_the_data_source_that_was_chosen(panels) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["type"] in CORE
        assert panel["datasource"] == chosen
        assert panel["targets"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        for target in panel["targets"]:
            assert target["datasource"] == chosen
            is_heat = panel["type"] == "heatmap"
            is_table = panel["type"] == "table"
            wanted = {is_heat: "heatmap", is_table: "table"}.get(True)
            assert target.get("format") == wanted, panel["title"]


def test_lines_of_shares_and_times_begin_at_nought_or_are_logarithmic(panels) -> None:
    for panel in panels:
        if panel["type"] == "timeseries":
            defaults = panel["fieldConfig"]["defaults"]
            scale = defaults["custom"].get("scaleDistribution", {"type": "linear"})
            assert defaults.get("min") == 0 or scale["type"] == "log", panel["title"]


def test_links_and_the_table_of_models_lead_to_a_dashboard_that_is_there(
    panels, dashboards
) -> None:
    links = [
        link["url"]
        for panel in panels
        for override in panel["fieldConfig"]["overrides"]
        for change in override["properties"]
        if change["id"] == "links"
        for link in change["value"]
    ]
    assert links
    for link in links:
        assert link.removeprefix("/d/").partition("?")[0] in dashboards


def test_figures_are_coloured_where_the_objectives_are(prometheus: Path) -> None:
    recorded = {
        rule["record"]: rule["expr"] for rule in rules(prometheus / "rules") if "record" in rule
    }
    success = float(recorded["pigeonhole:objective_success:ratio"].strip("vector()"))
    assert pytest.approx(1 - success) == OBJECTIVE_FAILED
    seconds = float(recorded["pigeonhole:objective_latency:seconds"].strip("vector()"))
    assert seconds == OBJECTIVE_S


def test_the_alerts_look_at_the_same_routes(prometheus: Path) -> None:
    text = (prometheus / "rules" / "recording.yml").read_text("utf-8")
    assert f'route=~"{PREDICTING}"' in text


def test_the_data_source_is_the_prometheus_beside_it_as_often_as_it_scrapes(
    grafana: Path, prometheus: Path
) -> None:
    (path,) = (grafana / "provisioning" / "datasources").iterdir()
    (source,) = yaml.safe_load(path.read_text("utf-8"))["datasources"]
    assert (source["uid"], source["type"]) == ("prometheus", "prometheus")
    assert source["isDefault"]
    compose = yaml.safe_load((grafana.parent.parent / "docker-compose.yml").read_text("utf-8"))
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]
    scraped = yaml.safe_load((prometheus / "prometheus.yml").read_text("utf-8"))["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]


def test_dashboards_are_found_where_compose_puts_them(grafana: Path) -> None:
    (path,) = (grafana / "provisioning" / "dashboards").iterdir()
    (provider,) = yaml.safe_load(path.read_text("utf-8"))["providers"]
    folder = provider["options"]["path"]
    compose = yaml.safe_load((grafana.parent.parent / "docker-compose.yml").read_text("utf-8"))
    service = compose["services"]["grafana"]
    mounted = [volume.split(":")[:2] for volume in service["volumes"]]
    assert ["./deploy/grafana/dashboards", folder] in mounted
    assert ["./deploy/grafana/provisioning", "/etc/grafana/provisioning"] in mounted
    home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (grafana / "dashboards" / home.name).is_file()
