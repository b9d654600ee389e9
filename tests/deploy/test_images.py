"""The service's image: its contents, its size, and its behavior when hardened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.containers import ANSWER_S, FREQUENT_CHECKS, HARDENED, Container, Docker

pytestmark = pytest.mark.slow

PUBLISHED = ("--publish", "127.0.0.1::8000")
ANONYMOUS = ("--env", "PIGEONHOLE_ALLOW_ANONYMOUS=on")
TWO_WORKERS = ("--env", "PIGEONHOLE_WORKERS=2")
ROW = {"instances": [[172, 95]]}

WORKERS = "open('/proc/1/task/1/children').read()"


@pytest.fixture(scope="module")
def service(service_image: str) -> Iterator[Container]:
    """A hardened container without keys, for all tests of this file."""
    started = Container(service_image, *HARDENED, *PUBLISHED, *ANONYMOUS, *TWO_WORKERS)
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


def test_hardened_container_predicts_without_privileges(service: Container):
    assert predict(service) == "overweight"
    status = service.execute("cat", "/proc/1/status")
    assert "Uid:\t10001\t10001\t10001\t10001\n" in status
    assert "Gid:\t10001\t10001\t10001\t10001\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status


def test_container_runs_as_any_user_in_group_0(
    run_container: Callable[..., Container], service_image: str
):
    """Some clusters run each namespace as its own user, in group 0."""
    flags = (*HARDENED, *PUBLISHED, *ANONYMOUS, "--user", "1000620000:0")
    container = run_container(service_image, *flags, *FREQUENT_CHECKS)
    container.until_healthy()
    assert predict(container) == "overweight"


def test_user_can_write_only_models_and_temporary_files(docker: Docker, service_image: str):
    find = "find / -xdev -type d -writable -not -path '/proc/*' 2> /dev/null | sort; true"
    writable = docker("run", "--rm", "--entrypoint", "sh", service_image, "-c", find).split()
    models = [path for path in writable if path.startswith("/models")]
    assert "/models" in models
    assert set(writable) - set(models) == {"/run/lock", "/tmp", "/var/tmp"}  # noqa: S108


def test_container_writes_no_file_and_sends_no_telemetry(
    run_container: Callable[..., Container], service_image: str
):
    """With telemetry on, onnxruntime stores a machine id in its home and sends it."""
    flags = (*PUBLISHED, *ANONYMOUS, *FREQUENT_CHECKS, "--env", "HOME=/tmp")
    container = run_container(service_image, *flags)
    container.until_healthy()
    assert predict(container) == "overweight"
    assert container.changes() == ""


@pytest.mark.parametrize(
    "module",
    ["pigeonhole.trainer", "onnx", "sklearn", "pyarrow", "pip", "setuptools", "wheel", "ensurepip"],
)
def test_image_lacks_packages_that_the_service_does_not_need(service: Container, module: str):
    found = f"import importlib.util as i; print(i.find_spec('{module}'))"
    assert run_python(service, found) == "None"
    module = module.rpartition(".")[2]
    left = f"find / -xdev -name '{module}' -o -xdev -name '{module}-*' -o -xdev -name '{module}.*'"
    assert service.execute("sh", "-c", f"{left} 2> /dev/null; true") == ""


@pytest.mark.parametrize("tool", ["pip", "pip3", "cc", "gcc", "make", "git", "curl", "wget"])
def test_image_lacks_tools_for_an_intruder(service: Container, tool: str):
    service.execute("sh", "-c", f"command -v {tool}", exit_code=127)


def test_image_holds_only_the_service_the_license_and_sample_models(service: Container):
    assert service.execute("ls", "-A", "/app").split() == ["LICENSE", "pigeonhole"]
    assert service.execute("ls", "-A", "/models").split() == ["animals", "bodymass"]
    strays = "find /app /models -name '.*' -o -name '*.toml' -o -name '*.token' -o -name '*.log'"
    assert service.execute("sh", "-c", strays) == ""


def test_image_has_the_licenses_of_all_packages(service: Container):
    missing = (
        "import importlib.metadata as m, re; print([str(f) for d in m.distributions() "
        "for f in d.files if re.match('(?i)licen|copying|notice', f.name) "
        "and not f.locate().exists()])"
    )
    assert run_python(service, missing) == "[]"


def test_all_modules_are_compiled_in_the_image(service: Container):
    """The user can't store compiled modules: every worker and probe would compile them again."""
    uncompiled = (
        "import os, sys; from pigeonhole.service import __main__, app, gunicorn_server, probe; "
        "print([m.__name__ for m in list(sys.modules.values()) "
        "if getattr(m, '__cached__', None) and not os.path.exists(m.__cached__)])"
    )
    assert run_python(service, uncompiled) == "[]"


