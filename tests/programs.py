"""Programs that only tests need: a test without its program skips, and under CI it fails."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def find_program(name: str, package: str) -> str:
    """Return the path of a program; without it, end the test with the package to install."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(f"{name} is not installed: apt-get install {package}")
    return path


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; fail it under CI, which installs everything that tests need."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
