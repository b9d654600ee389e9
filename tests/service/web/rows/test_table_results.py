"""Responses as tables, selected by Accept: the same labels and digits as in JSON."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

ROWS = [[172, 95], [171.3, 66.7], [160, 40]]
BODY = json.dumps({"instances": ROWS})
ARROW = "application/vnd.apache.arrow.stream"


def predict(client, accept: str | None, body=BODY, path: str = "/predict", **headers):
    headers |= {} if accept is None else {"Accept": accept}
    return client.post(path, data=body, headers=headers)


@pytest.fixture
def expected(lasting_client):
    """Return the predictions as JSON."""
    return predict(lasting_client, None).json["predictions"]


def test_csv_has_a_header_and_the_digits_of_json(lasting_client, expected) -> None:
    response = predict(lasting_client, "text/csv")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv"
    header, *rows = csv.reader(io.StringIO(response.text, newline=""))
    assert header == [
        *("label", "probability", "probability_underweight", "probability_overweight"),
    ]
    got = [
        {
            "label": label,
            "probability": float(probability),
            "probabilities": {"underweight": float(under), "overweight": float(over)},
        }
        for label, probability, under, over in rows
    ]
    assert got == expected


def test_npy_holds_the_exact_probabilities(lasting_client, expected) -> None:
    response = predict(lasting_client, "application/x-npy")
    assert response.headers["Content-Type"] == "application/x-npy"
    array = np.load(io.BytesIO(response.data), allow_pickle=False)
    assert array.dtype == np.dtype("<f4")
    assert array.tolist() == [list(row["probabilities"].values()) for row in expected]


def test_arrow_has_columns_of_labels_and_probabilities(lasting_client, expected) -> None:
    response = predict(lasting_client, ARROW)
    assert response.headers["Content-Type"] == ARROW
    table = pa.ipc.open_stream(response.data).read_all()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("label", "string"),
        ("probability", "float"),
        ("probability_underweight", "float"),
        ("probability_overweight", "float"),
    ]
    assert table.column("label").to_pylist() == [row["label"] for row in expected]
    assert table.column("probability").to_pylist() == [row["probability"] for row in expected]
    for name in ("underweight", "overweight"):
        probabilities = table.column(f"probability_{name}").to_pylist()
        assert probabilities == [row["probabilities"][name] for row in expected]


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", ARROW])
def test_headers_name_the_model(lasting_client, accept: str) -> None:
    response = predict(lasting_client, accept, **{"X-Request-Id": "mine"})
    assert response.headers["X-Model-Name"] == "bodymass"
    assert response.headers["X-Model-Version"] == "1"
    assert response.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", ARROW])
@pytest.mark.parametrize(
    "body", ['{"instances": []}', '{"inputs": {"height_cm": [], "weight_kg": []}}']
)
def test_request_without_rows_gets_a_table_without_rows(
    lasting_client, accept: str, body: str
) -> None:
    response = predict(lasting_client, accept, body)
    assert response.status_code == 200
    if accept == ARROW:
        assert pa.ipc.open_stream(response.data).read_all().num_rows == 0
    elif accept == "text/csv":
        assert response.text.count("\n") == 1
    else:
        assert np.load(io.BytesIO(response.data)).shape == (0, 2)


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", ARROW])
def test_errors_are_json_for_any_accept(lasting_client, failed, accept: str) -> None:
    failed(predict(lasting_client, accept, '{"instances": [["tall", 1]]}'), 400, "invalid_rows")


def test_probability_is_that_of_the_label_chosen_by_the_threshold(dated_client) -> None:
    body = '{"instances": [[172, 70]]}'
    response = predict(dated_client, "text/csv", body, "/v1/models/careful:predict")
    label, probability, under, over = response.text.splitlines()[1].split(",")
    assert label == "underweight"
    assert probability == under < over


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/html", "application/json"),
        ("image/*, text/html", "application/json"),
        ("application/*", "application/json"),
        ("text/csv, application/json", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/json;q=0.1, text/csv;q=0.2", "text/csv"),
        ("*/*;q=0.9, application/json;q=0.1, application/x-npy", "application/x-npy"),
        ("text/html, application/x-npy;q=0.9, */*;q=0.8", "application/x-npy"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=0, */*", "application/json"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/jsonlines", "application/x-ndjson"),
        ("application/json;q=0.5, application/JSONL", "application/x-ndjson"),
        (";;;,,,q=1,/", "application/json"),
        ("text/csv;q=nan", "application/json"),
        ("text/html," * 5000 + "text/csv", "application/json"),
    ],
)
def test_format_of_the_highest_weight_is_chosen(
    lasting_client, accept: str, content_type: str
) -> None:
    response = predict(lasting_client, accept)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == content_type


def test_class_names_with_commas_and_quotes_are_quoted(tmp_path, start, write_mixed_model) -> None:
    write_mixed_model(tmp_path / "models", classes=('no, "never"', "größer"))
    body = '{"instances": [{"member": true, "color": "blue", "size/cm": 2}]}'
    response = predict(start(), "text/csv", body)
    header, row = csv.reader(io.StringIO(response.data.decode("utf-8"), newline=""))
    assert header[2:] == ['probability_no, "never"', "probability_größer"]
    assert row[0] == 'no, "never"'
