"""The Dockerfiles and the locked requirements of the images."""

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


def test_dockerfile_passes_its_linter(dockerfile: Path):
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_packages_are_installed_from_wheels_by_hash(dockerfile: Path):
    (install,) = re.findall(
        r"python -m pip --python .*?(?=\n[A-Z#])", dockerfile.read_text(), re.DOTALL
    )
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install


def test_both_images_share_their_first_layers(repository: Path):
    """A machine with one image pulls only the further layers of the other."""
    bases = [
        re.search(r"FROM \$\{BASE\} AS base\n.*?(?=FROM)", text, re.DOTALL)
        for text in ((repository / f"deploy/{name}.Dockerfile").read_text() for name in PROGRAMS)
    ]
    assert all(bases)
    assert bases[0][0] == bases[1][0]


def test_images_have_the_package_versions_of_the_tests(repository: Path):

    def versions(lock: Path) -> set[str]:
        return set(re.findall(r"^[\w.-]+==[^ ;]+", lock.read_text(), re.MULTILINE))

    requirements = repository / "deploy/requirements"
    locks = [requirements / "trainer.txt", *requirements.glob("service*.txt")]
    assert len(locks) > 3
    for lock in locks:
        assert versions(lock) <= versions(requirements / "dev.txt"), lock.name
