"""MLflow's scoring client, and SageMaker's calls, against running services."""

from __future__ import annotations

import httpx
import pytest

from pigeonhole import __version__
from tests.clients.client_programs import TOKEN, Results, RunClient
from tests.running_service import RunningService

pytestmark = pytest.mark.slow

LABELS = ["overweight", "underweight"]

BEST = [0.9999785423278809, 0.9999991655349731]
"""The labels' probabilities."""

FORMS = (
    "frame",
    "reordered",
    "indexed",
    "array",
    "integers",
    "list",
    "columns",
    "rows",
    "records",
    "params",
)


@pytest.fixture(scope="session")
def mlflow(run_client: RunClient, server: RunningService) -> Results:
    return run_client("mlflow_client.py", "127.0.0.1", str(server.port))


def test_mlflow_client_finds_the_service(mlflow: Results) -> None:
    assert mlflow["ping"] is mlflow["wait_ready"] is None  # a call that fails raises
    assert mlflow["version"] == __version__


@pytest.mark.parametrize("form", FORMS)
def test_mlflow_client_reads_predictions_as_frame_and_array(mlflow: Results, form: str) -> None:
    answer = mlflow[form]
    assert answer["labels"] == LABELS
    assert answer["probabilities"] == BEST
    assert answer["array"] == 2


def test_mlflow_client_shows_the_problem_of_a_row(mlflow: Results) -> None:
    raised = mlflow.raised("wrong")
    assert "error code 400" in raised
    assert '"did_you_mean":"height_cm"' in raised


def test_mlflow_client_sends_a_key_in_the_url(
    run_client: RunClient, keyed_server: RunningService
) -> None:
    results = run_client("mlflow_client.py", f"anybody:{TOKEN}@127.0.0.1", str(keyed_server.port))
    assert results["ping"] is None
    assert results["version"] == __version__
    assert results["frame"]["labels"] == LABELS


def test_sagemaker_pings_without_a_key(
    server: RunningService, keyed_server: RunningService
) -> None:
    for one in (server, keyed_server):
        assert httpx.get(f"{one.address}/ping").status_code == 200


def test_sagemaker_sends_and_receives_csv(server: RunningService) -> None:
    answer = httpx.post(
        f"{server.address}/invocations",
        content=b"height_cm,weight_kg\n172,95\n180,50\n",
        headers={
            "Content-Type": "text/csv",
            "Accept": "text/csv",
            "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/csv")
    header, *rows = answer.text.splitlines()
    assert header.startswith("label,probability")
    assert [row.split(",")[0] for row in rows] == LABELS
    assert [float(row.split(",")[1]) for row in rows] == BEST


def test_sagemaker_sends_csv_without_a_header(server: RunningService) -> None:
    answer = httpx.post(
        f"{server.address}/invocations",
        content=b"172,95\n",
        headers={"Content-Type": "text/csv; header=absent"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["label"] == "overweight"


def test_sagemaker_sends_json_lines(server: RunningService) -> None:
    answer = httpx.post(
        f"{server.address}/invocations",
        content=b'{"height_cm": 172, "weight_kg": 95}\n[180, 50]\n',
        headers={"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"},
    )
    assert answer.status_code == 200, answer.text
    assert [line.count('"label"') for line in answer.text.splitlines()] == [1, 1]
