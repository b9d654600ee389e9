"""Epochs of Keras with the PyTorch backend."""

from __future__ import annotations

import os
import sys
import time

# Keras reads this variable at import.
os.environ["KERAS_BACKEND"] = "torch"

import keras
from epochs import Job


class EpochTimer(keras.callbacks.Callback):
    """Measures the seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Record the seconds."""
        self.seconds.append(time.perf_counter() - self._started)


def network(job: Job) -> keras.Sequential:
    """Return a compiled network with the job's initial weights."""
    *hidden, last = (kernel.shape[1] for kernel, _ in job.layers)
    model = keras.Sequential(
        [
            keras.Input((job.x.shape[1],)),
            *(keras.layers.Dense(units, activation="relu") for units in hidden),
            keras.layers.Dense(last, activation="softmax"),
        ]
    )
    model.set_weights(job.weights)
    model.compile(keras.optimizers.Adam(job.learning_rate), loss="sparse_categorical_crossentropy")
    return model


def main() -> None:
    """Run the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    settings = {"batch_size": job.batch_size, "shuffle": True, "verbose": 0}
    network(job).fit(job.x, job.y, epochs=1, **settings)  # warm up
    model, timer = network(job), EpochTimer()
    model.fit(job.x, job.y, epochs=job.epochs, callbacks=[timer], **settings)
    probabilities = model.predict(job.x, batch_size=4096, verbose=0)
    job.finish(timer.seconds, probabilities, keras.__version__)


if __name__ == "__main__":
    main()
