"""The command line: what it prints, and the exit codes that a script can rely on."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pigeonhole import __version__
from pigeonhole.service.__main__ import main
from pigeonhole.service.api_keys import KeyFile
from pigeonhole.service.settings import PREFIX, Settings, flag_of


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


def test_check_reports_the_one_model_of_a_folder_of_its_own(tmp_path, write_model) -> None:
    path = write_model(tmp_path).rename(tmp_path / "anything.onnx")
    named = ("--models", tmp_path, "--model-name", "mine")
    result = ran("check", *named)
    assert result.exit_code == 0, result.output
    assert "\nmine/1: good, " in result.stdout
    path.rename(tmp_path / "model.txt")
    result = ran("check", *named)
    said = f"mine: there is no model.onnx or <version>/model.onnx in {tmp_path}\n"
    assert (result.exit_code, result.stderr) == (1, said)


@pytest.mark.parametrize("command", ["serve", "check"])
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


@pytest.mark.parametrize("command", ["serve", "check"])
def test_help_lists_every_setting_with_its_variable_and_default(command: str) -> None:
    result = ran(command, "--help")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split()).replace("- ", "-")
    for default in (
        *("KEYS; default: none", "ALLOW_ANONYMOUS; default: off", "RUN_THREADS; default: 1"),
        *("DRAIN_SECONDS; default: 1.0",),
    ):
        assert f"[{PREFIX}{default}]" in text
    for setting in fields(Settings):
        where = re.escape(f"{PREFIX}{setting.name.upper()}; default: ")
        assert re.search(rf"{flag_of(setting.name)} TEXT .*?\[{where}[^\]]+\]", text), setting.name


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1", "fe80::1", "host.invalid", ""])  # noqa: S104 - refused
def test_nobody_else_is_served_without_keys(command: str, host: str, models) -> None:
    result = ran(command, "--host", host, "--models", models)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"Error: anybody who reaches {host or 'this machine'} could use the service, for it has no "
        "keys: name a key file with --keys, or say --allow-anonymous on.\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "127.8.9.10", "::1", "localhost"])
def test_this_machine_alone_is_served_without_keys(host: str, models) -> None:
    assert ran("check", "--host", host, "--models", models).exit_code == 0


def test_others_are_served_with_keys_or_when_it_was_said(models, tmp_path) -> None:
    anywhere = ("check", "--models", models, "--host", "192.0.2.1")
    assert ran(*anywhere, "--allow-anonymous", "on").exit_code == 0
    assert ran(*anywhere, PIGEONHOLE_ALLOW_ANONYMOUS="on").exit_code == 0
    keys = tmp_path / "keys.toml"
    assert ran("key", "alice", "--keys", keys, "--scopes", "read,predict").exit_code == 0
    result = ran(*anywhere, "--keys", keys)
    assert result.exit_code == 0
    assert "\nkey alice: predict, read\n" in result.stdout


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_key_file_that_can_not_be_used_stops_the_start(command: str, models, tmp_path) -> None:
    keys = tmp_path / "keys.toml"
    flags = ("--models", models, "--keys", keys)
    result = ran(command, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    told = "it can't be read: No such file or directory"
    assert result.stderr == f"Error: key file {keys}: {told}.\n"
    keys.write_text("[alice]\nscopes = ['read']")
    result = ran(command, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: key file {keys}: [alice]: sha256 is missing" in result.stderr


def test_a_key_is_made_and_its_token_alone_printed(tmp_path) -> None:
    keys = tmp_path / "keys.toml"
    first = ran("key", "alice", "--keys", keys)
    second = ran("key", "prom", "--scopes", "metrics, read", PIGEONHOLE_KEYS=str(keys))
    ring = KeyFile(keys).ring
    for result, name, scopes in (
        (first, "alice", {"predict", "read"}),
        (second, "prom", {"metrics", "read"}),
    ):
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith(f"{name} is in {keys} now.\n")
        token = result.stdout.removesuffix("\n")
        found = ring.find(token)
        assert (found.name, found.scopes) == (name, scopes)
        assert token not in keys.read_text()


def test_without_a_file_the_entry_of_a_key_is_shown(tmp_path) -> None:
    result = ran("key", "alice")
    keys: Path = tmp_path / "keys.toml"
    keys.write_text(result.stderr.partition("\n\n")[2].partition("\n\n")[0])
    assert KeyFile(keys).ring.find(result.stdout.strip()).name == "alice"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a b",), "a name is 1 to 64 letters, digits, _ or -"),
        (("bob", "--scopes", "all"), "'all' is no scope, expected some of predict, read, "),
        (("bob", "--scopes", ""), "'' is no scope"),
        (("alice",), "[alice] is there already"),
    ],
)
def test_a_key_that_can_not_be_made_leaves_the_file_alone(tmp_path, arguments, told) -> None:
    keys = tmp_path / "keys.toml"
    ran("key", "alice", "--keys", keys)
    before = keys.read_text()
    result = ran("key", *arguments, "--keys", keys)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert keys.read_text() == before


def test_an_unknown_flag_or_command_is_refused() -> None:
    assert ran("serve", "--nonsense").exit_code == 2
    assert ran("nonsense").exit_code == 2


def test_the_module_tells_its_version_without_loading_a_server_or_a_runtime() -> None:
    code = "import sys, service.__main__; print([m for m in ('onnxruntime', 'gunicorn', 'flask') if m in sys.modules])"
    asked = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert asked == "[]\n"
    said = subprocess.run(
        [sys.executable, "-m", "pigeonhole", "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said == f"pigeonhole, version {__version__}\n"
