"""Measurements of one server, and their comparison."""

import shutil
from dataclasses import replace

import pytest

from benchmarks.places import REPOSITORY
from benchmarks.processes import CommandFailed
from benchmarks.serving.comparison import compare, without_paths
from benchmarks.serving.loads import Load
from benchmarks.serving.measurement import measure_server
from benchmarks.serving.models import Model
from benchmarks.serving.servers import SERVERS, Server

ROWS = [{"height_cm": 172.0, "weight_kg": 95.0}]

LOAD = Load("bodymass", 1, 2)


@pytest.fixture
def bodymass(tmp_path):
    """Copy the model to a folder that holds no other model."""
    file = tmp_path / "models" / "bodymass" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "models" / "bodymass" / "1" / "model.onnx", file)
    return Model("bodymass", file, ROWS)


def broken_server(name):
    command = ("{python}", "-c", "raise SystemExit('no such module')")
    return Server(name, command, (LOAD,), SERVERS[0].protocols, in_this_interpreter=True)


def test_server_that_exits_is_reported_with_its_output(bodymass):
    with pytest.raises(CommandFailed, match=r"(?s)exited with code 1: .*no such module"):
        measure_server(broken_server("a"), bodymass, [LOAD], 1)


def test_comparison_goes_on_without_a_failed_server(bodymass):
    servers = [broken_server("a"), replace(broken_server("b"), program="no-such-program")]
    lines = []
    first, second = compare(
        servers, [bodymass], rounds=2, seconds=1, started_at="now", log=lines.append
    )
    assert [len(first.failures), len(second.failures)] == [1, 1]
    assert "no such module" in first.failures[0]
    assert second.failures == ["no-such-program isn't installed; it must be on the PATH"]
    assert sum("round" in line for line in lines) == 1


def test_stored_failure_names_no_folder_or_address():
    folder = "/" + "srv/build/lib"
    error = f'File "{folder}/process.py", line 7\n{folder}/a.py:3: see https://index.test/simple/x'
    assert without_paths(error) == 'File "process.py", line 7\na.py:3: see (address)'
    assert without_paths("GET /predict 12 rows/s") == "GET /predict 12 rows/s"


@pytest.mark.slow
def test_our_service_is_measured(bodymass, program):
    program("wrk", "wrk")
    result = measure_server(SERVERS[0], bodymass, [LOAD], 1)
    (measurement,) = result.measurements
    assert result.start_seconds > 0
    assert measurement.requests_per_second > 0
    assert measurement.errors == 0
    assert 0 < measurement.p50_ms <= measurement.p99_ms
    assert measurement.cpu_ms_per_request > 0
    assert measurement.memory_bytes > 20e6


@pytest.mark.slow
def test_server_with_wrong_predictions_is_not_measured(bodymass):
    other = Model("small", bodymass.file, [{"height_cm": 180.0, "weight_kg": 50.0}])
    constant = replace(next(each for each in SERVERS if each.constant), constant=False)
    (record,) = compare([constant], [other], rounds=1, seconds=1, started_at="now", log=str)
    assert record.measurements == []
    assert "labels differ from the model's" in record.failures[0]
