"""RealMLP of pytabkit, on the CPU."""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import frames
import joblib
from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_S_Classifier

METHODS = {"realmlp-td-s": RealMLP_TD_S_Classifier, "realmlp-td": RealMLP_TD_Classifier}


def main() -> None:
    """Run the job in the file that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    data = frames.read(job)
    # RealMLP accepts missing categories, but not missing numbers.
    numbers = data.train.select_dtypes("number")
    medians = numbers.median().fillna(0)
    for part in (data.train, data.test):
        part[numbers.columns] = part[numbers.columns].fillna(medians)
    warnings.filterwarnings("ignore")
    # RealMLP sets torch's threads, so OMP_NUM_THREADS alone has no effect.
    threads = int(os.environ["OMP_NUM_THREADS"]) if "OMP_NUM_THREADS" in os.environ else None
    model = METHODS[job["method"]](
        device="cpu", random_state=job["seed"], n_threads=threads, verbosity=0
    )
    frames.run_job(
        job,
        data,
        fit=lambda: model.fit(data.train, data.labels),
        save=joblib.dump,
        versions={package: version(package) for package in ("pytabkit", "torch")},
    )


if __name__ == "__main__":
    main()
