from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pigeonhole.trainer.__main__ import main
from pigeonhole.trainer.settings import Settings, flag_of

Run = Callable[..., subprocess.CompletedProcess[str]]

TIMEOUT_S = 60


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "pigeonhole", *map(str, arguments)]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The body mass sample as a table."""
    made = subprocess.run(
        command("sample", "bodymass", "--rows", "300"),
        cwd=repository,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    path = tmp_path_factory.mktemp("tables") / "people.csv"
    path.write_bytes(made.stdout)
    return path


@pytest.fixture
def run(repository: Path) -> Run:
    """Runs ``pigeonhole`` with these arguments, without a terminal."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=repository,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    return run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def assert_rejected(
    finished: subprocess.CompletedProcess[str], models: Path, expected: str
) -> None:
    """Exit code 2, one sentence on standard error, and nothing published."""
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.startswith("Error: ")
    assert expected in line
    assert not models.exists()


def test_fit_prints_findings_layers_scores_and_path(
    run: Run, people: Path, tmp_path: Path, models: Path
) -> None:
    table = tmp_path / "people.csv"
    table.write_text(people.read_text("utf-8") + "170,,overweight\n,80,\n", "utf-8")
    fitted = run(
        *("fit", table, "--target", "bodymass", "--name", "people", "--models", models),
        *("--preset", "classic", "--hidden", "", "--epochs", "30", "--drop", "height_cm"),
    )
    assert (fitted.returncode, fitted.stderr) == (0, "")
    output = fitted.stdout
    assert f"{table}: 301 labeled rows, 1 numbers and 0 categories, 2 classes\n" in output
    assert "  - Dropped 1 row without a label in 'bodymass'" in output
    assert "  - 1 cell missing in 1 row of 301: 'weight_kg' 1.\n" in output
    assert "Rows: 241 for training and validation, 60 for test\n" in output
    assert "1  Dense, softmax  (None, 2)           4" in output
    assert re.search(
        r"Fitted \d+ epochs in [\d.]+ s, stopped by (the epoch limit|patience);", output
    )
    for method in ("people", "commonest class", "15 nearest neighbors", "logistic regression"):
        assert re.search(rf"^{method} +([01]\.\d{{4}} +){{2}}\d+\.\d{{4}}", output, re.MULTILINE)
    assert re.search(r"^true \\ predicted +overweight +underweight$", output, re.MULTILINE)
    path = models / "people" / "1" / "model.onnx"
    assert "people" in path.with_name("report.html").read_text("utf-8")
    assert output.endswith(f"\nPublished {path}\n")
    inspected = run("inspect", path)
    assert (inspected.returncode, inspected.stderr) == (0, "")
    assert "Classes: overweight, underweight" in inspected.stdout


def test_flag_overrides_the_settings_file(
    run: Run, people: Path, tmp_path: Path, models: Path
) -> None:
    file = tmp_path / "people.toml"
    file.write_text(
        'preset = "classic"\nhidden = [3]\nepochs = 2\nreport = false\n'
        f'target = "bodymass"\nname = "people"\nmodels = "{models}"\n'
    )
    fitted = run("fit", people, "--settings", file, "--name", "others")
    assert (fitted.returncode, fitted.stderr) == (0, "")
    assert "1  Dense, relu     (None, 3)" in fitted.stdout
    assert f"Published {models / 'others' / '1' / 'model.onnx'}" in fitted.stdout


def test_output_follows_the_flags(run: Run, people: Path, models: Path) -> None:
    fitted = run(
        *("fit", people, "--target", "bodymass", "--name", "people", "--models", models),
        *("--hidden", "4", "--epochs", "2", "--ensemble", "3", "--cv", "2", "--report", "off"),
        *("--threshold", "f1", "--positive", "underweight", "--kind", "height_cm=category"),
    )
    assert (fitted.returncode, fitted.stderr) == (0, "")
    output = fitted.stdout
    assert "1 numbers and 1 categories" in output
    assert "Cross-validation, 2 folds (mean and standard deviation):" in output
    assert "(first of 3 networks)" in output
    assert re.search(r"predicts 'underweight' from a probability of [01]\.\d{4} on\.", output)
    assert not (models / "people" / "1" / "report.html").exists()


