from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pigeonhole.trainer.data.samples import SAMPLES, write_csv
from pigeonhole.trainer.data.schema import Kind
from pigeonhole.trainer.errors import ExportError, TableError
from pigeonhole.trainer.evaluation.scores import score
from pigeonhole.trainer.export.published import PublishedModel
from pigeonhole.trainer.run import train
from pigeonhole.trainer.settings import Settings
from tests.tiny_models import write_foreign_model

TABLE = """\
when,size,color,sold
2024-05-01,1.5,red,yes
2024-06-01,,blue,no
2024-07-01,2.5,red,yes
2024-08-01,3.5,,no
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The body mass sample as a table."""
    path = tmp_path_factory.mktemp("published") / "people.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_csv(SAMPLES["bodymass"].make(200, np.random.default_rng(0)), stream)
    return path


@pytest.fixture(scope="module")
def model(people: Path) -> Path:
    """A file fitted to that table for two epochs."""
    stated = {"table": str(people), "target": "bodymass", "name": "people", "preset": "classic"}
    flags = {"models": str(people.parent / "models"), "epochs": "2", "hidden": "3"}
    trained = train(Settings.read({**stated, **flags, "report": "off"}))
    assert trained is not None
    return trained.path


def write_model(
    path: Path, described: Any, target: str | None = "sold", **entries: str | None
) -> Path:
    """Write a model file with this signature that predicts the same for each row."""
    kinds = [feature["kind"] for feature in described["features"]]
    texts = kinds.count("category")
    n, m = len(kinds) - texts, texts
    nodes = [
        ("Shape", ["numbers"], "shape", {"end": 1}),
        ("Expand", ["yes", "shape"], "label"),
        ("Concat", ["shape", "two"], "shapes", {"axis": 0}),
        ("Expand", ["halves", "shapes"], "probabilities"),
    ]
    constants = {
        "yes": np.array(["yes"], object),
        "two": np.array([2]),
        "halves": np.array([[0.4, 0.6]], np.float32),
    }
    inputs = {
        "numbers": (onnx.TensorProto.DOUBLE, ["N", n]),
        "categories": (onnx.TensorProto.STRING, ["N", m]),
    }
    outputs = {
        "label": (onnx.TensorProto.STRING, ["N"]),
        "probabilities": (onnx.TensorProto.FLOAT, ["N", 2]),
    }
    usual: dict[str, str | None] = {"pigeonhole": "1", "signature": json.dumps(described)}
    if target:
        usual["training"] = json.dumps({"settings": {"target": target}})
    metadata = {key: text for key, text in (usual | entries).items() if text is not None}
    return write_foreign_model(path, nodes, inputs, outputs, constants, metadata)


def feature(name: str, kind: str, *, required: bool = False, **more: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "required": required, **more}


SALES = {
    "features": [
        feature("when", "datetime", required=True),
        feature("size", "number", required=True),
        feature("color", "category"),
    ],
    "classes": ["no", "yes"],
    "threshold": {"class": "yes", "value": 0.5, "metric": "f1"},
}


def test_recorded_scores_are_those_of_the_test_rows(model: Path, people: Path) -> None:
    opened = PublishedModel.open(model)
    recorded = opened.recorded
    assert recorded is not None
    assert recorded.rows == 40
    rows = opened.read(str(people)).examples
    predictions = opened.predictions(rows)
    found = score(rows.labels, predictions.probabilities, predictions.predicted)
    assert found.rows == 200
    assert recorded.confusion.sum() == 40
    assert (recorded.confusion <= found.confusion).all()


def test_file_outside_a_model_folder_is_named_by_its_stem(model: Path, tmp_path: Path) -> None:
    assert PublishedModel.open(model).name == "people"
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(model.read_bytes())
    assert PublishedModel.open(copy).name == "mine"


def test_golden_row_is_an_example_with_its_prediction(model: Path) -> None:
    example = PublishedModel.open(model).example
    assert example is not None
    assert set(example["row"]) == {"height_cm", "weight_kg"}
    assert example["label"] in example["probabilities"]


def test_training_table_gives_a_finding(model: Path, people: Path, tmp_path: Path) -> None:
    published = PublishedModel.open(model)
    assert [finding.rule for finding in published.read(str(people)).findings] == ["training table"]
    others = tmp_path / "others.csv"
    others.write_bytes(people.read_bytes() + b"180,70,overweight\n")
    assert not published.read(str(others)).findings


