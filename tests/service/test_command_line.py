"""The command line: what it prints, and the exit codes that a script can rely on."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest
from click.testing import CliRunner, Result

from service import __version__
from service.__main__ import main
from service.settings import PREFIX, Settings, flag_of


def ran(*arguments: object, **environment: str) -> Result:
    clean: dict[str, str | None] = {
        PREFIX + setting.name.upper(): None for setting in fields(Settings)
    }
    return CliRunner().invoke(main, [str(a) for a in arguments], env=clean | environment)


def test_check_reports_what_would_be_served(models, write_model, write_mixed_model) -> None:
    write_model(models, version=12)
    write_mixed_model(models)
    result = ran("check", "--models", models, "--port", 8123, "--workers", 3, "--model-threads", 2)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    first, *lines = result.stdout.splitlines()
    assert first.startswith(f"{models} on 127.0.0.1:8123; ")
    assert first.endswith(
        " granted: 3 workers, each with 1 event loop, 4 request threads "
        "and 1 model run of 2 threads at a time"
    )
    assert [line.split(":")[0] for line in lines] == ["bodymass/1", "bodymass/12", "mixed/1"]
    for line in lines:
        golden, features = ("1", "5") if line.startswith("mixed") else ("3", "2")
        assert f" good, {golden} golden rows right, {features} features, classes " in line
        assert re.search(r" sha256 [0-9a-f]{64}, loaded in \d+ ms, one row in \d+ us$", line)
    assert "classes underweight, overweight," in lines[0]


def test_check_tells_the_digest_that_a_shell_would(models) -> None:
    path = models / "bodymass" / "1" / "model.onnx"
    said = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
    assert f"sha256 {said.split()[0]}," in ran("check", "--models", models).stdout


def test_check_fails_for_a_bad_model_and_reports_the_good_ones(models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    result = ran("check", "--models", models)
    assert result.exit_code == 1
    assert "bodymass/1: good" in result.stdout
    assert re.search(r"^bodymass/2: refused: model.onnx has sha256 ", result.stderr, re.MULTILINE)


def test_check_fails_when_there_is_nothing_to_serve(tmp_path) -> None:
    result = ran("check", "--models", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: no <name>/<version>/model.onnx in {tmp_path}.\n"
    result = ran("check", "--models", tmp_path / "none")
    assert result.exit_code == 1
    assert "can't be read: No such file or directory" in result.stderr


def test_check_fails_for_a_default_model_that_is_not_there(models) -> None:
    result = ran("check", "--models", models, "--default-model", "nobody")
    assert result.exit_code == 1
    assert "the default model 'nobody' is not there" in result.stderr


def test_check_fails_for_a_folder_that_can_not_be_followed(models) -> None:
    (models / "bodymass" / "serving.toml").write_text("live = 3")
    result = ran("check", "--models", models)
    assert result.exit_code == 1
    assert "bodymass: serving.toml: live is 3" in result.stderr


def test_check_names_what_is_passed_over(models) -> None:
    (models / "two words").mkdir()
    (models / "empty").mkdir()
    result = ran("check", "--models", models)
    assert result.exit_code == 0
    assert "two words: passed over: no model's name" in result.stdout
    assert "empty: passed over: holds no <version>/model.onnx" in result.stdout


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "eighty", "a whole number from 0 to 65535"),
        ("port", "70000", "a whole number from 0 to 65535"),
        ("workers", "0", "a whole number from 1 to 60"),
        ("reload_seconds", "nan", "a number from 0.05 to 3600"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("access_log", "perhaps", "on or off"),
        ("max_rows", "", "a whole number of at least 1"),
    ],
)
def test_a_bad_setting_is_named_and_stops_the_start(command, name, value, expected) -> None:
    flag, variable = flag_of(name), PREFIX + name.upper()
    for source, result in (
        (flag, ran(command, flag, value)),
        (variable, ran(command, **{variable: value})),
    ):
        assert result.exit_code == 2
        assert result.stderr == f"Error: {source} is {value!r}, expected {expected}.\n"
        assert result.stdout == ""


def test_a_flag_goes_before_its_variable(models) -> None:
    result = ran("check", "--port", "8002", "--models", models, PIGEONHOLE_PORT="8001")
    assert "127.0.0.1:8002" in result.stdout
    assert "127.0.0.1:8001" in ran("check", "--models", models, PIGEONHOLE_PORT="8001").stdout


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_lists_every_setting_with_its_variable_and_default(command: str) -> None:
    result = ran(command, "--help")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split()).replace("- ", "-")
    for setting in fields(Settings):
        where = re.escape(f"{PREFIX}{setting.name.upper()}; default: ")
        assert re.search(rf"{flag_of(setting.name)} TEXT .*?\[{where}[^\]]+\]", text), setting.name


def test_an_unknown_flag_or_command_is_refused() -> None:
    assert ran("run", "--nonsense").exit_code == 2
    assert ran("nonsense").exit_code == 2


def test_the_module_tells_its_version_without_loading_a_server_or_a_runtime() -> None:
    code = "import sys, service.__main__; print([m for m in ('onnxruntime', 'gunicorn', 'flask') if m in sys.modules])"
    asked = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert asked == "[]\n"
    said = subprocess.run(
        [sys.executable, "-m", "service", "--version"], check=True, capture_output=True, text=True
    ).stdout
    assert said == f"pigeonhole-serve, version {__version__}\n"
