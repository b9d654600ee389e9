"""Real tables straight from their files: fitted, served, and predicted over HTTP."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

BRIEF = ("--preset", "classic", "--epochs", "5", "--report", "off")
"""Flags of a fit that takes seconds."""

TABLES = {
    "penguins": ("species", ()),
    "titanic": ("Survived", BRIEF),
    "zoo": ("type", ("--preset", "classic", "--report", "off")),  # too small for five epochs
    "telco_churn": ("churn", BRIEF),
    "heart": ("AHD", ("--preset", "classic", "--report", "off")),
    "mushroom": ("class", BRIEF),
    "adult": ("income", BRIEF),
}
"""Target and flags of each table; only penguins is fitted with the defaults."""

MISSING = ("", "NA", "?")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_json(row: dict[str, str], features: list[dict[str, object]]) -> dict[str, object]:
    """Return a row of text cells as JSON values of the signature's kinds."""
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


def check_table(name: str, flags: tuple[str, ...], tables: Path, models: Path, fit, serve) -> None:
    """Fit a table, serve the model, and compare its labels with the commonest class."""
    target, _ = TABLES[name]
    table = tables / f"{name}.csv"
    fitted = fit(table, "--target", target, "--name", name, *flags)
    assert fitted.returncode == 0, fitted.stderr
    service = serve(models, "--workers", "1")
    service.until_live()
    model = service.get(f"/v1/models/{name}").json()
    rows = [row for row in rows_of(table) if row[target] not in MISSING][-500:]
    response = service.predict([as_json(row, model["features"]) for row in rows])
    assert response.status_code == 200, response.text
    labels = [prediction["label"] for prediction in response.json()["predictions"]]
    accuracy = np.mean([label == row[target] for label, row in zip(labels, rows, strict=True)])
    truth = [row[target] for row in rows]
    commonest = max(truth.count(label) for label in set(truth)) / len(truth)
    assert accuracy > commonest
    # The trainer's own scores on its test rows agree.
    scores = {line.split("  ")[0]: line.split() for line in fitted.stdout.splitlines()}
    assert float(scores[name][1]) > float(scores["commonest class"][2])
    service.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_is_fitted_and_served(
    name: str, tables: Path, tmp_path: Path, fit, serve
) -> None:
    check_table(name, TABLES[name][1], tables, tmp_path / "models", fit, serve)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name, (_, flags) in TABLES.items() if flags])
def test_a_real_table_is_fitted_with_defaults_and_served(
    name: str, tables: Path, tmp_path: Path, fit, serve
) -> None:
    check_table(name, (), tables, tmp_path / "models", fit, serve)


@pytest.mark.thorough
def test_body_mass_classes_of_adults_are_predicted_at_97_percent(
    tables: Path, tmp_path: Path, fit, serve
) -> None:
    check_body_mass(0.97, (), tables, tmp_path, fit, serve)


@pytest.mark.slow
def test_body_mass_classes_of_adults_are_predicted_at_90_percent_after_ten_epochs(
    tables: Path, tmp_path: Path, fit, serve
) -> None:
    brief = ("--preset", "classic", "--epochs", "10", "--report", "off")
    check_body_mass(0.9, brief, tables, tmp_path, fit, serve)


def check_body_mass(
    accuracy: float, flags: tuple[str, ...], tables: Path, folder: Path, fit, serve
) -> None:
    """Fit four body mass classes to height and weight, and predict every fifth adult's."""
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
    table = folder / "adults.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["height_cm", "weight_kg", "bmi_class"])
        writer.writerows(row for index, row in enumerate(rows) if index not in held_out)
    fitted = fit(table, "--target", "bmi_class", "--name", "adults", *flags)
    assert fitted.returncode == 0, fitted.stderr
    service = serve(folder / "models", "--workers", "1")
    service.until_live()
    test_rows = [rows[index] for index in sorted(held_out)]
    response = service.predict([[height, weight] for height, weight, _ in test_rows])
    assert response.status_code == 200
    labels = [prediction["label"] for prediction in response.json()["predictions"]]
    truth = [name for _, _, name in test_rows]
    assert np.mean([one == other for one, other in zip(labels, truth, strict=True)]) >= accuracy


@pytest.mark.slow
def test_a_csv_file_is_predicted_without_changes(tables: Path, tmp_path: Path, fit, serve) -> None:
    table = tables / "penguins.csv"
    assert fit(table, "--target", "species", "--name", "penguins", *BRIEF).returncode == 0
    service = serve(tmp_path / "models", "--workers", "1")
    service.until_live()
    model = service.get("/v1/models/penguins").json()
    names = [feature["name"] for feature in model["features"]]
    features = pyarrow.csv.read_csv(table).select(names)
    body = pyarrow.BufferOutputStream()
    pyarrow.csv.write_csv(features, body)
    response = service.post(
        "/predict", content=body.getvalue().to_pybytes(), headers={"Content-Type": "text/csv"}
    )
    assert response.status_code == 200, response.text
    assert len(response.json()["predictions"]) == len(features)
