"""Real tables, straight from their files: fitted, served, and asked over HTTP."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

TARGETS = {
    "penguins": "species",
    "titanic": "Survived",
    "zoo": "type",
    "telco_churn": "churn",
    "heart": "AHD",
    "mushroom": "class",
    "adult": "income",
}

MISSING = ("", "NA", "?")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_json(row: dict[str, str], features: list[dict[str, object]]) -> dict[str, object]:
    """A row of text cells as a client that knows the signature writes it in JSON."""
    values: dict[str, object] = {}
    for feature in features:
        cell = row[feature["name"]]
        if cell in MISSING:
            continue
        if feature["kind"] == "number":
            values[feature["name"]] = float(cell)
        elif feature["kind"] == "boolean":
            values[feature["name"]] = cell.lower() == "true"
        else:
            values[feature["name"]] = cell
    return values


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_real_table_fits_serves_and_beats_its_commonest_class(
    name: str, tables: Path, tmp_path: Path, fit, serve
) -> None:
    target = TARGETS[name]
    table = tables / f"{name}.csv"
    fitted = fit(table, "--target", target, "--name", name)
    assert fitted.returncode == 0, fitted.stderr
    server = serve(tmp_path / "models", "--workers", "1")
    _, model = server.get(f"/v1/models/{name}")
    rows = [row for row in rows_of(table) if row[target] not in MISSING][-500:]
    status, answer = server.predict([as_json(row, model["features"]) for row in rows])
    assert status == 200, answer
    labels = [prediction["label"] for prediction in answer["predictions"]]
    right = np.mean([label == row[target] for label, row in zip(labels, rows, strict=True)])
    truth = [row[target] for row in rows]
    commonest = max(truth.count(label) for label in set(truth)) / len(truth)
    assert right > commonest
    # And on rows that the run kept aside, by its own account.
    figures = {line.split("  ")[0]: line.split() for line in fitted.stdout.splitlines()}
    assert float(figures[name][1]) > float(figures["commonest class"][2])


@pytest.mark.slow
def test_body_mass_classes_of_real_adults_are_told_over_http(
    tables: Path, tmp_path: Path, fit, serve
) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for row in rows_of(tables / "nhanes_2015_2016.csv"):
        if row["BMXWT"] and row["BMXHT"]:
            height_cm, weight_kg = float(row["BMXHT"]), float(row["BMXWT"])
            index = weight_kg / (height_cm / 100) ** 2
            names = ["underweight", "normal", "overweight", "obese"]
            rows.append((height_cm, weight_kg, names[int(np.digitize(index, [18.5, 25, 30]))]))
    order = rng.permutation(len(rows))
    held_out = {int(index) for index in order[: len(rows) // 5]}
    table = tmp_path / "adults.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["height_cm", "weight_kg", "bmi_class"])
        writer.writerows(row for index, row in enumerate(rows) if index not in held_out)
    fitted = fit(table, "--target", "bmi_class", "--name", "adults")
    assert fitted.returncode == 0, fitted.stderr
    server = serve(tmp_path / "models")
    asked = [rows[index] for index in sorted(held_out)]
    status, answer = server.predict([[height, weight] for height, weight, _ in asked])
    assert status == 200
    labels = [prediction["label"] for prediction in answer["predictions"]]
    right = np.mean([label == truth for label, (_, _, truth) in zip(labels, asked, strict=True)])
    assert right >= 0.97


@pytest.mark.slow
def test_a_csv_file_is_answered_as_it_lies_there(tables: Path, tmp_path: Path, fit, serve) -> None:
    table = tables / "penguins.csv"
    assert fit(table, "--target", "species", "--name", "penguins").returncode == 0
    server = serve(tmp_path / "models", "--workers", "1")
    _, model = server.get("/v1/models/penguins")
    names = [feature["name"] for feature in model["features"]]
    asked = pyarrow.csv.read_csv(table).select(names)
    body = pyarrow.BufferOutputStream()
    pyarrow.csv.write_csv(asked, body)
    status, answer = server.post("/predict", body.getvalue().to_pybytes(), "text/csv")
    assert status == 200, answer
    assert len(answer["predictions"]) == len(asked)
