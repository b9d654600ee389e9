"""Promises of the command `pigeonhole`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pigeonhole import __version__
from pigeonhole.__main__ import COMMANDS, main

WITHOUT = """
import sys
from pathlib import Path
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from pigeonhole.__main__ import main
main({arguments!r})
"""


def run(*arguments: str):
    return CliRunner().invoke(main, arguments)


def run_without(missing: set[str], *arguments: str, repository: Path):
    program = WITHOUT.format(missing=missing, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=False
    )


def test_help_lists_every_command():
    shown = run("--help")
    assert shown.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in shown.output


def test_version_is_the_packages():
    assert run("--version").output == f"pigeonhole, version {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command):
    shown = run(command, "-h")
    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: pigeonhole {command}") or command in shown.output


@pytest.mark.parametrize(
    ("typed", "meant"), [("fitt", "fit"), ("serv", "serve"), ("cheks", "check")]
)
def test_mistyped_command_is_answered_with_the_nearest(typed, meant):
    answered = run(typed)
    assert answered.exit_code == 2
    assert f"'{meant}'" in answered.output


@pytest.mark.parametrize(
    ("command", "typed", "meant"),
    [("fit", "--targt", "--target"), ("serve", "--prot", "--port"), ("sample", "--row", "--rows")],
)
def test_mistyped_option_is_answered_with_the_nearest(command, typed, meant):
    answered = run(command, typed, "x")
    assert answered.exit_code == 2
    assert f"'{meant}'" in answered.output


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        (("fit", "t.csv", "--target", "y"), "onnx", "trainer"),
        (("evaluate", "m.onnx", "t.csv"), "pyarrow", "trainer"),
        (("serve", "--port", "0"), "gunicorn", "service"),
        (("check",), "onnxruntime", "service"),
    ],
)
def test_command_that_lacks_a_package_names_the_extra(command, package, extra, repository):
    answered = run_without({package}, *command, repository=repository)
    assert answered.returncode == 2
    assert f"needs the package '{package}'" in answered.stderr
    assert f"pip install 'pigeonhole-ml[{extra}]'" in answered.stderr
    assert "Traceback" not in answered.stderr


def test_help_works_without_one_half(repository):
    answered = run_without({"msgspec", "onnxruntime", "flask"}, "--help", repository=repository)
    assert answered.returncode == 0
    assert "fit " in answered.stdout


def test_rejected_run_of_the_trainer_is_one_sentence_and_exit_code_2(tmp_path):
    answered = run("fit", str(tmp_path / "absent.csv"), "--target", "y")
    assert answered.exit_code == 2
    assert answered.output.startswith("Error: ")
    assert len(answered.output.splitlines()) == 1


def test_commands_of_the_repository_are_documented(repository):
    document = (repository / "docs" / "commands.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"| `pigeonhole {command}" in document, command
