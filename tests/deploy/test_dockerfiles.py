"""The Dockerfiles: as their linter wants them, and made of what is locked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = ("service", "trainer")


@pytest.fixture(params=PROGRAMS)
def dockerfile(request, repository: Path) -> Path:
    return repository / f"deploy/{request.param}.Dockerfile"


def test_the_linter_has_no_complaint(dockerfile: Path):
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_everything_is_installed_by_its_hash_and_nothing_is_compiled(dockerfile: Path):
    (install,) = re.findall(
        r"python -m pip --python .*?(?=\n[A-Z#])", dockerfile.read_text(), re.DOTALL
    )
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install


def test_both_images_start_from_the_same_layers(repository: Path):
    """So that a machine that has one image loads only the rest of the other."""
    starts = [
        re.search(r"FROM \$\{BASE\} AS base\n.*?(?=FROM)", text, re.DOTALL)
        for text in ((repository / f"deploy/{name}.Dockerfile").read_text() for name in PROGRAMS)
    ]
    assert starts[0]
    assert starts[1]
    assert starts[0][0] == starts[1][0]


def test_what_is_shipped_is_what_is_tested(repository: Path):
    """Each package has in every lock that an image can be made of the version that the tests had."""

    def versions(lock: Path) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[^ ;]+", lock.read_text(), re.MULTILINE))

    requirements = repository / "deploy/requirements"
    shipped = [requirements / "trainer.txt", *requirements.glob("service*.txt")]
    assert len(shipped) > 3
    for lock in shipped:
        assert versions(lock) <= versions(requirements / "dev.txt"), lock.name
