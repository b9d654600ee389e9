"""Fixtures of all tests: the checkout, tiny models, running services and external programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.clients.client_programs import RunClient, run_client_program
from tests.programs import find_program, skip_or_fail
from tests.running_service import RunningService
from tests.tiny_models import write_bodymass_model

# No deadline: on a busy machine one example may take much longer than the others.
settings.register_profile("default", deadline=None, max_examples=33)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

REPOSITORY = Path(__file__).resolve().parent.parent

NOBODY = 65534
"""Id of the user that owns no files."""

FindProgram = Callable[[str, str], str]
WriteModel = Callable[..., Path]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for xdist, slow groups first; mark the tests that need a program.

    A file shares its services; Docker tests share images, and tests of clients share services.
    Docker tests come first because they mostly wait, and others run meanwhile.
    """
    for item in items:
        if "program" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.program)
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(
        key=lambda item: (
            _group(item) not in ("compose", "docker"),
            item.get_closest_marker("slow") is None,
        )
    )


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "fixturenames", ())
    for name in ("compose", "docker"):
        if name in fixtures:
            return name
    folder = item.path.parent
    return "clients" if folder.name == "clients" else str(item.path.relative_to(REPOSITORY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Stop if xdist ignores the groups: each process would start the services of every group."""
    if node.config.getoption("dist") == "loadgroup" and ids and "@" not in ids[0]:
        pytest.exit("this version of pytest-xdist does not group tests with this pytest", 4)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Report a KeyboardInterrupt in a process of xdist as the test's failure.

    Some tests send this process Ctrl-C. If one does not catch it, the other tests still run; the
    Ctrl-C of a user ends the run in the main process.
    """
    try:
        return (yield)
    except KeyboardInterrupt:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            raise
        pytest.fail("the test raised KeyboardInterrupt")


@pytest.fixture(scope="session", autouse=True)
def one_name_per_module() -> Iterator[None]:
    """Fails if the session imported the packages by their folders' names as well."""
    yield
    doubles = [name for name in sys.modules if name.partition(".")[0] in ("service", "trainer")]
    assert not doubles, f"import these as pigeonhole.service and pigeonhole.trainer: {doubles}"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def checkout() -> list[Path]:
    """The relative path of every file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = map(Path, filter(None, listed.split("\0")))
    return [
        name for name in names if (REPOSITORY / name).is_file() or (REPOSITORY / name).is_symlink()
    ]


@pytest.fixture(scope="session")
def tables() -> Path:
    """The folder of real tables, which are not part of the repository."""
    folder = Path(os.environ.get("PIGEONHOLE_TABLES", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real tables are not in {folder}; set PIGEONHOLE_TABLES")
    return folder


@pytest.fixture(scope="session")
def program() -> FindProgram:
    """Returns the path of a program; without it the test skips, or fails under CI."""
    return find_program


@pytest.fixture(scope="session")
def run_client() -> RunClient:
    """Runs a program that uses other projects' clients, once for the same arguments."""
    python = REPOSITORY / "build" / "clients" / "bin" / "python"
    if not python.exists():
        skip_or_fail("the clients are not installed in build/clients: run make test")
    return cache(partial(run_client_program, python))


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A new folder, and a test process that is not root while the test runs."""
    user = os.geteuid()
    folder = Path(tempfile.mkdtemp())
    if user == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Writes the bodymass model: see `tests.tiny_models.write_bodymass_model`."""
    return write_bodymass_model


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningService]]:
    """Starts services; those that still run are stopped after the module's tests."""
    services: list[RunningService] = []

    def start(models: Path, *flags: str, **variables: str) -> RunningService:
        log = tmp_path_factory.mktemp("service") / "stderr"
        services.append(RunningService(models, log, *flags, **variables))
        return services[-1]

    yield start
    for service in services:
        service.stop()
