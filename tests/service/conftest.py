"""A service on small models, used through Flask's test client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from pigeonhole.service.app import Service
from pigeonhole.service.model.signature import Signature
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.errors import HTTP_CODES, INTERNAL_CODE, NOT_READY, TABLE
from tests import tiny_models


@pytest.fixture
def models(tmp_path: Path, write_model) -> Path:
    """A model folder with bodymass, version 1."""
    write_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def service(models: Path) -> Iterator[Service]:
    """One worker's service on that folder, without a server."""
    service = Service(Settings(models=models, reload_seconds=0.05))
    yield service
    service.close()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    """A client of the service, without a network."""
    return service.flask.test_client()


@pytest.fixture
def mixed_signature() -> Signature:
    """A signature with every kind of feature, required and optional."""
    return Signature(tiny_models.MIXED_FEATURES, ["no", "yes"])


Failed = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def failed() -> Failed:
    """Check that a response has the common shape of errors; return its decoded body."""
    codes = {code for _, code in TABLE.values()} | {*HTTP_CODES.values(), INTERNAL_CODE, NOT_READY}

    def check(response: Any, status: int | None = None, code: str | None = None) -> dict[str, Any]:
        body = json.loads(response.data if hasattr(response, "data") else response.content)
        assert status is None or response.status_code == status, body
        assert code is None or body["code"] == code, body
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-Request-Id"]
        assert isinstance(body["error"], str)
        assert body["error"]
        assert body["code"] in codes
        return body

    return check


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FlaskClient]]:
    """Start services with given settings; return a client of each."""
    services: list[Service] = []

    def start(**settings: Any) -> FlaskClient:
        service = Service(
            Settings(**{"models": tmp_path / "models", "reload_seconds": 0.05} | settings)
        )
        services.append(service)
        return service.flask.test_client()

    yield start
    for service in services:
        service.close()


@pytest.fixture(scope="session")
def dated_client(
    tmp_path_factory: pytest.TempPathFactory, write_dated_model, write_careful_model
) -> Iterator[FlaskClient]:
    """A client of a shared service on dated, the default model, and careful."""
    models = tmp_path_factory.mktemp("models")
    write_dated_model(models)
    write_careful_model(models)
    service = Service(Settings(models=models, default_model="dated", reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


@pytest.fixture(scope="session")
def lasting_client(
    tmp_path_factory: pytest.TempPathFactory, write_model, write_mixed_model
) -> Iterator[FlaskClient]:
    """A client of a shared service on bodymass, the default model, and mixed."""
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    write_mixed_model(models)
    service = Service(Settings(models=models, default_model="bodymass", reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


@pytest.fixture(scope="session")
def write_mixed_model() -> Callable[..., Path]:
    """Write a model with every kind of feature: see `tests.tiny_models.write_mixed_model`."""
    return tiny_models.write_mixed_model


@pytest.fixture(scope="session")
def write_careful_model() -> Callable[..., Path]:
    """Write the bodymass model with a threshold: see `tests.tiny_models.write_careful_model`."""
    return tiny_models.write_careful_model


@pytest.fixture
def dated_signature() -> Signature:
    """A signature with datetimes of every format beside a number and a category."""
    return Signature(tiny_models.DATED_FEATURES, ["early", "late"])


@pytest.fixture(scope="session")
def write_dated_model() -> Callable[..., Path]:
    """Write a model with datetimes: see `tests.tiny_models.write_dated_model`."""
    return tiny_models.write_dated_model
