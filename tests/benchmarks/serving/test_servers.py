"""The table of servers, and the programs of the peers."""

import py_compile
import re

import pytest

from benchmarks.places import PEERS
from benchmarks.serving.models import Model
from benchmarks.serving.servers import OURS, SERVERS
from benchmarks.serving.targets import RATIO_TARGETS

PROGRAMS = sorted(PEERS.glob("serve*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda file: file.stem)
def test_program_of_a_peer_compiles(program, tmp_path):
    py_compile.compile(str(program), str(tmp_path / "out.pyc"), doraise=True)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_server_has_a_protocol_for_each_load(server):
    assert {load.encoding for load in server.loads} <= set(server.protocols)


def test_every_program_belongs_to_a_server():
    text = " ".join(
        part for server in SERVERS for part in (*server.command, *server.variables.values())
    )
    started = set(re.findall(r"serve_\w+", text))
    assert started == {program.stem for program in PROGRAMS if program.stem.startswith("serve_")}


def test_targets_compare_measured_loads():
    loads = {server.name: server.loads for server in SERVERS}
    for target in RATIO_TARGETS:
        assert target.load in loads[OURS]
        assert (target.peer_load or target.load) in loads[target.peer]


def test_our_service_starts_by_its_command_line(tmp_path):
    file = tmp_path / "models" / "small" / "1" / "model.onnx"
    command, variables = SERVERS[0].start_command(Model("small", file, []), [8001, 8002, 8003], "x")
    assert command[1:] == [
        *("-m", "pigeonhole", "serve", "--models", str(tmp_path / "models")),
        *("--port", "8001", "--workers", "2"),
    ]
    assert variables == {}


@pytest.mark.parametrize(
    "server", [each for each in SERVERS if each.packages], ids=lambda server: server.name
)
def test_server_with_packages_has_a_version(server):
    assert re.match(r"\d+\.\d", server.version)
