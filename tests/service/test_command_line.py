"""The service's commands: their output and their exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pigeonhole import __version__
from pigeonhole.service.__main__ import exit_when_interrupted, main
from pigeonhole.service.api_keys import KeyFile
from pigeonhole.service.settings import PREFIX, Settings, flag_of


def run(*arguments: object, **environment: str) -> Result:
    """Run a command with no variables but these."""
    clean: dict[str, str | None] = {
        PREFIX + setting.name.upper(): None for setting in fields(Settings)
    }
    return CliRunner().invoke(main, [str(a) for a in arguments], env=clean | environment)


def test_check_reports_every_version_and_how_cores_are_used(
    models, write_model, write_mixed_model
) -> None:
    write_model(models, version=12)
    write_mixed_model(models)
    result = run("check", "--models", models, "--port", 8123, "--workers", 3, "--model-threads", 2)
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
        golden, features = ("1 golden row", 5) if "mixed" in line else ("3 golden rows", 2)
        assert f" ok, {golden} passed, {features} features, classes " in line
        assert re.search(r" sha256 [0-9a-f]{64}, loaded in \d+ ms, one row in \d+ us$", line)
    assert "classes underweight, overweight," in lines[0]


def test_check_prints_the_digest_that_sha256sum_prints(models) -> None:
    path = models / "bodymass" / "1" / "model.onnx"
    output = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
    assert f"sha256 {output.split()[0]}," in run("check", "--models", models).stdout


def test_check_rejects_a_bad_model_and_reports_the_good_ones(models, write_model) -> None:
    write_model(models, version=2, digest="0" * 64)
    result = run("check", "--models", models)
    assert result.exit_code == 2
    assert "bodymass/1: ok" in result.stdout
    assert re.search(r"^bodymass/2: rejected: model.onnx has sha256 ", result.stderr, re.MULTILINE)


def test_check_rejects_a_folder_without_models(tmp_path) -> None:
    result = run("check", "--models", tmp_path)
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"Error: no model found, expected <name>/<version>/model.onnx in {tmp_path}.\n"
    )
    result = run("check", "--models", tmp_path / "none")
    assert result.exit_code == 2
    assert "can't be read: No such file or directory" in result.stderr


def test_check_rejects_a_missing_default_model(models) -> None:
    result = run("check", "--models", models, "--default-model", "absent")
    assert result.exit_code == 2
    assert "the default model 'absent' does not exist" in result.stderr


def test_check_rejects_an_invalid_serving_toml(models) -> None:
    (models / "bodymass" / "serving.toml").write_text("live = 3")
    result = run("check", "--models", models)
    assert result.exit_code == 2
    assert "bodymass: serving.toml: live is 3" in result.stderr


def test_check_names_ignored_folders(models) -> None:
    (models / "two words").mkdir()
    (models / "empty").mkdir()
    result = run("check", "--models", models)
    assert result.exit_code == 0
    assert "two words: ignored: " in result.stdout
    assert "empty: ignored: " in result.stdout


def test_check_reports_a_single_model_in_its_own_folder(tmp_path, write_model) -> None:
    path = write_model(tmp_path).rename(tmp_path / "anything.onnx")
    flags = ("--models", tmp_path, "--model-name", "mine")
    result = run("check", *flags)
    assert result.exit_code == 0, result.output
    assert "\nmine/1: ok, " in result.stdout
    path.rename(tmp_path / "model.txt")
    result = run("check", *flags)
    assert result.exit_code == 2
    assert result.stderr.startswith("mine: ")
    assert f"expected model.onnx or <version>/model.onnx in {tmp_path}" in result.stderr


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
def test_invalid_setting_is_named_and_rejected(command, name, value, expected) -> None:
    flag, variable = flag_of(name), PREFIX + name.upper()
    for source, result in (
        (flag, run(command, flag, value)),
        (variable, run(command, **{variable: value})),
    ):
        assert result.exit_code == 2
        assert result.stderr == f"Error: {source} is {value!r}, expected {expected}.\n"
        assert result.stdout == ""


def test_flag_takes_precedence_over_its_variable(models) -> None:
    result = run("check", "--port", "8002", "--models", models, PIGEONHOLE_PORT="8001")
    assert "127.0.0.1:8002" in result.stdout
    assert "127.0.0.1:8001" in run("check", "--models", models, PIGEONHOLE_PORT="8001").stdout


@pytest.mark.parametrize("command", ["serve", "check"])
def test_help_lists_every_setting_with_its_variable_and_default(command: str) -> None:
    result = run(command, "--help")
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
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1", "fe80::1", "host.invalid", ""])  # noqa: S104 - rejected
def test_other_machines_are_rejected_without_keys(command: str, host: str, models) -> None:
    result = run(command, "--host", host, "--models", models)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"Error: Refusing to listen on {host or 'all addresses'} without authentication: "
        "pass --keys FILE, or --allow-anonymous on.\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str, models) -> None:
    assert run("check", "--host", host, "--models", models).exit_code == 0


def test_other_machines_are_allowed_with_keys_or_anonymous_access(models, tmp_path) -> None:
    anywhere = ("check", "--models", models, "--host", "192.0.2.1")
    assert run(*anywhere, "--allow-anonymous", "on").exit_code == 0
    assert run(*anywhere, PIGEONHOLE_ALLOW_ANONYMOUS="on").exit_code == 0
    keys = tmp_path / "keys.toml"
    assert run("key", "alice", "--keys", keys, "--scopes", "read,predict").exit_code == 0
    result = run(*anywhere, "--keys", keys)
    assert result.exit_code == 0
    assert "\nkey alice: predict, read\n" in result.stdout


@pytest.mark.parametrize("command", ["serve", "check"])
def test_invalid_key_file_is_rejected(command: str, models, tmp_path) -> None:
    keys = tmp_path / "keys.toml"
    flags = ("--models", models, "--keys", keys)
    result = run(command, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    reason = "can't be read: No such file or directory"
    assert result.stderr == f"Error: key file {keys}: {reason}.\n"
    keys.write_text("[alice]\nscopes = ['read']")
    result = run(command, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Error: key file {keys}: [alice]: sha256 is missing" in result.stderr


def test_key_is_added_and_only_its_token_printed(tmp_path) -> None:
    keys = tmp_path / "keys.toml"
    first = run("key", "alice", "--keys", keys)
    second = run("key", "prom", "--scopes", "metrics, read", PIGEONHOLE_KEYS=str(keys))
    ring = KeyFile(keys).ring
    for result, name, scopes in (
        (first, "alice", {"predict", "read"}),
        (second, "prom", {"metrics", "read"}),
    ):
        assert result.exit_code == 0, result.output
        assert result.stderr.startswith(f"Added {name} to {keys}.\n")
        token = result.stdout.removesuffix("\n")
        found = ring.find(token)
        assert (found.name, found.scopes) == (name, scopes)
        assert token not in keys.read_text()


def test_key_without_a_file_is_printed_as_an_entry(tmp_path) -> None:
    result = run("key", "alice")
    keys: Path = tmp_path / "keys.toml"
    keys.write_text(result.stderr.partition("\n\n")[2].partition("\n\n")[0])
    assert KeyFile(keys).ring.find(result.stdout.strip()).name == "alice"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a b",), "invalid name, expected 1 to 64 letters, digits, _ or -"),
        (("bob", "--scopes", "all"), "unknown scope 'all', expected some of predict, read, "),
        (("bob", "--scopes", ""), "unknown scope ''"),
        (("alice",), "[alice] exists already"),
    ],
)
def test_rejected_key_leaves_the_file_unchanged(tmp_path, arguments, reason) -> None:
    keys = tmp_path / "keys.toml"
    run("key", "alice", "--keys", keys)
    before = keys.read_text()
    result = run("key", *arguments, "--keys", keys)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert keys.read_text() == before


def test_unknown_flag_or_command_is_a_usage_error() -> None:
    assert run("serve", "--nonsense").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_version_loads_neither_a_server_nor_a_runtime() -> None:
    code = "import sys, service.__main__; print([m for m in ('onnxruntime', 'gunicorn', 'flask') if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert loaded == "[]\n"
    version = subprocess.run(
        [sys.executable, "-m", "pigeonhole", "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert version == f"pigeonhole, version {__version__}\n"


def test_interrupted_command_exits_with_130(capsys) -> None:
    @exit_when_interrupted
    def command() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_former_name_of_serve_is_hidden_but_works() -> None:
    assert "\n  run " not in run("--help").output
    assert run("run", "--port", "eighty").stderr.startswith("Error: --port is 'eighty', ")
