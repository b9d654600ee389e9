"""The service's image: what is in it, what is not, and how it bears being locked in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.containers import ANSWER_S, FREQUENT_CHECKS, HARDENED, Container, Docker

pytestmark = pytest.mark.slow

PUBLISHED = ("--publish", "127.0.0.1::8000")
ANYBODY = ("--env", "PIGEONHOLE_ALLOW_ANONYMOUS=on")
TWO_WORKERS = ("--env", "PIGEONHOLE_WORKERS=2")
ROW = {"instances": [[172, 95]]}

WORKERS = "open('/proc/1/task/1/children').read()"


@pytest.fixture(scope="module")
def service(service_image: str) -> Iterator[Container]:
    """One that anybody may ask, and that may do nothing else; for all tests of this file."""
    started = Container(service_image, *HARDENED, *PUBLISHED, *ANYBODY, *TWO_WORKERS)
    try:
        started.until_ready(2)
        yield started
    finally:
        started.remove()


def run_python(container: Container, program: str) -> str:
    return container.execute("python", "-c", program)


def predict(container: Container, model: str = "bodymass") -> str:
    predict = f"{container.address()}/v1/models/{model}:predict"
    answer = httpx.post(predict, json=ROW, timeout=ANSWER_S)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]["label"]


def test_it_answers_with_a_read_only_root_no_capabilities_and_no_way_to_more(service: Container):
    assert predict(service) == "overweight"
    status = service.execute("cat", "/proc/1/status")
    assert "Uid:\t10001\t10001\t10001\t10001\n" in status
    assert "Gid:\t10001\t10001\t10001\t10001\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status


def test_it_answers_as_a_user_that_nobody_foresaw(
    run_container: Callable[..., Container], service_image: str
):
    """Some clusters give each namespace a user of its own, in the group 0."""
    flags = (*HARDENED, *PUBLISHED, *ANYBODY, "--user", "1000620000:0")
    container = run_container(service_image, *flags, *FREQUENT_CHECKS)
    container.until_healthy()
    assert predict(container) == "overweight"


def test_its_user_may_write_nowhere_but_where_models_and_temporary_files_are(
    docker: Docker, service_image: str
):
    find = "find / -xdev -type d -writable -not -path '/proc/*' 2> /dev/null | sort; true"
    writable = docker("run", "--rm", "--entrypoint", "sh", service_image, "-c", find).split()
    models = [path for path in writable if path.startswith("/models")]
    assert "/models" in models
    assert set(writable) - set(models) == {"/run/lock", "/tmp", "/var/tmp"}  # noqa: S108


def test_it_leaves_nothing_behind_and_reports_to_nobody(
    run_container: Callable[..., Container], service_image: str
):
    """onnxruntime would keep a number for this machine in its home, and send it to its makers."""
    flags = (*PUBLISHED, *ANYBODY, *FREQUENT_CHECKS, "--env", "HOME=/tmp")
    container = run_container(service_image, *flags)
    container.until_healthy()
    assert predict(container) == "overweight"
    assert container.changes() == ""


@pytest.mark.parametrize(
    "module",
    ["pigeonhole.trainer", "onnx", "sklearn", "pyarrow", "pip", "setuptools", "wheel", "ensurepip"],
)
def test_what_it_does_not_need_is_not_there(service: Container, module: str):
    found = f"import importlib.util as i; print(i.find_spec('{module}'))"
    assert run_python(service, found) == "None"
    module = module.rpartition(".")[2]
    left = f"find / -xdev -name '{module}' -o -xdev -name '{module}-*' -o -xdev -name '{module}.*'"
    assert service.execute("sh", "-c", f"{left} 2> /dev/null; true") == ""


@pytest.mark.parametrize("tool", ["pip", "pip3", "cc", "gcc", "make", "git", "curl", "wget"])
def test_a_stranger_finds_no_tools(service: Container, tool: str):
    service.execute("sh", "-c", f"command -v {tool}", exit_code=127)


def test_it_holds_the_service_the_licence_and_the_sample_models_alone(service: Container):
    assert service.execute("ls", "-A", "/app").split() == ["LICENSE", "pigeonhole"]
    assert service.execute("ls", "-A", "/models").split() == ["animals", "bodymass"]
    strays = "find /app /models -name '.*' -o -name '*.toml' -o -name '*.token' -o -name '*.log'"
    assert service.execute("sh", "-c", strays) == ""


def test_the_licences_of_all_packages_are_there(service: Container):
    missing = (
        "import importlib.metadata as m, re; print([str(f) for d in m.distributions() "
        "for f in d.files if re.match('(?i)licen|copying|notice', f.name) "
        "and not f.locate().exists()])"
    )
    assert run_python(service, missing) == "[]"


def test_nothing_is_compiled_at_a_start(service: Container):
    """Its user could not keep what it compiles, and every worker and probe would do it again."""
    uncompiled = (
        "import os, sys; from pigeonhole.service import __main__, app, gunicorn_server, probe; "
        "print([m.__name__ for m in list(sys.modules.values()) "
        "if getattr(m, '__cached__', None) and not os.path.exists(m.__cached__)])"
    )
    assert run_python(service, uncompiled) == "[]"


def test_it_takes_less_than_300_mb(docker: Docker, service_image: str):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", service_image))
    assert size < 300e6


def test_its_labels_say_what_it_is(
    docker: Docker, service_image: str, build_image: Callable[..., str]
):
    def labels(image: str) -> dict[str, str]:
        known = json.loads(docker("image", "inspect", image))[0]["Config"]["Labels"]
        prefix = "org.opencontainers.image."
        return {n.removeprefix(prefix): known[n] for n in known if n.startswith(prefix)}

    assert labels(service_image) == {
        "title": "Pigeonhole service",
        "description": "Serves trained ONNX classifiers over HTTP.",
        "licenses": "MIT",
        "version": "unknown",
        "revision": "unknown",
    }
    told = build_image("service", "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")
    assert labels(told)["version"] == "1.2.3"
    assert labels(told)["revision"] == "abc"


def test_neither_its_history_nor_its_environment_holds_a_secret(docker: Docker, service_image: str):
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", service_image)
    environment = docker("image", "inspect", "--format", "{{json .Config.Env}}", service_image)
    for word in ("token", "password", "secret", "://"):
        assert word not in (history + environment).lower()


def test_a_killed_worker_is_replaced_and_no_dead_one_stays(service: Container):
    before = run_python(service, f"print({WORKERS})").split()
    assert len(before) == 2
    run_python(service, f"import os; os.kill({before[0]}, 9)")

    def replaced() -> bool:
        workers = run_python(service, f"print({WORKERS})").split()
        return len(workers) == len(before) and before[0] not in workers

    service.until(replaced)
    service.until_ready(2)
    assert predict(service) == "overweight"


def test_what_loses_its_parent_is_laid_to_rest(service: Container):
    """The first process of a container inherits orphans; one that never asks keeps them as zombies."""
    service.execute("sh", "-c", "sleep 0.2 &")
    asleep = "grep -ls '^Name:.sleep' /proc/[0-9]*/status; true"
    service.until(lambda: service.execute("sh", "-c", asleep) == "")


def test_a_stop_ends_it_in_peace(run_container: Callable[..., Container], service_image: str):
    container = run_container(service_image, *HARDENED, *PUBLISHED, *ANYBODY)
    container.until_ready()
    assert container.stop() == 0


def test_without_keys_it_does_not_let_everybody_in(docker: Docker, service_image: str):
    said = docker("run", "--rm", *HARDENED, service_image, exit_code=2)
    assert "Refusing to listen on 0.0.0.0 without authentication" in said
    assert "--keys" in said
    assert "--allow-anonymous on" in said


def test_settings_come_from_the_environment(
    run_container: Callable[..., Container], service_image: str
):
    settings = ("PIGEONHOLE_PORT=9000", "PIGEONHOLE_DEFAULT_MODEL=bodymass", "PIGEONHOLE_WORKERS=1")
    flags = [part for setting in settings for part in ("--env", setting)]
    flags += ["--publish", "127.0.0.1::9000", *FREQUENT_CHECKS]
    container = run_container(service_image, *HARDENED, *ANYBODY, *flags)
    container.until_healthy()
    answer = httpx.post(f"{container.address(9000)}/predict", json=ROW, timeout=ANSWER_S)
    assert answer.json()["predictions"][0]["label"] == "overweight"
    assert len(run_python(container, f"print({WORKERS})").split()) == 1


def test_a_setting_that_cannot_be_used_is_named(docker: Docker, service_image: str):
    flags = (*HARDENED, *ANYBODY, "--env", "PIGEONHOLE_WORKERS=many")
    assert "PIGEONHOLE_WORKERS" in docker("run", "--rm", *flags, service_image, exit_code=2)


def test_other_commands_are_a_word_away(docker: Docker, service_image: str):
    checked = docker("run", "--rm", *HARDENED, service_image, "check", "--host", "127.0.0.1")
    assert "bodymass/1: good" in checked


def test_a_container_that_is_not_well_is_called_unhealthy(
    run_container: Callable[..., Container], service_image: str
):
    soon = (*FREQUENT_CHECKS, "--health-retries", "1")
    container = run_container(service_image, *HARDENED, *ANYBODY, *soon)
    container.until_healthy()
    stopped = f"import os, signal; [os.kill(int(p), signal.SIGSTOP) for p in {WORKERS}.split()]"
    run_python(container, stopped)
    container.until(lambda: container.health() == "unhealthy")


def test_an_image_of_ones_own_carries_its_models(
    docker: Docker, service_image: str, write_model: Callable[..., Path], tmp_path: Path
):
    write_model(tmp_path / "models", "mine")
    recipe = f"FROM {service_image}\nCOPY --chown=10001:10001 models /models\n"
    (tmp_path / "Dockerfile").write_text(recipe)
    own = docker("build", "--quiet", str(tmp_path)).splitlines()[-1]
    checked = docker("run", "--rm", *HARDENED, own, "check", "--host", "127.0.0.1")
    assert "mine/1: good" in checked
