"""Programs that use other projects' clients, run in an environment of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOKEN = "a-token-for-the-tests-of-clients"  # noqa: S105 - it grants nothing outside the tests

HANDLERS = ("fast", "flask")

PROGRAMS = Path(__file__).parent / "programs"

PROGRAM_S = 120
"""Seconds that a program may run."""


class Results:
    """The results that one program printed, by call.

    Args:
        program: the program's file name.
        calls: ``{"returned": value}`` or ``{"raised": text}`` of each call.
    """

    def __init__(self, program: str, calls: dict[str, dict[str, Any]]) -> None:
        self.program, self.calls = program, calls

    def __getitem__(self, call: str) -> Any:
        """Return the value that a call returned; fail if it raised."""
        result = self.calls[call]
        assert "returned" in result, f"{self.program}, {call}: {result['raised']}"
        return result["returned"]

    def raised(self, call: str) -> str:
        """Return the error text of a call; fail if it returned."""
        result = self.calls[call]
        assert "raised" in result, f"{self.program}, {call}: {result['returned']}"
        error: str = result["raised"]
        return error


RunClient = Callable[..., Results]


def run_client_program(python: Path, program: str, *arguments: str) -> Results:
    """Run a program of ``programs/`` by this interpreter and read the results that it prints."""
    done = subprocess.run(
        [str(python), str(PROGRAMS / program), *arguments],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Results(program, json.loads(done.stdout))
