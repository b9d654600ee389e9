"""A real Prometheus with the project's configuration, which watches one service."""

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
"""The time that is looked back over: all that there is."""

STEP_S = 1


class Prometheus:
    """A Prometheus of its own, which waits a second wherever the configuration waits longer.

    Args:
        program: its executable.
        shipped: the folder of its configuration, of which it gets a copy.
        folder: for that copy, its data and its log.
        target: where the service is that it is to scrape, as in ``http://127.0.0.1:8000``.

    Attributes:
        configuration: the folder of the copy.
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

    def asked(self, path: str, **parameters: Any) -> Any:
        """What its HTTP API says; None while it does not answer. What it refuses is a failure."""
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
        """The value of an expression's first series, or None where there is none."""
        data = self.asked("query", query=expression)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None

    def course(self, expression: str) -> list[float]:
        """Every value that an expression had."""
        now = time.time()
        times = {"start": now - RANGE_S, "end": now, "step": STEP_S}
        data = self.asked("query_range", query=expression, **times)
        series = data["result"] if data else ()
        return [float(value) for each in series for _, value in each["values"]]

    def until(self, true: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
        """Ask again and again until something is so; fail with the log if it never is.

        Returns:
            What was so.
        """
        deadline = time.monotonic() + WAIT_S
        while not (found := true()):
            assert self._process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < deadline, self._log.read_text("utf-8")
            meanwhile()
            time.sleep(0.2)
        return found

    def stop(self) -> None:
        """End it."""
        self._client.close()
        self._process.terminate()
        self._process.wait(timeout=WAIT_S)
