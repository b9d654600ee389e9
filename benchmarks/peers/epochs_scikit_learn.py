"""Epochs of scikit-learn's MLPClassifier."""

from __future__ import annotations

import sys
import time
import warnings

import sklearn
from epochs import Job
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier


def main() -> None:
    """Run the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    model = MLPClassifier(
        hidden_layer_sizes=[kernel.shape[1] for kernel, _ in job.layers[:-1]],
        alpha=0,
        batch_size=job.batch_size,
        learning_rate_init=job.learning_rate,
        max_iter=1,
        # No early stopping.
        n_iter_no_change=job.epochs + 1,
        tol=0,
        random_state=0,
        warm_start=True,
    )
    model.fit(job.x, job.y)  # warm up
    # With warm_start, the next fit starts from these weights and a new optimizer.
    model.coefs_ = [kernel.copy() for kernel, _ in job.layers]
    model.intercepts_ = [bias.copy() for _, bias in job.layers]
    model.set_params(max_iter=job.epochs)
    started = time.perf_counter()
    model.fit(job.x, job.y)
    # The classifier has no callback, so each epoch counts as the mean.
    seconds = [(time.perf_counter() - started) / job.epochs] * job.epochs
    job.finish(seconds, model.predict_proba(job.x), sklearn.__version__)


if __name__ == "__main__":
    main()
