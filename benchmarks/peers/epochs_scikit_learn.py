"""scikit-learn's MLPClassifier, held to a number of epochs."""

from __future__ import annotations

import sys
import time
import warnings

import sklearn
from epochs import Job
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier


def main() -> None:
    """Do the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    model = MLPClassifier(
        hidden_layer_sizes=[kernel.shape[1] for kernel, _ in job.layers[:-1]],
        alpha=0,
        batch_size=job.batch_size,
        learning_rate_init=job.learning_rate,
        max_iter=1,
        # Never stops by itself.
        n_iter_no_change=job.epochs + 1,
        tol=0,
        random_state=0,
        warm_start=True,
    )
    model.fit(job.x, job.y)  # warms up
    # A further fit goes on from these weights with an optimizer of its own.
    model.coefs_ = [kernel.copy() for kernel, _ in job.layers]
    model.intercepts_ = [bias.copy() for _, bias in job.layers]
    model.set_params(max_iter=job.epochs)
    started = time.perf_counter()
    model.fit(job.x, job.y)
    # It does not tell when an epoch ends; each has its share of the whole.
    seconds = [(time.perf_counter() - started) / job.epochs] * job.epochs
    job.finish(seconds, model.predict_proba(job.x), sklearn.__version__)


if __name__ == "__main__":
    main()
