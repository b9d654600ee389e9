"""Two services behind nginx, replaced one after the other while clients ask: nobody notices."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.deploy.composed import (
    BASE,
    REPLICAS,
    Project,
    copied,
    has_image,
    pinned_image,
)
from tests.deploy.containers import ANSWER_S
from tests.deploy.load import Load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(compose, service_image, checkout, repository, tmp_path_factory) -> Iterator[Project]:
    nginx = pinned_image(repository, "NGINX_IMAGE")
    if not has_image(nginx) and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {nginx}: pull it, or run tests/deploy/stand_ins/build")
    folder = copied(checkout, repository, tmp_path_factory.mktemp("replicas"))
    replicas = (*BASE, REPLICAS)
    with Project(folder, replicas, SERVICE_IMAGE=service_image, SERVICE_CPUS="1") as project:
        project.up()
        yield project


def started(project: Project) -> list[str]:
    return [project.container(name)["State"]["StartedAt"] for name in ("service", "second")]


def test_a_rolling_release_under_load_fails_nobody(project) -> None:
    before = started(project)
    with Load(project.address) as load, Load(project.address, 100, pause=2) as calm:
        project.run("deploy/compose/roll", "--no-build", "--force-recreate")
        load.until_more()
        calm.until_more()
    assert not load.failures
    assert not calm.failures
    assert load.refused == calm.refused == 0
    assert all(new > old for new, old in zip(started(project), before, strict=True))


def test_nginx_lets_ids_through_and_keeps_metrics_inside(project) -> None:
    with httpx.Client(base_url=project.address, timeout=ANSWER_S, trust_env=False) as client:
        asked = client.get("/health/live", headers={"X-Request-Id": "a-name-of-mine"})
        assert asked.headers["X-Request-Id"] == "a-name-of-mine"
        assert client.get("/metrics").status_code == 404
        # It is the service that says what is too large, and as it always does.
        large = client.post("/v1/models/bodymass:predict", content=b" " * (9 * 2**20))
        assert large.status_code == 413
        assert large.json()["code"] == "body_too_large"


def test_a_service_that_is_killed_is_replaced_by_the_other(project) -> None:
    project.run("docker", "kill", project.container("second")["Id"])
    assert all(project.answers() for _ in range(20))
