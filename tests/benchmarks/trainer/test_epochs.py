"""The program that times our epochs, and the job that it shares with the peers'."""

import json

import numpy as np
import pytest

from benchmarks.peers.epochs import Job
from benchmarks.trainer import epochs_numpy, rows


@pytest.fixture
def job(tmp_path):
    x, y = rows.numbers(600, tmp_path)
    facts = {
        "x": str(x),
        "y": str(y),
        "weights": str(rows.initial_weights((5, 4), tmp_path)),
        "batch_size": 32,
        "learning_rate": 0.01,
        "epochs": 3,
        "result": str(tmp_path / "result.json"),
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps(facts), "utf-8")
    return Job.read(str(file))


def test_network_starts_from_the_jobs_weights(job):
    weights = epochs_numpy.network(job).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(weights, job.weights, strict=True))


def test_epochs_are_timed_and_lower_the_loss(job):
    model = epochs_numpy.network(job)
    before, _ = model.evaluate(job.x, job.y)
    seconds = epochs_numpy.fit(job, model, job.epochs)
    assert len(seconds) == 3
    assert min(seconds) > 0
    job.finish(seconds, model.predict(job.x), "1")
    result = json.loads(job.result.read_text("utf-8"))
    after, _ = model.evaluate(job.x, job.y)
    assert result["loss"] == pytest.approx(after, rel=1e-4)
    assert after < before