def test_table_is_read_by_the_signature(tmp_path: Path) -> None:
    table = tmp_path / "sales.csv"
    table.write_text(TABLE)
    opened = PublishedModel.open(write_model(tmp_path / "m.onnx", SALES))
    assert [one.kind for one in opened.schema.features] == [
        *(Kind.DATETIME, Kind.NUMBER, Kind.CATEGORY),
    ]
    read = opened.read(str(table))
    assert read.examples.numbers[0].tolist() == [1714521600, 1.5]
    assert read.examples.categories[:, 0].tolist() == ["red", "blue", "red", ""]
    assert read.examples.labels.tolist() == [1, 0, 1, 0]
    (finding,) = read.findings
    assert finding.text == (
        "Column 'size' is missing in 1 row. They are scored, but the service rejects such rows, "
        "because the training rows have no missing values there."
    )
    predictions = opened.predictions(read.examples)
    assert predictions.predicted.tolist() == [1] * 4
    assert opened.threshold is not None
    assert (opened.threshold.positive, opened.threshold.value) == (1, 0.5)


def test_target_column_can_be_named(tmp_path: Path) -> None:
    table = tmp_path / "sales.csv"
    table.write_text(TABLE.replace("sold", "bought"))
    opened = PublishedModel.open(write_model(tmp_path / "m.onnx", SALES, target=None))
    with pytest.raises(ExportError, match="names no target; name it with --target COLUMN"):
        opened.read(str(table))
    assert len(opened.read(str(table), "bought").examples) == 4
    with pytest.raises(TableError, match="'size': is a feature of the model"):
        opened.read(str(table), "size")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (None, "the file does not exist"),
        ("when,size,color\n2024-05-01,1,red\n", "column 'sold': the column does not exist"),
        ("when,color,sold\n2024-05-01,red,yes\n", "column 'size': the column does not exist"),
        ("when,size,color,sold\n2024-05-01,1,red,maybe\n", "'maybe'"),
        ("when,size,color,sold\n2024-05-01,1,red,\n", "sold"),
    ],
    ids=["no file", "no target", "no column", "unknown class", "no label"],
)
def test_unusable_table_is_rejected_by_name(
    tmp_path: Path, table: str | None, expected: str
) -> None:
    path = tmp_path / "sales.csv"
    if table is not None:
        path.write_text(table)
    opened = PublishedModel.open(write_model(tmp_path / "m.onnx", SALES))
    with pytest.raises(TableError, match=expected) as caught:
        opened.read(str(path))
    assert str(path) in str(caught.value)


def test_file_that_is_not_a_model_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="can't be read: No such file"):
        PublishedModel.open(tmp_path / "none.onnx")
    for content in (b"", b"a,b\n1,2\n", bytes(range(256))):
        path = tmp_path / "other.onnx"
        path.write_bytes(content)
        with pytest.raises(ExportError, match="is not an ONNX model"):
            PublishedModel.open(path)


@pytest.mark.parametrize("key", ["pigeonhole", "signature"])
def test_file_without_a_signature_is_rejected(tmp_path: Path, key: str) -> None:
    path = write_model(tmp_path / "m.onnx", SALES, **{key: None})
    with pytest.raises(ExportError, match="has no signature"):
        PublishedModel.open(path)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "null", '{"features": []}', '{"features": [{"name": "a"}], "classes": []}'),
        json.dumps(SALES | {"features": [feature("a", "color")]}),
        json.dumps(SALES | {"threshold": {"class": "perhaps", "value": 0.5}}),
        json.dumps(SALES | {"threshold": {"class": "yes", "value": "half"}}),
    ],
)
def test_invalid_signature_is_rejected(tmp_path: Path, text: str) -> None:
    path = write_model(tmp_path / "m.onnx", SALES, signature=text)
    with pytest.raises(ExportError, match="the signature does not follow the contract"):
        PublishedModel.open(path)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"test": {"rows": "many"}}'])
def test_file_without_valid_scores_has_none(tmp_path: Path, text: str | None) -> None:
    path = write_model(tmp_path / "m.onnx", SALES, evaluation=text)
    assert PublishedModel.open(path).recorded is None


def test_score_that_an_older_file_lacks_is_nan(tmp_path: Path) -> None:
    entry = {"rows": 4, "accuracy": 0.5, "roc_auc": None, "confusion": [[1, 1], [1, 1]]}
    path = write_model(tmp_path / "m.onnx", SALES, evaluation=json.dumps({"test": entry}))
    recorded = PublishedModel.open(path).recorded
    assert recorded is not None
    assert recorded.accuracy == 0.5
    assert np.isnan([recorded.roc_auc, recorded.brier_score]).all()
