"""One of scikit-learn's classifiers, with the preprocessing that its guide recommends for it."""

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

MOST_CATEGORIES = 254
"""As many levels of one column as HistGradientBoostingClassifier takes."""


def estimator(method: str, seed: int) -> Any:
    """The unfitted pipeline of a method."""
    match method:
        case "mlp":
            return make_pipeline(standardized(), MLPClassifier(random_state=seed))
        case "mlp-early-stopping":
            return make_pipeline(
                standardized(), MLPClassifier(random_state=seed, early_stopping=True)
            )
        case "logistic-regression":
            return make_pipeline(standardized(), LogisticRegression(max_iter=1000))
        case "hist-gradient-boosting":
            return make_pipeline(
                FunctionTransformer(with_few_categories),
                HistGradientBoostingClassifier(random_state=seed),
            )
    raise SystemExit(f"no method is called {method!r}")


def standardized() -> Any:
    """Numbers with gaps filled by the median and standardized, categories one-hot."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
    )


def with_few_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the levels of each column cut to as many as the method takes."""
    frame = frame.copy()
    for name in frame.select_dtypes("category"):
        kept = frame[name].cat.categories[:MOST_CATEGORIES]
        frame[name] = frame[name].cat.set_categories(kept)
    return frame


def main() -> None:
    """Do the job in the file that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    data = frames.read(job)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    frames.answer(
        job,
        data,
        fit=lambda: estimator(job["method"], job["seed"]).fit(data.train, data.labels),
        save=joblib.dump,
        versions={"scikit-learn": sklearn.__version__},
    )


if __name__ == "__main__":
    main()
