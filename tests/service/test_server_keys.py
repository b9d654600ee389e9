"""The key file of a running service: changes take effect in every worker."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pigeonhole.service.api_keys import SCOPES, new_key

pytestmark = pytest.mark.slow

BODY = b'{"instances": [[172, 95]]}'

WITHIN_S = 5
"""Seconds within which a change must take effect: one on an idle machine."""

WEB = httpx.Client(trust_env=False, timeout=10, limits=httpx.Limits(max_keepalive_connections=0))
"""Opens a new connection for each request, so that any worker may answer."""


@pytest.fixture(params=["fast", "flask"])
def running(request, serve, models: Path, tmp_path: Path) -> Iterator[tuple]:
    """A service with two workers, its key file, and the token of its only key."""
    token, entry = new_key("alice", SCOPES)
    keys = tmp_path / "keys.toml"
    keys.write_text(entry)
    flags = ("--workers", "2", "--drain-seconds", "0.1", "--keys", str(keys))
    server = serve(models, *flags, "--handler", request.param, "--access-log", "on")
    server.until(lambda: statuses(server, token) == {200} and is_ready(server, token))
    yield server, keys, token
    server.stop()
    assert token not in server._log.read_text("utf-8")


def is_ready(server, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    return (
        "pigeonhole_workers_ready 2.0" in WEB.get(server.address + "/metrics", headers=headers).text
    )


def statuses(server, token: str, times: int = 12) -> set[int]:
    """Return the statuses that a key gets, from any worker and on both kinds of routes."""
    headers = {"Authorization": f"Bearer {token}"}
    found = set()
    for _ in range(times):
        found.add(WEB.post(server.address + "/predict", content=BODY, headers=headers).status_code)
        found.add(WEB.get(server.address + "/v1/models", headers=headers).status_code)
    return found


def test_key_file_changes_take_effect_in_every_worker_without_a_restart(running) -> None:
    server, keys, token = running
    workers = server.workers()
    other, entry = new_key("bob", SCOPES)
    assert statuses(server, other) == {401}
    keys.write_text(keys.read_text() + entry)
    server.until(lambda: statuses(server, other) == {200}, WITHIN_S)
    keys.write_text(entry)
    server.until(lambda: statuses(server, token) == {401}, WITHIN_S)
    assert statuses(server, other) == {200}
    assert server.workers() == workers


def test_new_worker_has_the_last_valid_keys_of_an_invalid_file(running) -> None:
    server, keys, old = running
    token, entry = new_key("bob", SCOPES)
    keys.write_text(entry)
    server.until(lambda: statuses(server, old) == {401}, WITHIN_S)
    # The parent follows the file as its workers do, and passes its keys to new workers.
    server.until(lambda: len(server.lines("keys read")) == 3, WITHIN_S)
    keys.write_text("[alice")
    server.until(
        lambda: len([line for line in server.lines() if "not TOML" in line["message"]]) == 3,
        WITHIN_S,
    )
    first, _ = server.workers()
    os.kill(first, signal.SIGKILL)
    server.until(lambda: first not in server.workers() and len(server.workers()) == 2)
    server.until(lambda: is_ready(server, token))
    assert statuses(server, token) == {200}
    assert statuses(server, old) == {401}
    keys.unlink()
    server.until(lambda: "No such file" in server._log.read_text(), WITHIN_S)
    assert statuses(server, token) == {200}


def test_new_generation_of_workers_has_the_current_keys(running) -> None:
    server, keys, old = running
    before = set(server.workers())
    token, entry = new_key("bob", SCOPES)
    keys.write_text(entry)
    server.process.send_signal(signal.SIGHUP)
    server.until(lambda: len(server.workers()) == 2 and not before & set(server.workers()))
    assert statuses(server, token) == {200}
    assert statuses(server, old) == {401}


def test_log_names_the_key_without_the_needed_scope(running) -> None:
    server, keys, _ = running
    token, entry = new_key("reader", ["read"])
    keys.write_text(keys.read_text() + entry)
    headers = {"Authorization": f"Bearer {token}"}
    predict = server.address + "/predict"
    server.until(
        lambda: WEB.post(predict, content=BODY, headers=headers).status_code == 403, WITHIN_S
    )
    load = server.address + "/v2/repository/models/bodymass/load"
    server.until(lambda: WEB.post(load, headers=headers).status_code == 403, WITHIN_S)

    def rejections() -> set[tuple[str, str]]:
        lines = map(json.loads, server._log.read_text("utf-8").splitlines())
        return {(line["key"], line.get("path", "")) for line in lines if line.get("status") == 403}

    paths = ("/predict", "/v2/repository/models/bodymass/load")
    server.until(lambda: rejections() >= {("reader", path) for path in paths}, WITHIN_S)
    assert "admin request rejected" in server._log.read_text("utf-8")


def test_anonymous_client_is_rejected_before_it_sends_a_large_body(running) -> None:
    server, _, _ = running
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_S) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 1000000\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 401 ")
