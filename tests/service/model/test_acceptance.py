from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from pigeonhole.service.errors import ModelRejected
from pigeonhole.service.model.acceptance import (
    WARM_UP_ROWS,
    WARM_UP_SECONDS,
    sample_rows,
    warm_up,
)
from pigeonhole.service.model.columns import Columns, Prediction
from pigeonhole.service.model.session import Graph, Session
from pigeonhole.service.model.signature import Signature

HEIGHT = {"name": "height_cm", "kind": "number"}

WEIGHT = {"name": "weight_kg", "kind": "number"}


def signature(*features, classes=("underweight", "overweight")) -> dict[str, str]:
    return {"signature": json.dumps({"features": features, "classes": classes})}


def with_threshold(value, positive="overweight", **changes) -> dict[str, str]:
    threshold = {"class": positive, "value": value, "metric": "f1"} | changes
    features, classes = [HEIGHT, WEIGHT], ["underweight", "overweight"]
    return {
        "signature": json.dumps({"features": features, "classes": classes, "threshold": threshold})
    }


def golden(**changes) -> dict[str, str]:
    row = {
        "row": {"height_cm": 172, "weight_kg": 65},
        "label": "underweight",
        "probabilities": {"underweight": 0.5, "overweight": 0.5},
    }
    return {"golden": json.dumps([row | changes])}


class Recording(Session):
    """A session that sleeps in each run and records its number of rows."""

    def __init__(self, graph: Graph, signature: Signature, seconds: float) -> None:
        super().__init__(graph, signature)
        self._seconds, self.rows = seconds, []

    def run(self, columns: Columns) -> Prediction:
        self.rows.append(len(columns))
        time.sleep(self._seconds)
        return super().run(columns)


@pytest.mark.parametrize(
    ("seconds", "rows"), [(0, range(3, WARM_UP_ROWS + 1)), (WARM_UP_SECONDS, [2])]
)
def test_slow_model_is_warmed_up_with_two_rows(write_model, tmp_path, seconds, rows) -> None:
    graph = Graph(write_model(tmp_path).read_bytes(), 1)
    signature = Signature.from_metadata(graph.metadata["signature"])
    session = Recording(graph, signature, seconds)
    run_time = warm_up(session, sample_rows(signature, ()))
    assert run_time.run_seconds >= seconds
    assert min(session.rows) == 1
    assert max(session.rows) in rows


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"pigeonhole": "0"}, "'pigeonhole' is '0', expected a format version such as 1"),
        ({"pigeonhole": "one"}, "'pigeonhole' is 'one', expected a format version such as 1"),
        ({"pigeonhole": ""}, "'pigeonhole' is '', expected a format version"),
        ({"signature": None}, "has metadata 'pigeonhole' but not 'signature', expected both"),
        ({"signature": "{}"}, "metadata 'signature': Object missing required field"),
        (signature(HEIGHT), "has 1 numeric and 0 category columns, but .* take 2 and 0"),
        (
            signature(HEIGHT, WEIGHT | {"kind": "category"}),
            "has 1 numeric and 1 category columns, but .* take 2 and 0",
        ),
        (
            signature(HEIGHT, WEIGHT, classes=["a", "b", "c"]),
            r"probabilities of shape \[3, 2\], expected \[3, 3\]",
        ),
        (
            signature(HEIGHT, WEIGHT, classes=["thin", "overweight"]),
            "output 'label' is 'underweight', expected a class of the signature: 'thin', 'ov",
        ),
        (signature(HEIGHT, WEIGHT, classes=["overweight", "underweight"]), "got probabilities"),
        (
            signature(HEIGHT, WEIGHT | {"name": "weight_lb"}),
            "feature 'weight_kg': expected a known feature",
        ),
        ({"golden": None}, "has metadata 'pigeonhole' but not 'golden'"),
        ({"golden": "[]"}, "metadata 'golden' is an empty list, expected at least one row"),
        ({"golden": "{}"}, "metadata 'golden': Expected `array`"),
        (golden(row={"height_cm": 172}), "feature 'weight_kg': expected number, got nothing"),
        (golden(row={"height_cm": 172, "weight_kg": 10**400}), "got a larger number"),
        (golden(row={"height_cm": 172, "weight_kg": 66}), "golden row 0 got probabilities"),
        (golden(probabilities={"underweight": 0.5}), "names other classes"),
        (golden(probabilities={"a": 0.5, "b": 0.5}), "names other classes"),
        (golden(label="thin"), "names other classes"),
        (
            golden(
                row={"height_cm": 172, "weight_kg": 65.01},
                label="underweight",
                probabilities={"underweight": 0.4995, "overweight": 0.5005},
            ),
            "golden row 0 got label 'overweight', expected 'underweight'",
        ),
    ],
)
def test_file_that_contradicts_its_metadata_is_rejected(
    load, write_model, tmp_path: Path, metadata, reason
) -> None:
    with pytest.raises(ModelRejected, match=reason):
        load(write_model(tmp_path, metadata=metadata))


