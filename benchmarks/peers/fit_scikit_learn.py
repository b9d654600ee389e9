"""Classifiers of scikit-learn, with the preprocessing that its user guide recommends."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import frames
import joblib
import pandas as pd
import sklearn
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

MAX_CATEGORIES = 254
"""Levels of a column that HistGradientBoostingClassifier accepts."""


def estimator(method: str, seed: int) -> Any:
    """Return the unfitted pipeline of a method."""
    match method:
        case "mlp":
            return make_pipeline(standardize(), MLPClassifier(random_state=seed))
        case "mlp-early-stopping":
            return make_pipeline(
                standardize(), MLPClassifier(random_state=seed, early_stopping=True)
            )
        case "logistic-regression":
            return make_pipeline(standardize(), LogisticRegression(max_iter=1000))
        case "hist-gradient-boosting":
            return make_pipeline(
                FunctionTransformer(limit_categories),
                HistGradientBoostingClassifier(random_state=seed),
            )
    raise SystemExit(f"unknown method {method!r}")


def standardize() -> Any:
    """Return preprocessing: median imputation and standardization of numbers, one-hot categories."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
    )


def limit_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the frame in which further levels of a column are missing."""
    frame = frame.copy()
    for name in frame.select_dtypes("category"):
        levels = frame[name].cat.categories[:MAX_CATEGORIES]
        frame[name] = frame[name].cat.set_categories(levels)
    return frame


def main() -> None:
    """Run the job in the file that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    data = frames.read(job)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    frames.run_job(
        job,
        data,
        fit=lambda: estimator(job["method"], job["seed"]).fit(data.train, data.labels),
        save=joblib.dump,
        versions={"scikit-learn": sklearn.__version__},
    )


if __name__ == "__main__":
    main()