def test_image_is_smaller_than_300_mb(docker: Docker, service_image: str):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", service_image))
    assert size < 300e6


def test_labels_state_title_license_version_and_revision(
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
    released = build_image("service", "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abc")
    assert labels(released)["version"] == "1.2.3"
    assert labels(released)["revision"] == "abc"


def test_history_and_environment_hold_no_secret(docker: Docker, service_image: str):
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", service_image)
    environment = docker("image", "inspect", "--format", "{{json .Config.Env}}", service_image)
    for word in ("token", "password", "secret", "://"):
        assert word not in (history + environment).lower()


def test_killed_worker_is_replaced_and_reaped(service: Container):
    before = run_python(service, f"print({WORKERS})").split()
    assert len(before) == 2
    run_python(service, f"import os; os.kill({before[0]}, 9)")

    def replaced() -> bool:
        workers = run_python(service, f"print({WORKERS})").split()
        return len(workers) == len(before) and before[0] not in workers

    service.until(replaced)
    service.until_ready(2)
    assert predict(service) == "overweight"


def test_orphaned_process_is_reaped(service: Container):
    """The first process of a container inherits orphans; if it does not wait, they stay zombies."""
    service.execute("sh", "-c", "sleep 0.2 &")
    asleep = "grep -ls '^Name:.sleep' /proc/[0-9]*/status; true"
    service.until(lambda: service.execute("sh", "-c", asleep) == "")


def test_stop_exits_with_code_0(run_container: Callable[..., Container], service_image: str):
    container = run_container(service_image, *HARDENED, *PUBLISHED, *ANONYMOUS)
    container.until_ready()
    assert container.stop() == 0


def test_service_without_keys_refuses_to_start(docker: Docker, service_image: str):
    printed = docker("run", "--rm", *HARDENED, service_image, exit_code=2)
    assert "Refusing to listen on 0.0.0.0 without authentication" in printed
    assert "--keys" in printed
    assert "--allow-anonymous on" in printed


def test_settings_come_from_the_environment(
    run_container: Callable[..., Container], service_image: str
):
    settings = ("PIGEONHOLE_PORT=9000", "PIGEONHOLE_DEFAULT_MODEL=bodymass", "PIGEONHOLE_WORKERS=1")
    flags = [part for setting in settings for part in ("--env", setting)]
    flags += ["--publish", "127.0.0.1::9000", *FREQUENT_CHECKS]
    container = run_container(service_image, *HARDENED, *ANONYMOUS, *flags)
    container.until_healthy()
    answer = httpx.post(f"{container.address(9000)}/predict", json=ROW, timeout=ANSWER_S)
    assert answer.json()["predictions"][0]["label"] == "overweight"
    assert len(run_python(container, f"print({WORKERS})").split()) == 1


def test_error_names_the_invalid_setting(docker: Docker, service_image: str):
    flags = (*HARDENED, *ANONYMOUS, "--env", "PIGEONHOLE_WORKERS=many")
    assert "PIGEONHOLE_WORKERS" in docker("run", "--rm", *flags, service_image, exit_code=2)


def test_image_runs_other_commands(docker: Docker, service_image: str):
    checked = docker("run", "--rm", *HARDENED, service_image, "check", "--host", "127.0.0.1")
    assert "bodymass/1: ok" in checked


def test_container_with_stopped_workers_is_unhealthy(
    run_container: Callable[..., Container], service_image: str
):
    soon = (*FREQUENT_CHECKS, "--health-retries", "1")
    container = run_container(service_image, *HARDENED, *ANONYMOUS, *soon)
    container.until_healthy()
    stopped = f"import os, signal; [os.kill(int(p), signal.SIGSTOP) for p in {WORKERS}.split()]"
    run_python(container, stopped)
    container.until(lambda: container.health() == "unhealthy")


def test_derived_image_carries_its_own_models(
    docker: Docker, service_image: str, write_model: Callable[..., Path], tmp_path: Path
):
    write_model(tmp_path / "models", "mine")
    recipe = f"FROM {service_image}\nCOPY --chown=10001:10001 models /models\n"
    (tmp_path / "Dockerfile").write_text(recipe)
    own = docker("build", "--quiet", str(tmp_path)).splitlines()[-1]
    checked = docker("run", "--rm", *HARDENED, own, "check", "--host", "127.0.0.1")
    assert "mine/1: ok" in checked
