"""The Compose project as ``make up`` starts it: predictions, metrics, training and restarts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.composed import (
    BASE,
    REPLICAS,
    Project,
    copied,
    has_image,
    pinned_image,
    until,
)
from tests.programs import skip_or_fail

slow = pytest.mark.slow

OVERLAYS = (
    BASE,
    (*BASE, "deploy/compose/keys.yml"),
    (*BASE, REPLICAS),
)


@pytest.fixture(scope="session")
def monitoring(docker, repository) -> dict[str, bool]:
    """Whether the image of Prometheus, and of Grafana, is on this machine."""
    return {
        name: has_image(pinned_image(repository, f"{name.upper()}_IMAGE"))
        for name in ("prometheus", "grafana")
    }


@pytest.fixture(scope="module")
def folder(checkout, repository, tmp_path_factory) -> Path:
    return copied(checkout, repository, tmp_path_factory.mktemp("composed"))


@pytest.fixture(scope="module")
def project(docker, compose, monitoring, service_image, trainer_image, folder) -> Iterator[Project]:
    """The project that ``make up`` started, with Prometheus if its image is there.

    `service_image` puts the steps of the build into the cache, once for all test processes.
    """
    built = f"pigeonhole-service:test-{uuid.uuid4().hex[:12]}"
    variables = {
        "SERVICE_IMAGE": built,
        "TRAINER_IMAGE": trainer_image,
        "COMPOSE_PROFILES": "monitoring" if monitoring["prometheus"] else "",
        "TABLES": "./tables",
    }
    try:
        with Project(folder, **variables) as project:
            project.printed = project.run("make", "up")
            yield project
    finally:
        if has_image(built):
            docker("image", "rm", "--no-prune", built)


@slow
def test_make_up_prints_addresses_and_a_working_example(project, program) -> None:
    program("curl", "curl")
    assert f"service     {project.address}\n" in project.printed
    (curl,) = re.findall(r"^  (curl .*)$", project.printed, re.MULTILINE)
    assert '"label":"overweight"' in project.run("sh", "-c", curl.replace("curl ", "curl -s ", 1))


@slow
def test_make_up_writes_settings_with_a_private_password(project) -> None:
    settings = project.folder / ".env"
    assert settings.stat().st_mode & 0o777 == 0o600
    password = re.findall(r"^GRAFANA_PASSWORD=([0-9a-f]{32})$", settings.read_text(), re.MULTILINE)
    assert len(set(password[0])) > 4


@slow
def test_make_up_continues_without_grafanas_image(project, monitoring) -> None:
    if monitoring["grafana"] or not monitoring["prometheus"]:
        pytest.skip("this machine has Grafana's image, or lacks that of Prometheus")
    assert "Continuing without Grafana" in project.printed
    assert f"Prometheus  {project.prometheus}\n" in project.printed


@slow
def test_prometheus_scrapes_every_target_and_evaluates_its_rules(
    project, monitoring, repository
) -> None:
    if not monitoring["prometheus"]:
        image = pinned_image(repository, "PROMETHEUS_IMAGE")
        skip_or_fail(f"the image {image} is missing: pull it, or run tests/deploy/stand_ins/build")
    assert project.answers()
    asked = 'pigeonhole_requests_total{job="pigeonhole", model="bodymass", code="200"}'
    until(lambda: project.query(asked))
    (series,) = project.query(asked)
    assert float(series["value"][1]) >= 1
    with httpx.Client(base_url=project.prometheus, trust_env=False) as client:
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) > 10
        assert [rule for rule in rules if rule.get("lastError")] == []

        def are_up() -> bool:  # a target that was not scraped yet is "unknown"
            targets = client.get("/api/v1/targets").json()["data"]["activeTargets"]
            return {target["health"] for target in targets} == {"up"}

        until(are_up)


@slow
def test_every_container_is_hardened_and_limited(project, monitoring) -> None:
    for name in ("service", *(("prometheus",) if monitoring["prometheus"] else ())):
        known = project.container(name)
        host = known["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0
        assert host["NanoCpus"] > 0
        assert host["PidsLimit"] > 0
        assert host["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-file": "3", "max-size": "10m"},
        }
        assert known["Config"]["User"] not in ("", "root", "0")
        for published in host["PortBindings"].values():
            assert {one["HostIp"] for one in published} == {"127.0.0.1"}


@slow
def test_fitted_model_is_served_without_a_restart(project) -> None:
    before = project.container("service")["State"]["StartedAt"]
    tables = project.folder / "tables"
    tables.mkdir(exist_ok=True)
    with (tables / "table.csv").open("wb") as table:
        sample = [sys.executable, "-m", "pigeonhole", "sample", "bodymass", "--rows", "300"]
        subprocess.run(sample, check=True, stdout=table)
    project.compose(
        *("run", "--rm", "trainer", "fit", "/data/table.csv", "--target", "bodymass"),
        *("--name", "fresh", "--preset", "classic", "--hidden", "3", "--epochs", "20"),
    )
    project.wait_for_answer("fresh")
    assert project.answers("bodymass")
    assert project.container("service")["State"]["StartedAt"] == before


@slow
def test_killed_service_restarts(project) -> None:
    before = project.container("service")
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    until(lambda: project.container("service")["RestartCount"] == before["RestartCount"] + 1)
    project.wait_for_answer()


@slow
def test_make_down_keeps_volumes_for_the_next_make_up(project) -> None:
    project.run("make", "down")
    name = project.environment["COMPOSE_PROJECT_NAME"]
    label = f"label=com.docker.compose.project={name}"
    assert project.run("docker", "ps", "--all", "--quiet", "--filter", label) == ""
    kept = project.run("docker", "volume", "ls", "--quiet", "--filter", label).split()
    assert f"{name}_models" in kept
    assert "Made .env" not in project.run("make", "up")
    project.wait_for_answer("fresh")


@slow
def test_with_keys_anonymous_clients_are_rejected_and_prometheus_scrapes(
    compose, monitoring, service_image, checkout, repository, tmp_path
) -> None:
    folder = copied(checkout, repository, tmp_path)
    keys = folder / "keys"
    keys.mkdir()
    mounted = ("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{keys}:/keys")
    make = ["docker", "run", "--rm", *mounted, service_image, "key", "--keys", "/keys/keys.toml"]
    for name, scopes in (("alice", "predict,read"), ("prometheus", "metrics")):
        with (keys / f"{name}.token").open("wb") as token:
            subprocess.run([*make, name, "--scopes", scopes], check=True, stdout=token)
    alice = {"Authorization": f"Bearer {(keys / 'alice.token').read_text().strip()}"}
    with Project(folder, OVERLAYS[1], SERVICE_IMAGE=service_image) as project:
        project.up("service", *(("prometheus",) if monitoring["prometheus"] else ()))
        assert not project.answers()
        assert project.answers(headers=alice)
        if monitoring["prometheus"]:
            until(lambda: project.query('up{job="pigeonhole"} == 1'))


@pytest.mark.parametrize("files", OVERLAYS, ids=["alone", "keys", "replicas"])
def test_compose_reads_every_combination_of_files_without_a_warning(compose, files, folder) -> None:
    project = Project(folder, files, COMPOSE_PROFILES="monitoring,train")
    done = subprocess.run(
        [*compose, "config"],
        cwd=folder,
        env=project.environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for service in ("service", "trainer", "prometheus", "grafana"):
        assert re.search(rf"^  {service}:$", done.stdout, re.MULTILINE)


def test_compose_files_read_every_setting_of_the_example(repository) -> None:
    files = [repository / "docker-compose.yml", *(repository / "deploy/compose").glob("*.yml")]
    text = "".join(file.read_text() for file in files)
    read = set(re.findall(r"\$\{([A-Z_]+)", text)) | set(
        re.findall(r"^ +([A-Z_]+):$", text, re.MULTILINE)
    )
    example = (repository / ".env.example").read_text()
    offered = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert offered - read == {"COMPOSE_PROFILES", "COMPOSE_FILE"}


def test_every_image_is_pinned_to_a_release(repository) -> None:
    for name in ("PROMETHEUS_IMAGE", "GRAFANA_IMAGE", "NGINX_IMAGE"):
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+(-\w+)?", pinned_image(repository, name))
