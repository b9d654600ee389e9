"""Trainer and service follow the same contract: the service reads what the trainer writes."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.model import artifact, repository, signature
from pigeonhole.service.settings import Settings as ServiceSettings
from pigeonhole.service.web.rows import csv_format
from pigeonhole.trainer.data.cells import text
from pigeonhole.trainer.export import publish
from pigeonhole.trainer.export.parity import ExportedModel
from pigeonhole.trainer.run import train
from pigeonhole.trainer.settings import Settings

SCALARS = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


def test_trainer_and_service_accept_the_same_names_and_versions() -> None:
    assert publish.NAME.pattern == repository.NAME.pattern
    assert publish.VERSION.pattern == repository.VERSION.pattern


def test_trainer_and_service_treat_the_same_cells_as_missing() -> None:
    assert frozenset(text.MISSING) == csv_format.MISSING


@given(SCALARS)
def test_trainer_and_service_write_categories_alike(value: str | bool | float) -> None:
    assert text.category_text(value) == signature.category_text(value)


@pytest.fixture(scope="module")
def mixed_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 400 rows with columns of each kind, missing values, and learnable classes."""
    rng = np.random.default_rng(5)
    lines = ["age,member,color,city name,plan"]
    for _ in range(400):
        age, member = rng.normal(40, 12), rng.random() < 0.5
        color = rng.choice(["red", "blue", "green"])
        city = rng.choice(["Łódź", "São Paulo", 'the "big" one', ""])
        plan = "gold" if age + 10 * member + 8 * (color == "red") > 48 else "basic"
        age_text = "" if rng.random() < 0.1 else f"{age:.1f}"
        city_text = '"' + str(city).replace('"', '""') + '"'
        lines.append(f"{age_text},{str(bool(member)).lower()},{color},{city_text},{plan}")
    path = tmp_path_factory.mktemp("mixed") / "plans.csv"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def mixed_file(mixed_table: Path) -> Path:
    """The model file of that table."""
    folder = mixed_table.parent / "models"
    flags = {"table": str(mixed_table), "target": "plan", "name": "plans", "models": str(folder)}
    run = train(Settings.read({**flags, "epochs": "30"}), progress=io.StringIO())
    assert run is not None
    assert run.scores.accuracy > 0.8
    return run.path


def load(path: Path) -> artifact.Model:
    return artifact.load_model(path, name="plans", version=1, threads=1, max_bytes=10**8)


def test_service_loads_the_trainers_file(mixed_file: Path) -> None:
    model = load(mixed_file)
    assert model.has_metadata
    assert model.signature.classes == ("basic", "gold")
    kinds = {f.name: (f.kind.value, f.required) for f in model.signature.features}
    assert kinds == {
        "age": ("number", False),
        "member": ("boolean", True),
        "color": ("category", True),
        "city name": ("category", False),
    }


def test_service_predicts_as_the_trainer_did(mixed_file: Path, mixed_table: Path) -> None:
    model = load(mixed_file)
    lines = mixed_table.read_text("utf-8").splitlines()
    body = "\n".join(line.rsplit(",", 1)[0] for line in lines)
    columns = csv_format.read_csv(body, model.signature)
    served = model.session.run(columns)

    from pigeonhole.trainer.data.preparation import prepare  # noqa: PLC0415 - beside its use
    from pigeonhole.trainer.data.table import read_table  # noqa: PLC0415

    examples = prepare(read_table(str(mixed_table)), "plan").examples
    np.testing.assert_array_equal(columns.numbers, examples.numbers)
    assert columns.categories.tolist() == examples.categories.tolist()
    labels, probabilities = ExportedModel(mixed_file.read_bytes()).run(examples)
    assert served.labels == labels.tolist()
    np.testing.assert_array_equal(served.probabilities, probabilities)


def test_metadata_has_each_entry_of_the_contract(mixed_file: Path) -> None:
    metadata = {
        k: json.loads(v) for k, v in ExportedModel(mixed_file.read_bytes()).metadata.items()
    }
    assert set(metadata) == {
        *("pigeonhole", "signature", "golden", "evaluation", "reference", "training"),
    }
    assert 3 <= len(metadata["golden"]) <= 10
    assert set(metadata["evaluation"]) == {"test", "baselines", "temperatures"}
    assert metadata["reference"]["features"]["age"]["missing"] == pytest.approx(0.1, abs=0.05)
    assert sum(metadata["reference"]["classes"].values()) == pytest.approx(1)


