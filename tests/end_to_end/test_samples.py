"""The two sample models of the repository: fitted again, they predict the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from pigeonhole.trainer.data.preparation import prepare
from pigeonhole.trainer.data.samples import SAMPLES, write_csv
from pigeonhole.trainer.data.table import read_table
from pigeonhole.trainer.export.parity import ExportedModel
from pigeonhole.trainer.run import train
from pigeonhole.trainer.settings import Settings

TOLERANCE = 0.02
"""Of a probability: processors add up in other orders, and fifty epochs carry that on."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_fitted_anew_answers_as_the_one_in_the_repository(
    name: str, tmp_path: Path, repository: Path
) -> None:
    sample = SAMPLES[name]
    table = tmp_path / f"{name}.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        write_csv(sample.make(5000, np.random.default_rng(0)), file)
    flags = {
        "table": str(table),
        "target": sample.target,
        "name": name,
        "models": str(tmp_path / "models"),
        "preset": "classic",
        "hidden": ",".join(map(str, sample.hidden)),
    }
    fitted = train(Settings.read(flags), progress=io.StringIO())
    assert fitted is not None
    carried = ExportedModel((repository / "models" / name / "1" / "model.onnx").read_bytes())
    examples = prepare(read_table(str(table)), sample.target).examples
    fitted_labels, fitted_probabilities = ExportedModel(fitted.path.read_bytes()).run(examples)
    labels, probabilities = carried.run(examples)
    np.testing.assert_allclose(probabilities, fitted_probabilities, atol=TOLERANCE)
    assert np.mean(labels == fitted_labels) > 0.999
