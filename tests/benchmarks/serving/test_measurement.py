"""Promises of benchmarks.serving.measurement and of the comparison that gives turns."""

import shutil
from dataclasses import replace

import pytest

from benchmarks.places import REPOSITORY
from benchmarks.processes import CommandFailed
from benchmarks.serving.comparison import compare, portable
from benchmarks.serving.loads import Load
from benchmarks.serving.measurement import take_turn
from benchmarks.serving.models import Model
from benchmarks.serving.servers import SERVERS, Server

ROWS = [{"height_cm": 172.0, "weight_kg": 95.0}]

LOAD = Load("bodymass", 1, 2)


@pytest.fixture
def bodymass(tmp_path):
    """A model folder that holds this model alone."""
    file = tmp_path / "models" / "bodymass" / "1" / "model.onnx"
    file.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "models" / "bodymass" / "1" / "model.onnx", file)
    return Model("bodymass", file, ROWS)


def broken(name):
    command = ("{python}", "-c", "raise SystemExit('no such module')")
    return Server(name, command, (LOAD,), SERVERS[0].protocols, here=True)


def test_a_server_that_ends_is_told_with_what_it_printed(bodymass):
    with pytest.raises(CommandFailed, match=r"(?s)ended with code 1: .*no such module"):
        take_turn(broken("a"), bodymass, [LOAD], 1)


def test_a_server_that_fails_gets_no_further_turn_and_stops_no_other(bodymass):
    servers = [broken("a"), replace(broken("b"), program="no-such-program")]
    told = []
    first, second = compare(servers, [bodymass], rounds=2, seconds=1, run="now", say=told.append)
    assert [len(first.failures), len(second.failures)] == [1, 1]
    assert "no such module" in first.failures[0]
    assert second.failures == ["no-such-program isn't installed"]
    assert sum("round" in line for line in told) == 1


def test_what_is_kept_of_a_failure_names_no_folder_of_this_machine():
    folder = "/" + "srv/build/lib"
    told = f'File "{folder}/process.py", line 7\n{folder}/a.py:3: see https://index.test/simple/x'
    assert portable(told) == 'File "process.py", line 7\na.py:3: see (address)'
    assert portable("GET /predict 12 rows/s") == "GET /predict 12 rows/s"


@pytest.mark.slow
def test_our_service_is_compared_measured_and_stopped(bodymass):
    # Takes seconds: it is a real service under a real load.
    turn = take_turn(SERVERS[0], bodymass, [LOAD], 1)
    (measured,) = turn.measured
    assert turn.start_seconds > 0
    assert measured.requests_per_second > 0
    assert measured.errors == 0
    assert 0 < measured.p50_ms <= measured.p99_ms
    assert measured.cpu_ms_per_request > 0
    assert measured.memory_bytes > 20e6


@pytest.mark.slow
def test_a_wrong_answer_is_no_measurement(bodymass):
    other = Model("small", bodymass.file, [{"height_cm": 180.0, "weight_kg": 50.0}])
    constant = replace(next(each for each in SERVERS if each.constant), constant=False)
    (record,) = compare([constant], [other], rounds=1, seconds=1, run="now", say=str)
    assert record.measured == []
    assert "labels are not the model's" in record.failures[0]