@pytest.mark.parametrize(
    ("content", "flags", "expected"),
    [
        (None, (), "the file does not exist"),
        ("a,b\n1,x\n2,y\n", (), "column 'y': the column does not exist"),
        ("a,Y\n1,x\n2,y\n", (), "did you mean 'Y'?"),
        ("a,y\n1,x\n2,x\n", (), "every row has the class 'x'"),
        ("a,y\n1,x\n2,x\n3,z\n", (), "the class 'z' has a single row"),
        ("a,y\n1,x\n2\n", (), "row 3: expected 2 cells, as in the header, found 1"),
        (b"a,y\n1,x\n2,\xe9\n", (), "row 3: byte 0xE9 is not UTF-8"),
        ("a,y\n", (), "the table has a header but no rows"),
        ("a,y\n1,x\n1,z\n1,x\n1,z\n", (), "no column is left to learn from"),
        ("a,y\n1,x\n2,z\n", ("--drop", "b"), "column 'b': the column does not exist"),
        ("a,y\n1,x\n2,z\n3,x\n4,z\n", ("--test", "none.csv"), "none.csv: the file does not exist"),
        ("a,y\n1,x\n2,z\n", ("--dropout", "2"), "--dropout: is '2', expected a number of at"),
        ("a,y\n1,x\n2,z\n", ("--preset", "new"), "--preset: is 'new', expected one of default, cl"),
        ("a,y\n1,x\n2,z\n", ("--refit", "on"), "--refit: is for one network; add --ensemble 1"),
        ("a,y\n1,x\n2,z\n", ("--cv", "1"), "--cv: is 1, expected 0 for none, or at least 2 folds"),
        ("a,y\n1,x\n2,z\n", ("--kind", "a=text"), "--kind: is 'a=text', expected COLUMN=KIND"),
        ("a,y\n1,x\n2,z\n", ("--name", "a/b"), "--name: is 'a/b', expected a letter or digit"),
        ("a,y\n1,x\n2,z\n", ("--settings", "none.toml"), "none.toml can't be read: No such file"),
    ],
    ids=[
        *("no file", "no column", "similar column", "one class", "single row", "ragged"),
        *("not UTF-8", "no rows", "constant", "drop", "no test table", "setting"),
        *("preset", "refit", "cross-validation", "kind", "name"),
        "no settings file",
    ],
)
def test_invalid_input_is_named_in_one_sentence(
    run: Run,
    tmp_path: Path,
    models: Path,
    content: str | bytes | None,
    flags: tuple[str, ...],
    expected: str,
) -> None:
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_bytes(content.encode() if isinstance(content, str) else content)
    stated = ("fit", table, "--target", "y", "--name", "m", "--models", models)
    assert_rejected(run(*stated, *flags), models, expected)


