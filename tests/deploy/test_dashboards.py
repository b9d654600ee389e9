"""deploy/grafana: the dashboards, and how Grafana finds them and Prometheus."""

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

BUILT_IN_PANELS = {"heatmap", "row", "stat", "state-timeline", "table", "timeseries"}
"""Panel types of Grafana without plugins."""

UNITS = {unit for name, unit in vars(units).items() if name[0].isupper()}

WIDTH = 24
"""Columns of a dashboard's grid."""


@pytest.fixture(scope="session")
def grafana(repository: Path) -> Path:
    return repository / "deploy" / "grafana"


@pytest.fixture(scope="session")
def prometheus(repository: Path) -> Path:
    return repository / "deploy" / "prometheus"


@pytest.fixture(scope="session")
def dashboards(grafana: Path) -> dict[str, dict[str, Any]]:
    read = {path.stem: json.loads(path.read_text()) for path in grafana.glob("dashboards/*.json")}
    assert read
    return read


@pytest.fixture(scope="session")
def panels(dashboards) -> list[dict[str, Any]]:
    """Return the panels of all dashboards, without the headings."""
    panels = [panel for dashboard in dashboards.values() for panel in dashboard["panels"]]
    return [panel for panel in panels if panel["type"] != "row"]


def test_committed_dashboards_equal_the_generated_ones(grafana: Path, tmp_path: Path) -> None:
    write(tmp_path)
    generated = {path.name: path.read_text() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_text() for path in (grafana / "dashboards").iterdir()}
    assert committed == generated, "run make dashboards"


def test_file_of_a_dashboard_is_named_by_its_uid(dashboards) -> None:
    for name, dashboard in dashboards.items():
        assert dashboard["uid"] == name
    titles = [dashboard["title"] for dashboard in dashboards.values()]
    assert len(set(titles)) == len(titles)


def test_panels_have_unique_ids_and_do_not_overlap(dashboards) -> None:
    for dashboard in dashboards.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        positions = [panel["gridPos"] for panel in dashboard["panels"]]
        assert all(each["x"] + each["w"] <= WIDTH for each in positions)
        for one, other in combinations(positions, 2):
            is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert is_beside or is_above, (one, other)


def test_every_panel_has_title_description_and_known_units(panels) -> None:
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        overrides = [p for o in panel["fieldConfig"]["overrides"] for p in o["properties"]]
        used = [panel["fieldConfig"]["defaults"]["unit"]]
        used += [change["value"] for change in overrides if change["id"] == "unit"]
        assert set(used) <= UNITS, panel["title"]


def test_panels_are_built_in_and_query_the_selected_data_source(panels) -> None:
    selected = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["type"] in BUILT_IN_PANELS
        assert panel["datasource"] == selected
        assert panel["targets"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        for target in panel["targets"]:
            assert target["datasource"] == selected
            is_special = panel["type"] in ("heatmap", "table")
            expected = panel["type"] if is_special else None
            assert target.get("format") == expected, panel["title"]


def test_time_series_start_at_zero_or_are_logarithmic(panels) -> None:
    for panel in panels:
        if panel["type"] == "timeseries":
            defaults = panel["fieldConfig"]["defaults"]
            scale = defaults["custom"].get("scaleDistribution", {"type": "linear"})
            assert defaults.get("min") == 0 or scale["type"] == "log", panel["title"]


def test_links_lead_to_existing_dashboards(panels, dashboards) -> None:
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


def test_color_thresholds_equal_the_objectives(prometheus: Path) -> None:
    recorded = {
        rule["record"]: rule["expr"] for rule in rules(prometheus / "rules") if "record" in rule
    }
    success = float(recorded["pigeonhole:objective_success:ratio"].strip("vector()"))
    assert pytest.approx(1 - success) == OBJECTIVE_FAILED
    seconds = float(recorded["pigeonhole:objective_latency:seconds"].strip("vector()"))
    assert seconds == OBJECTIVE_S


def test_alerts_use_the_same_routes(prometheus: Path) -> None:
    text = (prometheus / "rules" / "recording.yml").read_text("utf-8")
    assert f'route=~"{PREDICTING}"' in text


def test_data_source_is_the_composed_prometheus_with_its_interval(
    grafana: Path, prometheus: Path
) -> None:
    (path,) = (grafana / "provisioning" / "datasources").iterdir()
    (source,) = yaml.safe_load(path.read_text("utf-8"))["datasources"]
    assert (source["uid"], source["type"]) == ("prometheus", "prometheus")
    assert source["isDefault"]
    compose = yaml.safe_load((grafana.parent.parent / "docker-compose.yml").read_text("utf-8"))
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose["services"]
    settings = yaml.safe_load((prometheus / "prometheus.yml").read_text("utf-8"))["global"]
    assert source["jsonData"]["timeInterval"] == settings["scrape_interval"]


def test_dashboards_are_provisioned_from_the_mounted_folder(grafana: Path) -> None:
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
