"""New versions under load: every request is answered, by one version or the next."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = """
wrk.method = "POST"
wrk.body = '{"instances": [{"height_cm": 172, "weight_kg": 95}]}'
wrk.headers["Content-Type"] = "application/json"
local versions = {}
function setup(thread) thread:set("seen", "") table.insert(versions, thread) end
function init() seen = {} order = "" last = {} end
function response(status, headers, body)
  local version = string.match(body, '"version":"(%d+)"') or ("none, status " .. status)
  if not seen[version] then seen[version] = true order = order .. version .. " " end
end
function done(summary, latency, requests)
  for _, thread in ipairs(versions) do print("versions: " .. thread:get("order")) end
  local e = summary.errors
  print(string.format("errors: %d", e.connect + e.read + e.write + e.timeout + e.status))
  print(string.format("requests: %d", summary.requests))
end
"""

PUBLISH_EVERY_S = 2


@pytest.mark.alone
@pytest.mark.parametrize("seconds", [8, pytest.param(120, marks=pytest.mark.chaos)])
def test_no_request_fails_while_versions_are_published(
    tmp_path: Path, write_model, serve, program, seconds: int
) -> None:
    wrk = program("wrk", "wrk")
    models = tmp_path / "models"
    write_model(models, version=1)
    service = serve(models, "--workers", "2")
    service.until_live()
    script = tmp_path / "predict.lua"
    script.write_text(SCRIPT)
    load = subprocess.Popen(
        [wrk, "-t1", "-c16", f"-d{seconds}s", "-s", str(script), f"{service.address}/predict"],
        stdout=subprocess.PIPE,
        text=True,
    )
    version = 1
    while load.poll() is None:
        time.sleep(PUBLISH_EVERY_S)
        version += 1
        write_model(models, version=version, bias=float(version))
        if version == 3:  # and a bad one in between, which nobody may notice
            write_model(models, version=version + 1, digest="0" * 64)
            version += 1
    printed = load.communicate()[0]
    assert re.search(r"^errors: 0$", printed, re.MULTILINE), printed
    assert "Non-2xx" not in printed
    seen = re.search(r"^versions: (.*?) ?$", printed, re.MULTILINE)[1].split()
    assert seen == sorted(seen, key=int), "an older version answered first after a newer one"
    assert {"1", "2", "3"} <= set(seen)
    assert "4" not in seen, "the bad version answered"


@pytest.mark.alone
def test_a_new_version_is_live_in_every_worker_within_two_seconds(
    tmp_path: Path, write_model, serve
) -> None:
    models = tmp_path / "models"
    write_model(models, version=1)
    service = serve(models, "--workers", "2")
    service.until_live()
    write_model(models, version=2)
    published = time.monotonic()
    time.sleep(2 - (time.monotonic() - published))
    # Each request takes a new connection, so both workers are asked.
    answers = {service.predict([[172, 95]]).json()["version"] for _ in range(40)}
    assert answers == {"2"}
