"""The service reads every format version of the model file that a trainer ever wrote.

``golden/format-N.onnx`` was written by a trainer of format N and never changes. The JSON file beside
it lists rows with the answers that the service must give.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from pigeonhole.service.errors import ModelRejected
from pigeonhole.service.model.acceptance import GOLDEN_TOLERANCE
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.metadata import FORMAT_KEY, FORMAT_VERSIONS
from pigeonhole.service.model.validation import columns_from_values
from pigeonhole.trainer.export.model import FORMAT_VERSION

GOLDEN = Path(__file__).parent / "golden"


def golden_file(version: int) -> Path:
    return GOLDEN / f"format-{version}.onnx"


def load(path: Path) -> Model:
    return load_model(path, name="deliveries", version=1, threads=1, max_bytes=10**6)


def set_metadata(source: Path, target: Path, entries: dict[str, str]) -> Path:
    """Write a copy of a model file with other metadata entries."""
    file = onnx.load(source)
    metadata = {entry.key: entry.value for entry in file.metadata_props} | entries
    onnx.helper.set_model_props(file, metadata)
    onnx.save(file, target)
    return target


def test_newest_format_is_the_one_that_the_trainer_writes() -> None:
    assert max(FORMAT_VERSIONS) == FORMAT_VERSION


def test_each_format_has_a_golden_file() -> None:
    assert {path.name for path in GOLDEN.glob("*.onnx")} == {
        golden_file(version).name for version in FORMAT_VERSIONS
    }


@pytest.mark.parametrize("version", FORMAT_VERSIONS)
def test_golden_file_has_its_format_version(version: int) -> None:
    metadata = {e.key: e.value for e in onnx.load(golden_file(version)).metadata_props}
    assert metadata[FORMAT_KEY] == str(version)


@pytest.mark.parametrize("version", FORMAT_VERSIONS)
def test_golden_file_gives_its_answers(version: int) -> None:
    model = load(golden_file(version))
    cases = json.loads(golden_file(version).with_suffix(".json").read_text("utf-8"))
    columns = columns_from_values(model.signature, [case["row"] for case in cases])
    prediction = model.session.run(columns)
    assert prediction.labels == [case["label"] for case in cases]
    for row, case in zip(prediction.probabilities.tolist(), cases, strict=True):
        got = dict(zip(model.signature.classes, row, strict=True))
        assert got == pytest.approx(case["probabilities"], abs=GOLDEN_TOLERANCE)


@pytest.mark.parametrize("version", FORMAT_VERSIONS)
def test_golden_file_gives_its_warnings(version: int) -> None:
    model = load(golden_file(version))
    cases = json.loads(golden_file(version).with_suffix(".json").read_text("utf-8"))
    columns = columns_from_values(model.signature, [case["row"] for case in cases])
    warnings = model.range_check.out_of_range(columns)
    assert [(warning.row, warning.feature) for warning in warnings] == [
        (row, feature) for row, case in enumerate(cases) for feature in case["out_of_range"]
    ]


def test_newer_format_is_rejected_with_what_to_do(tmp_path: Path) -> None:
    newer = set_metadata(golden_file(1), tmp_path / "model.onnx", {FORMAT_KEY: "2"})
    with pytest.raises(ModelRejected) as caught:
        load(newer)
    assert caught.value.reason == (
        "the file has format 2; this service reads format 1: "
        "upgrade the service, or fit the model again"
    )


def test_keys_for_people_need_no_newer_format(tmp_path: Path) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(golden_file(1)).metadata_props}
    signature, golden = json.loads(metadata["signature"]), json.loads(metadata["golden"])
    for described in (signature, *signature["features"], signature["threshold"], *golden):
        described["note"] = "for people"
    entries = {"signature": json.dumps(signature), "golden": json.dumps(golden), "note": '""'}
    assert load(set_metadata(golden_file(1), tmp_path / "model.onnx", entries)).has_metadata