def test_last_golden_row_has_every_optional_value_missing(
    mixed_file: Path, mixed_table: Path
) -> None:
    golden = json.loads(ExportedModel(mixed_file.read_bytes()).metadata["golden"])
    assert golden[-1]["row"] == {k: golden[-1]["row"][k] for k in ("member", "color")}


@pytest.fixture(scope="module")
def dated_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 400 rows with datetimes in two formats."""
    rng = np.random.default_rng(6)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    lines = ["joined,opened,age,left"]
    for _ in range(400):
        day, age = int(rng.integers(0, 700)), rng.normal(40, 12)
        left = "yes" if rng.random() < 1 / (1 + np.exp((age + day / 20 - 45) / 4)) else "no"
        joined = "" if rng.random() < 0.1 else (start + timedelta(days=day)).strftime("%d.%m.%Y")
        opened = (start + timedelta(minutes=int(rng.integers(0, 10**6)))).isoformat()
        lines.append(f"{joined},{opened},{age:.1f},{left}")
    path = tmp_path_factory.mktemp("dated") / "left.csv"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def dated_file(dated_table: Path) -> Path:
    """The model file of that table, with a threshold."""
    folder = dated_table.parent / "models"
    flags = {"table": str(dated_table), "target": "left", "name": "left", "models": str(folder)}
    flags |= {"threshold": "f1", "positive": "yes"}
    run = train(Settings.read({**flags, "epochs": "20"}), progress=io.StringIO())
    assert run is not None
    return run.path


def test_service_applies_the_threshold_as_the_graph_does(dated_file, dated_table) -> None:
    model = load(dated_file)
    threshold = model.signature.threshold
    assert threshold is not None
    assert (threshold.positive, threshold.metric) == ("yes", "f1")
    assert 0 < threshold.value < 1
    lines = dated_table.read_text("utf-8").splitlines()
    body = "\n".join(line.rpartition(",")[0] for line in lines)
    columns = csv_format.read_csv(body, model.signature)
    served = model.session.run(columns)

    from pigeonhole.trainer.data.preparation import prepare  # noqa: PLC0415 - beside its use
    from pigeonhole.trainer.data.table import read_table  # noqa: PLC0415

    examples = prepare(read_table(str(dated_table)), "left").examples
    np.testing.assert_array_equal(columns.numbers, examples.numbers)
    labels, probabilities = ExportedModel(dated_file.read_bytes()).run(examples)
    assert served.labels == labels.tolist()
    np.testing.assert_array_equal(served.probabilities, probabilities)
    assert {"yes", "no"} == set(served.labels)


def test_service_reads_datetimes_by_the_trainers_signature(dated_file) -> None:
    signature = load(dated_file).signature
    joined, opened = signature.by_name["joined"], signature.by_name["opened"]
    assert (joined.kind.value, joined.format, joined.required) == ("datetime", "%d.%m.%Y", False)
    assert (opened.kind.value, opened.format, opened.required) == ("datetime", None, True)
    assert joined.minimum is not None
    assert joined.minimum >= joined.seconds("2023-01-01")


def test_golden_rows_hold_datetimes_that_the_service_reads(dated_file) -> None:
    model = load(dated_file)
    for golden in model.golden_rows:
        assert math.isfinite(model.signature.by_name["opened"].seconds(golden.row["opened"]))


def test_parquet_table_gives_the_same_examples_as_its_csv(
    mixed_table: Path, tmp_path: Path
) -> None:
    import pyarrow.csv  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    from pigeonhole.trainer.data.preparation import prepare  # noqa: PLC0415
    from pigeonhole.trainer.data.table import read_table  # noqa: PLC0415

    typed: pa.Table = pyarrow.csv.read_csv(mixed_table)
    pyarrow.parquet.write_table(typed, tmp_path / "plans.parquet")
    from_csv = prepare(read_table(str(mixed_table)), "plan")
    from_parquet = prepare(read_table(str(tmp_path / "plans.parquet")), "plan")
    assert from_csv.schema == from_parquet.schema
    np.testing.assert_array_equal(from_csv.examples.numbers, from_parquet.examples.numbers)
    assert from_csv.examples.categories.tolist() == from_parquet.examples.categories.tolist()


def test_trainer_and_service_have_the_same_default_model_folder() -> None:
    assert str(ServiceSettings().models) == Settings.models
