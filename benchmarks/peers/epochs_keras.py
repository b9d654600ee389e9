"""Keras's own fit, with PyTorch below it."""

from __future__ import annotations

import os
import sys
import time

# Keras reads it when it is imported.
os.environ["KERAS_BACKEND"] = "torch"

import keras
from epochs import Job


class Clock(keras.callbacks.Callback):
    """Notes the seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """An epoch begins."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """It has ended."""
        self.seconds.append(time.perf_counter() - self._started)


def network(job: Job) -> keras.Sequential:
    """Dense layers with the first weights of the job."""
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
    """Do the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    settings = {"batch_size": job.batch_size, "shuffle": True, "verbose": 0}
    network(job).fit(job.x, job.y, epochs=1, **settings)  # warms up
    model, clock = network(job), Clock()
    model.fit(job.x, job.y, epochs=job.epochs, callbacks=[clock], **settings)
    probabilities = model.predict(job.x, batch_size=4096, verbose=0)
    job.finish(clock.seconds, probabilities, keras.__version__)


if __name__ == "__main__":
    main()
