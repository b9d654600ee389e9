"""Every setting, metric, error code and route is documented."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pigeonhole.service.app import Service
from pigeonhole.service.serving.metric_specs import METRICS
from pigeonhole.service.settings import PREFIX, flag_of
from pigeonhole.service.settings import Settings as ServiceSettings
from pigeonhole.service.web.errors import HTTP_CODES, INTERNAL_CODE, NOT_READY, TABLE
from pigeonhole.trainer.settings import Settings as TrainerSettings
from pigeonhole.trainer.settings import flag_of as trainer_flag_of


@pytest.fixture(scope="module")
def read(repository: Path):
    return lambda name: (repository / name).read_text("utf-8")


def first_cells(document: str) -> str:
    """The first two cells of every table row of a document."""
    return "\n".join("|".join(line.split("|")[1:3]) for line in document.splitlines())


def test_every_setting_of_the_service_is_documented_with_its_default_and_help(read) -> None:
    rows = [
        line for line in read("docs/settings.md").splitlines() if line.startswith("| `PIGEONHOLE_")
    ]
    documented = {line.split("|")[1].strip(" `"): line for line in rows}
    assert set(documented) == {PREFIX + s.name.upper() for s in fields(ServiceSettings)}
    for setting in fields(ServiceSettings):
        line = documented[PREFIX + setting.name.upper()]
        assert f"`{flag_of(setting.name)}`" in line
        default = getattr(ServiceSettings(), setting.name)
        shown = {False: "off", "": "none"}.get(default, default)
        if isinstance(shown, float):
            shown = f"{shown:g}"
        if setting.name == "workers":
            shown = "cores granted"
        assert line.split("|")[3].strip(" `") == str(shown), line
        assert line.split("|")[4].strip().replace("`", "") == setting.metadata["help"], line


def test_every_setting_of_the_trainer_is_documented_with_its_default(read) -> None:
    rows = [line for line in read("docs/training.md").splitlines() if line.startswith("| `--")]
    documented = {line.split("|")[1].strip(" `"): line.split("|")[2].strip(" `") for line in rows}
    flags = {trainer_flag_of(s.name) for s in fields(TrainerSettings)} - {"TABLE"}
    assert set(documented) == flags | {"--settings"}
    for setting in fields(TrainerSettings):
        if setting.name == "table":
            continue
        default = setting.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        if isinstance(default, bool):
            shown = "on" if default else "off"
        elif isinstance(default, float):
            shown = f"{default:g}"
        assert documented[trainer_flag_of(setting.name)] == shown, setting.name


def test_every_metric_is_documented_with_its_labels(read) -> None:
    document = read("docs/operations.md")
    for metric in METRICS:
        labels = ", ".join(metric.labels)
        assert re.search(
            rf"^\| `{metric.metric}` \| {metric.kind} \| {labels}\s*\|", document, re.MULTILINE
        ), metric.metric
    named = set(re.findall(r"^\| `((?:pigeonhole|process)_\w+)`", document, re.MULTILINE))
    assert named == {metric.metric for metric in METRICS}


def test_every_error_code_is_documented_with_its_status(read) -> None:
    document = read("docs/http.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", document, re.MULTILINE))
    codes = {code: status.value for status, code in TABLE.values()}
    codes |= {code: int(status) for status, code in HTTP_CODES.items()}
    codes |= {INTERNAL_CODE: 500, NOT_READY: 503}
    assert rows == {code: str(status) for code, status in codes.items()}


def test_every_route_is_documented(read, tmp_path: Path) -> None:
    service = Service(ServiceSettings(models=tmp_path))
    service.close()
    table = first_cells(read("docs/http.md"))
    for rule in service.flask.url_map.iter_rules():
        shown = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).replace("{filename}", "{file}")
        assert re.search(rf"`(?:GET |POST )?{re.escape(shown)}`", table), shown
