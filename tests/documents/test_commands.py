"""Run every command of the documents in a copy of the checkout, and compare its output.

A block fenced as ``console`` holds commands after ``$ `` and their output below. Three dots match any
text within a line, and any lines on a line of their own. A service that a document starts runs until
the end of that document.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "docs/http.md", "docs/training.md", "docs/operations.md")

BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PORT = "8000"
"""The port in the documents; the tests replace it by a free one."""

SERVERS = re.compile(r"^(make serve|pigeonhole serve)\b")

COMMAND_S = 240


@dataclass
class Step:
    """A command and its output in the document."""

    command: str
    expected: list[str] = field(default_factory=list)


def steps(document: str) -> list[Step]:
    """Return the commands of a document; a backslash continues a command on the next line."""
    found: list[Step] = []
    continued = False
    for language, block in BLOCK.findall(document):
        if language == "python":
            found.append(Step(f"python - <<'END'\n{block}END"))
            continue
        for line in block.splitlines():
            if continued:
                found[-1].command += "\n" + line
            elif line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].expected.append(line)
            continued = line.endswith("\\") and (continued or line.startswith("$ "))
    return found


def pattern(expected: list[str]) -> re.Pattern[str]:
    """Return the pattern of an expected output."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.rstrip().split("..."))) + r"[ ]*\n")
    return re.compile("".join(parts))


class Reader:
    """A reader who follows a document in a copy of the checkout."""

    def __init__(self, checkout: Path, port: int) -> None:
        self.checkout, self.port = checkout, str(port)
        self.server: subprocess.Popen[bytes] | None = None
        venv = checkout / ".venv" / "bin"
        # Only the document sets settings, and its commands do not run under the make of the tests.
        foreign = ("PIGEONHOLE_", "MAKE", "MFLAGS")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        self.environment = clean | {"PATH": f"{venv}:{os.environ['PATH']}", "COLUMNS": "100"}

    def follow(self, step: Step) -> None:
        """Run a step and compare its output."""
        command = step.command.replace(PORT, self.port)
        if SERVERS.match(command):
            self.serve(command)
            return
        ran = subprocess.run(
            ["bash", "-c", command],
            cwd=self.checkout,
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_S,
        )
        got = ran.stdout if ran.stdout.endswith("\n") or not ran.stdout else ran.stdout + "\n"
        got = got.replace(self.port, PORT)
        assert pattern(step.expected).fullmatch(got), (
            f"$ {step.command}\nprinted (exit code {ran.returncode})\n{got}\n"
            "the document shows\n" + "\n".join(step.expected)
        )

    def serve(self, command: str) -> None:
        """Start a service instead of the earlier one, and wait until it is ready."""
        self.stop()
        if command.startswith("make serve"):
            command += f" PORT={self.port}"
        self.server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.checkout,
            env=self.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                url = f"http://127.0.0.1:{self.port}/health/ready"
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                assert self.server.poll() is None, f"{command} ended"
                time.sleep(0.1)
        pytest.fail(f"{command} was not ready within 60 s")

    def stop(self) -> None:
        """Stop the service."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGTERM)
            self.server.wait(timeout=60)
            self.server = None


@pytest.fixture
def reader(tmp_path: Path, repository: Path, checkout: list[Path], program) -> Iterator[Reader]:
    program("curl", "curl")
    copy = tmp_path / "pigeonhole"
    for name in checkout:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(repository / name, copy / name, follow_symlinks=False)
    # The copy uses this environment's packages. Its own stamps keep `make install` from installing
    # the copy into this environment.
    (copy / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.suffix == ".stamp":
            (copy / ".venv" / path.name).touch()
        else:
            (copy / ".venv" / path.name).symlink_to(path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reader = Reader(copy, port)
    yield reader
    reader.stop()


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_shows_the_output_of_its_commands(
    reader: Reader, repository: Path, document: str
) -> None:
    found = steps((repository / document).read_text("utf-8"))
    assert found, f"{document} has no commands"
    for step in found:
        reader.follow(step)
