"""Promises of the programs that time epochs: ours, and what the peers' share."""

import json

import numpy as np
import pytest

from benchmarks.peers.epochs import Job
from benchmarks.trainer import epochs_numpy, rows


@pytest.fixture
def job(tmp_path):
    x, y = rows.numbers(600, tmp_path)
    told = {
        "x": str(x),
        "y": str(y),
        "weights": str(rows.first_weights((5, 4), tmp_path)),
        "batch_size": 32,
        "learning_rate": 0.01,
        "epochs": 3,
        "answer": str(tmp_path / "answer.json"),
    }
    file = tmp_path / "job.json"
    file.write_text(json.dumps(told), "utf-8")
    return Job.read(str(file))


def test_the_network_starts_from_the_weights_of_the_job(job):
    given = job.weights
    started = epochs_numpy.network(job).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(given, started, strict=True))


def test_every_epoch_is_timed_and_lowers_the_loss(job):
    model = epochs_numpy.network(job)
    before, _ = model.evaluate(job.x, job.y)
    seconds = epochs_numpy.fit(job, model, job.epochs)
    assert len(seconds) == 3
    assert min(seconds) > 0
    job.finish(seconds, model.predict(job.x), "1")
    told = json.loads(job.answer.read_text("utf-8"))
    after, _ = model.evaluate(job.x, job.y)
    assert told["loss"] == pytest.approx(after, rel=1e-4)
    assert after < before