def test_model_folder_that_is_a_file_is_rejected(run: Run, people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.write_text("mine")
    fitted = run(
        *("fit", people, "--target", "bodymass", "--name", "m", "--models", folder),
        *("--epochs", "1"),
    )
    assert fitted.returncode == 2
    assert fitted.stderr == f"Error: {folder / 'm'} can't be written: {folder} is not a folder\n"
    assert folder.read_text() == "mine"


def test_fit_without_a_table_is_rejected(run: Run, models: Path) -> None:
    assert_rejected(run("fit", "--models", models), models, "TABLE: is required")


def test_missing_model_file_is_named_in_one_sentence(run: Run, models: Path) -> None:
    assert_rejected(
        run("inspect", models), models, f"{models} can't be read: No such file or directory"
    )


def test_help_lists_every_setting_with_its_default(run: Run) -> None:
    shown = run("fit", "--help")
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    for setting in fields(Settings):
        if setting.name != "table":
            assert f" {flag_of(setting.name)} " in text
            assert setting.metadata["help"] in text
    assert "[default: 256,256,256; classic: 64,64]" in text
    assert (
        "One of constant, cosine, flat_cosine, coslog4. [default: coslog4; classic: cosine]" in text
    )
    assert "[default: off]" in text


def test_fit_publishes_under_the_tables_file_name_by_default(
    run: Run, people: Path, models: Path
) -> None:
    flags = ("--preset", "classic", "--hidden", "", "--epochs", "1", "--report", "off")
    fitted = run("fit", people, "--target", "bodymass", "--models", models, *flags)
    assert "\nModel name: people (from the file name; --name sets another)\n" in fitted.stdout
    assert f"Published {models / 'people' / '1' / 'model.onnx'}" in fitted.stdout


def test_same_fit_again_is_not_published_again(run: Run, people: Path, models: Path) -> None:
    flags = ("--preset", "classic", "--hidden", "", "--epochs", "1", "--report", "off")
    first, again = (
        run("fit", people, "--target", "bodymass", "--models", models, *flags) for _ in range(2)
    )
    path = models / "people" / "1" / "model.onnx"
    assert first.stdout.endswith(f"Published {path}\n")
    assert again.stdout.endswith(f"Not published again: {path} has the same content\n")


@pytest.mark.parametrize("command", ["fit", "evaluate", "inspect", "sample"])
def test_summary_of_a_command_fits_a_line(command: str) -> None:
    summary = main.commands[command].help.splitlines()[0]
    assert len(summary) <= 60
    assert summary.endswith(".")


@pytest.mark.parametrize(("name", "columns"), [("bodymass", 3), ("animals", 9)])
def test_same_seed_gives_the_same_sample(run: Run, name: str, columns: int) -> None:
    first, again = (run("sample", name, "--rows", "50") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    assert len(lines) == 51
    assert {line.count(",") for line in lines} == {columns - 1}
    assert first.stdout == again.stdout
    assert first.stdout != run("sample", name, "--rows", "50", "--seed", "1").stdout


def test_unknown_sample_is_rejected(run: Run) -> None:
    sample = run("sample", "unicorns")
    assert sample.returncode == 2
    assert "unknown sample 'unicorns'; expected one of bodymass, animals" in sample.stderr


def test_closed_pipe_prints_no_error(repository: Path) -> None:
    with subprocess.Popen(
        command("sample", "animals", "--rows", "20000"),
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sample:
        first = sample.stdout.readline()
        sample.stdout.close()
        assert sample.stderr.read() == ""
    assert first.startswith("mass_kg,")


@contextmanager
def endless_fit(table: Path, models: Path, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a fit that runs until it is interrupted; kill it at the end."""
    stated = ("fit", table, "--target", "bodymass", "--name", "people", "--models", models)
    endless = ("--epochs", "100000000", "--patience", "100000000")
    # The child must react to SIGINT, even if this process was started with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        fit = subprocess.Popen(
            command(*stated, *endless), stdout=subprocess.PIPE, text=True, **streams
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with fit:
        try:
            yield fit
        finally:
            fit.kill()


def test_interrupted_fit_publishes_nothing(people: Path, repository: Path, models: Path) -> None:
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with endless_fit(people, models, cwd=repository, **streams) as fit:
        for line in fit.stdout:
            if "Dense, softmax" in line:  # printed before the fit
                break
        fit.send_signal(signal.SIGINT)
        _, errors = fit.communicate(timeout=TIMEOUT_S)
    assert fit.returncode == 130
    assert errors == "Interrupted; nothing was published.\n"
    assert not models.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("\x04", 130)])
def test_interrupted_fit_asks_on_a_terminal_whether_to_publish(
    people: Path, repository: Path, models: Path, answer: str, code: int
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    streams = {"stdin": theirs, "stderr": theirs}
    with endless_fit(people, models, cwd=repository, **streams) as fit:
        os.close(theirs)
        read_until(ours, "loss=")  # the first epoch has ended
        fit.send_signal(signal.SIGINT)
        read_until(ours, "[y/N]")
        os.write(ours, answer.encode())
        output, _ = fit.communicate(timeout=TIMEOUT_S)
    os.close(ours)
    assert fit.returncode == code
    assert "stopped by interruption" in output
    assert ("Published" in output) == models.exists() == (code == 0)


def read_until(terminal: int, text: str) -> None:
    """Read from a terminal up to this text; fail if nothing comes for a while."""
    received = ""
    while text not in received:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_S)
        assert ready, received
        received += os.read(terminal, 1024).decode()