@pytest.mark.parametrize("label", ["underweight", "overweight"])
def test_golden_row_on_the_border_may_get_either_label(
    load, write_model, tmp_path: Path, label
) -> None:
    # The model answers 0.5 for both classes. The golden probabilities differ within the tolerance.
    for version, more in enumerate((0, 0.00008, -0.00008), 1):
        metadata = golden(
            label=label, probabilities={"underweight": 0.5 + more, "overweight": 0.5 - more}
        )
        model = load(write_model(tmp_path, version=version, metadata=metadata))
        assert model.golden_rows[0].label == label


def test_golden_probability_may_differ_by_the_tolerance(load, write_model, tmp_path: Path) -> None:
    near = golden(probabilities={"underweight": 0.50005, "overweight": 0.49995})
    far = golden(probabilities={"underweight": 0.5002, "overweight": 0.4998})
    assert load(write_model(tmp_path, version=1, metadata=near))
    with pytest.raises(ModelRejected, match="golden row 0 got probabilities"):
        load(write_model(tmp_path, version=2, metadata=far))


def golden_overweight(probability: float, label: str) -> dict[str, str]:
    """Return a golden row for which the small model gives overweight this probability."""
    weight = 65 + 5 * math.log(probability / (1 - probability))
    return golden(
        row={"height_cm": 172, "weight_kg": weight},
        label=label,
        probabilities={"underweight": 1 - probability, "overweight": probability},
    )


def test_golden_labels_follow_the_threshold(load, write_model, tmp_path: Path) -> None:
    cases = {1: ("overweight", 0.2), 2: ("underweight", 0.9)}
    for version, (label, value) in cases.items():
        metadata = with_threshold(value) | golden_overweight(
            0.5 if label == "overweight" else 0.8, label
        )
        model = load(write_model(tmp_path, version=version, metadata=metadata))
        assert model.golden_rows[0].label == label
        assert model.signature.threshold is not None
    with pytest.raises(ModelRejected, match="got label 'overweight', expected 'underweight'"):
        load(
            write_model(
                tmp_path,
                version=3,
                metadata=with_threshold(0.2) | golden_overweight(0.4, "underweight"),
            )
        )


@pytest.mark.parametrize("label", ["underweight", "overweight"])
def test_golden_row_at_the_threshold_may_get_either_label(
    load, write_model, tmp_path: Path, label
) -> None:
    metadata = golden_overweight(0.3, label)
    for version, value in enumerate((0.29995, 0.3, 0.30005), 1):
        assert load(
            write_model(tmp_path, version=version, metadata=with_threshold(value) | metadata)
        )
    beyond = 0.2998 if label == "underweight" else 0.3002
    with pytest.raises(ModelRejected, match=f"expected '{label}'"):
        load(write_model(tmp_path, version=4, metadata=with_threshold(beyond) | metadata))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (
            with_threshold(0.5, "fat"),
            "for class 'fat', expected class 'underweight' or 'overweight'",
        ),
        (with_threshold(1.5), "the threshold is 1.5, expected 0 to 1"),
        (with_threshold("0.5"), r"Expected `float`, got `str` - at `\$.threshold.value`"),
        (
            with_threshold(0.5, metric=None),
            r"Expected `str`, got `null` - at `\$.threshold.metric`",
        ),
    ],
)
def test_invalid_threshold_is_rejected(load, write_model, tmp_path: Path, metadata, reason) -> None:
    with pytest.raises(ModelRejected, match=reason):
        load(write_model(tmp_path, metadata=metadata))


MIXING = {
    "softmax over rows": [
        ("MatMul", ["x", "kernel"], "z"),
        ("Softmax", ["z"], "rows", {"axis": 0}),
    ],
    "less the mean row": [
        ("ReduceMean", ["x", "zero"], "mean"),
        ("Sub", ["x", "mean"], "moved"),
        ("MatMul", ["moved", "kernel"], "rows"),
    ],
    "none": [("MatMul", ["x", "kernel"], "rows")],
}


@pytest.mark.parametrize("mixing", MIXING)
def test_graph_that_mixes_rows_is_detected(load, write_graph, mixing: str) -> None:
    path = write_graph(
        [*MIXING[mixing], ("Softmax", ["rows"], "p", {"axis": 1})],
        {"x": (onnx.TensorProto.FLOAT, ["N", 2])},
        {"p": (onnx.TensorProto.FLOAT, ["N", 2])},
        {"kernel": np.array([[1, 0], [0, 2]], np.float32), "zero": np.array([0])},
    )
    assert load(path).rows_are_independent is (mixing == "none")


def test_trained_models_do_not_mix_rows(load, write_model, write_mixed_model, tmp_path) -> None:
    for path in (write_model(tmp_path), write_mixed_model(tmp_path)):
        assert load(path).rows_are_independent
