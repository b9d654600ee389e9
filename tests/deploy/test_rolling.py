"""Two services behind nginx are replaced one after the other, and no request fails."""

from __future__ import annotations

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
from tests.programs import skip_or_fail

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(compose, service_image, checkout, repository, tmp_path_factory) -> Iterator[Project]:
    nginx = pinned_image(repository, "NGINX_IMAGE")
    if not has_image(nginx):
        skip_or_fail(f"the image {nginx} is missing: pull it, or run tests/deploy/stand_ins/build")
    folder = copied(checkout, repository, tmp_path_factory.mktemp("replicas"))
    replicas = (*BASE, REPLICAS)
    with Project(folder, replicas, SERVICE_IMAGE=service_image, SERVICE_CPUS="1") as project:
        project.up()
        yield project


def start_times(project: Project) -> list[str]:
    return [project.container(name)["State"]["StartedAt"] for name in ("service", "second")]


def test_rolling_release_under_load_fails_no_request(project) -> None:
    before = start_times(project)
    with Load(project.address) as load, Load(project.address, 100, pause=2) as calm:
        project.run("deploy/compose/roll", "--no-build", "--force-recreate")
        load.until_more()
        calm.until_more()
    assert not load.failures
    assert not calm.failures
    assert load.refused == calm.refused == 0
    assert all(new > old for new, old in zip(start_times(project), before, strict=True))


def test_nginx_passes_request_ids_and_hides_metrics(project) -> None:
    with httpx.Client(base_url=project.address, timeout=ANSWER_S, trust_env=False) as client:
        response = client.get("/health/live", headers={"X-Request-Id": "an-id-of-the-client"})
        assert response.headers["X-Request-Id"] == "an-id-of-the-client"
        assert client.get("/metrics").status_code == 404
        # The service rejects a large body, not nginx: the error has the service's form.
        large = client.post("/v1/models/bodymass:predict", content=b" " * (9 * 2**20))
        assert large.status_code == 413
        assert large.json()["code"] == "body_too_large"


def test_other_service_answers_when_one_is_killed(project) -> None:
    project.run("docker", "kill", project.container("second")["Id"])
    assert all(project.answers() for _ in range(20))
