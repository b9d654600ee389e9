"""A real Prometheus with the project's configuration, which scrapes one service."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.composed import free_ports

WAIT_S = 90

RANGE_S = 300
"""Seconds of history in a range query; no test runs longer."""

STEP_S = 1


class Prometheus:
    """A Prometheus process; every interval and delay of the configuration is shortened to a second.

    Args:
        program: the executable.
        shipped: the folder of the configuration; Prometheus reads a copy.
        folder: the folder for the copy, the data and the log.
        target: the URL of the service to scrape, for example ``http://127.0.0.1:8000``.

    Attributes:
        configuration: the folder of the copied configuration.
    """

    def __init__(self, program: str, shipped: Path, folder: Path, target: str) -> None:
        self.configuration = folder / "prometheus"
        shutil.copytree(shipped, self.configuration)
        file = self.configuration / "prometheus.yml"
        for path in (*self.configuration.glob("rules/*.yml"), file):
            text = path.read_text("utf-8")
            text = re.sub(r"((?:interval|timeout|for): )\d+\w+", rf"\g<1>{STEP_S}s", text)
            path.write_text(text, "utf-8")
        targets = f"- targets: ['{target.removeprefix('http://')}']\n"
        (self.configuration / "targets.yml").write_text(targets, "utf-8")
        (port,) = free_ports(1)
        own = f"127.0.0.1:{port}"
        flags = (
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={own}",
        )
        self._client = httpx.Client(
            base_url=f"http://{own}/api/v1/", timeout=WAIT_S, trust_env=False
        )
        self._log = folder / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, *flags], stdout=log, stderr=subprocess.STDOUT
            )

    def data_of(self, path: str, **parameters: Any) -> Any:
        """Return the data of an HTTP API call, or None while Prometheus is not ready; fail on an error."""
        try:
            if path.startswith("query"):
                answer = self._client.post(path, data=parameters)
            else:
                answer = self._client.get(path, params=parameters)
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def value(self, expression: str) -> float | None:
        """Return the value of an expression's first series, or None without series."""
        data = self.data_of("query", query=expression)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    def history(self, expression: str) -> list[float]:
        """Return every value of an expression within the history."""
        now = time.time()
        times = {"start": now - RANGE_S, "end": now, "step": STEP_S}
        data = self.data_of("query_range", query=expression, **times)
        series = data["result"] if data else ()
        return [float(value) for each in series for _, value in each["values"]]

    def until(
        self, condition: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None
    ) -> Any:
        """Poll until a condition holds, and fail with the log if time is over.

        Returns:
            The condition's result.
        """
        deadline = time.monotonic() + WAIT_S
        while not (found := condition()):
            assert self._process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < deadline, self._log.read_text("utf-8")
            meanwhile()
            time.sleep(0.2)
        return found

    def stop(self) -> None:
        """Stop it."""
        self._client.close()
        self._process.terminate()
        self._process.wait(timeout=WAIT_S)
