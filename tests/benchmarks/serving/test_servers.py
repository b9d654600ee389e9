"""Promises of the table of servers and of the peers' programs."""

import py_compile
import re

import pytest

from benchmarks.places import PEERS
from benchmarks.serving.models import Model
from benchmarks.serving.servers import OURS, SERVERS
from benchmarks.serving.targets import RATIOS

PROGRAMS = sorted(PEERS.glob("serve*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda file: file.stem)
def test_the_programs_of_the_peers_compile(program, tmp_path):
    py_compile.compile(str(program), str(tmp_path / "out.pyc"), doraise=True)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_knows_how_to_ask_each_of_its_loads(server):
    assert {load.form for load in server.loads} <= set(server.protocols)


def test_every_program_is_run_by_some_server():
    text = " ".join(
        part for server in SERVERS for part in (*server.command, *server.variables.values())
    )
    run = set(re.findall(r"serve_\w+", text))
    assert run == {program.stem for program in PROGRAMS if program.stem.startswith("serve_")}


def test_promises_are_about_servers_and_loads_that_are_measured():
    by_name = {server.name: server for server in SERVERS}
    for ratio in RATIOS:
        assert ratio.ours in by_name[OURS].loads
        assert ratio.theirs in by_name[ratio.peer].loads


def test_our_service_is_started_as_its_users_start_it(tmp_path):
    file = tmp_path / "models" / "small" / "1" / "model.onnx"
    command, variables = SERVERS[0].started_by(Model("small", file, []), [8001, 8002, 8003], "x")
    assert command[1:] == [
        *("-m", "pigeonhole", "serve", "--models", str(tmp_path / "models")),
        *("--port", "8001", "--workers", "2"),
    ]
    assert variables == {}


@pytest.mark.parametrize(
    "server", [each for each in SERVERS if each.packages], ids=lambda server: server.name
)
def test_the_version_of_a_server_is_told(server):
    assert re.match(r"\d+\.\d", server.version)
