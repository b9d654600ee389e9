"""Epochs of the trainer's network: ``python -m benchmarks.trainer.epochs_numpy job.json``."""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.peers.epochs import Job
from pigeonhole.trainer.fitting.cores import blas_threads
from pigeonhole.trainer.network.layers import Dense
from pigeonhole.trainer.network.optimizers import OPTIMIZERS
from pigeonhole.trainer.network.sequential import Sequential


def network(job: Job) -> Sequential:
    """Return a compiled network with the job's initial weights."""
    (inputs, first), *middle, (_, classes) = (kernel.shape for kernel, _ in job.layers)
    model = Sequential(
        [
            Dense(first, input_shape=(inputs,), activation="relu"),
            *(Dense(units, activation="relu") for _, units in middle),
            Dense(classes, activation="softmax"),
        ]
    )
    model.compile(OPTIMIZERS["adam"](learning_rate=job.learning_rate))
    model.set_weights(job.weights)
    return model


def fit(job: Job, model: Sequential, epochs: int) -> list[float]:
    """Fit, and return the seconds of each epoch."""
    with blas_threads(model):
        history = model.fit(
            job.x,
            job.y,
            epochs=epochs,
            batch_size=job.batch_size,
            rng=np.random.default_rng(0),
        )
    return [epoch.seconds for epoch in history]


def main() -> None:
    """Run the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    fit(job, network(job), 1)  # warm up
    model = network(job)
    seconds = fit(job, model, job.epochs)
    job.finish(seconds, model.predict(job.x), np.__version__)


if __name__ == "__main__":
    main()
