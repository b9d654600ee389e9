from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pigeonhole.trainer.data.samples import SAMPLES, write_csv
from pigeonhole.trainer.errors import ExportError
from pigeonhole.trainer.export.inspection import inspection
from pigeonhole.trainer.graph import Graph
from pigeonhole.trainer.run import train
from pigeonhole.trainer.settings import Settings


def fitted(folder: Path, name: str, **flags: str) -> Path:
    """Fit a sample's table for two epochs and return the model file."""
    table = folder / f"{name}.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        write_csv(SAMPLES[name].make(200, np.random.default_rng(0)), stream)
    stated = {"table": str(table), "target": SAMPLES[name].target, "name": name}
    stated |= {"preset": "classic", "epochs": "2"}
    trained = train(Settings.read({**stated, "models": str(folder / "models"), **flags}))
    assert trained is not None
    return trained.path


def squeeze(text: str) -> list[str]:
    """Return the lines with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture(scope="module")
def bodymass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(tmp_path_factory.mktemp("bodymass"), "bodymass", hidden="3")


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(tmp_path_factory.mktemp("animals"), "animals", batch_normalization="on")


def test_inspection_of_the_body_mass_sample(bodymass: Path) -> None:
    text = inspection(bodymass)
    size = bodymass.stat().st_size
    assert text.startswith(f"{bodymass}: {size:,} bytes, ONNX IR version 10\n\nClasses: ")
    lines = squeeze(text)
    assert "Classes: overweight, underweight" in lines
    assert any(line.startswith("height_cm number yes 1") for line in lines)
    assert "On 40 test rows:" in lines
    for method in ("this file", "commonest class", "15 nearest neighbors", "logistic regression"):
        assert any(line.startswith((f"{method} 0.", f"{method} 1.")) for line in lines)
    assert {"rows, training 128", "rows, validation 32", "rows, test 40"} <= set(lines)
    assert {"hidden 3", "epochs 2", "activation relu", "seed 0"} <= set(lines)
    assert {"kernel_1: 2 x 3", "bias_1: 3", "kernel_2: 3 x 2", "bias_2: 2"} <= set(lines)
    assert lines[-1].startswith("operators: Sub, Mul, Cast")


def test_inspection_of_the_animals_sample(animals: Path) -> None:
    lines = squeeze(inspection(animals))
    assert "Classes: cat, dog, lizard, llama" in lines
    assert sum(" number yes " in line for line in lines) == 8
    assert {"hidden 64, 64", "center_1: 8", "kernel_3: 64 x 4", "classes_1: 4"} <= set(lines)


def test_dates_and_thresholds_are_readable(tmp_path: Path) -> None:
    table = tmp_path / "visits.csv"
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 6) for day in range(1, 21)]
    rows = [
        f"{day},{place % 7},{'yes' if place % 3 == 0 else 'no'}" for place, day in enumerate(days)
    ]
    table.write_text("\n".join(["day,count,again", *rows]) + "\n", "utf-8")
    stated = {"table": str(table), "target": "again", "name": "visits", "preset": "classic"}
    stated |= {"epochs": "2", "threshold": "f1", "models": str(tmp_path / "models")}
    trained = train(Settings.read(stated))
    assert trained is not None
    lines = squeeze(inspection(trained.path))
    assert any(line.startswith("day datetime yes 2024-01-") for line in lines)
    assert any(
        line.startswith("Threshold: predicts yes from a probability of 0.") for line in lines
    )


def write_foreign(folder: Path, metadata: dict[str, str]) -> Path:
    """Write a foreign model file, which doubles one number."""
    graph = Graph("foreign")
    x = graph.input("x", "float", 1)
    graph.output(graph.add("Add", x, x), "y", "float", 1)
    path = folder / "foreign.onnx"
    path.write_bytes(graph.model(metadata, "1").SerializeToString())
    return path


@pytest.mark.parametrize(
    "metadata", [{}, {"signature": "inputs: x"}, {"signature": "{}", "training": '{"by": "us"}'}]
)
def test_foreign_file_shows_its_graph(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = write_foreign(tmp_path, metadata)
    assert inspection(path).splitlines() == [
        f"{path}: {path.stat().st_size:,} bytes, ONNX IR version 10",
        "",
        "Graph:",
        "  operators: Add, Identity",
    ]


@pytest.mark.parametrize("entry", ["{}", "not JSON", "[1]", '{"features": [{}], "classes": []}'])
def test_invalid_metadata_is_rejected(tmp_path: Path, entry: str) -> None:
    path = write_foreign(tmp_path, {"pigeonhole": "1", "signature": entry})
    with pytest.raises(ExportError, match="the metadata 'signature' does not follow the contract"):
        inspection(path)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04", b"\x08\x0a", b"\xff" * 100])
def test_file_that_is_not_onnx_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"is not an ONNX model$"):
        inspection(path)


def test_unreadable_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="can't be read: No such file"):
        inspection(tmp_path / "none.onnx")
    with pytest.raises(ExportError, match="can't be read: Is a directory"):
        inspection(tmp_path)


def test_long_lists_and_names_are_cut_off(tmp_path: Path) -> None:
    table = tmp_path / "many.csv"
    rows = [
        f"{number % 30},{'color' * 20} {number % 12},class {number % 30:02}"
        for number in range(300)
    ]
    table.write_text("\n".join([f"{'n' * 300},c,y", *rows]), "utf-8")
    flags = {"table": str(table), "target": "y", "name": "many", "epochs": "1"}
    trained = train(Settings.read({**flags, "models": str(tmp_path / "models")}))
    assert trained is not None
    lines = inspection(trained.path).splitlines()
    assert lines[2].endswith("class 18, class 19 and 10 more")
    categories = next(line for line in lines if line.startswith("c "))
    assert categories.endswith("… and 6 more")
    assert any(line.startswith("nnn") and "…" in line for line in lines)
