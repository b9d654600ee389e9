"""Answers as tables, asked for by Accept: the same labels and the same bits as in JSON."""

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


def ask(client, accept: str | None, body=BODY, path: str = "/predict", **headers):
    headers |= {} if accept is None else {"Accept": accept}
    return client.post(path, data=body, headers=headers)


@pytest.fixture
def expected(lasting_client):
    """The predictions as JSON."""
    return ask(lasting_client, None).json["predictions"]


def test_csv_has_a_header_and_the_digits_of_json(lasting_client, expected) -> None:
    answer = ask(lasting_client, "text/csv")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv"
    header, *rows = csv.reader(io.StringIO(answer.text, newline=""))
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


def test_an_array_holds_the_probabilities_bit_by_bit(lasting_client, expected) -> None:
    answer = ask(lasting_client, "application/x-npy")
    assert answer.headers["Content-Type"] == "application/x-npy"
    array = np.load(io.BytesIO(answer.data), allow_pickle=False)
    assert array.dtype == np.dtype("<f4")
    assert array.tolist() == [list(row["probabilities"].values()) for row in expected]


def test_arrow_holds_labels_and_probabilities_by_name(lasting_client, expected) -> None:
    answer = ask(lasting_client, ARROW)
    assert answer.headers["Content-Type"] == ARROW
    table = pa.ipc.open_stream(answer.data).read_all()
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
def test_headers_tell_which_model_answered(lasting_client, accept: str) -> None:
    answer = ask(lasting_client, accept, **{"X-Request-Id": "mine"})
    assert answer.headers["X-Model-Name"] == "bodymass"
    assert answer.headers["X-Model-Version"] == "1"
    assert answer.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", ARROW])
@pytest.mark.parametrize(
    "body", ['{"instances": []}', '{"inputs": {"height_cm": [], "weight_kg": []}}']
)
def test_no_rows_are_a_table_without_rows(lasting_client, accept: str, body: str) -> None:
    answer = ask(lasting_client, accept, body)
    assert answer.status_code == 200
    if accept == ARROW:
        assert pa.ipc.open_stream(answer.data).read_all().num_rows == 0
    elif accept == "text/csv":
        assert answer.text.count("\n") == 1
    else:
        assert np.load(io.BytesIO(answer.data)).shape == (0, 2)


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", ARROW])
def test_failures_are_json_whatever_is_asked_for(lasting_client, failed, accept: str) -> None:
    failed(ask(lasting_client, accept, '{"instances": [["tall", 1]]}'), 400, "invalid_rows")


def test_a_label_follows_the_threshold_and_has_its_own_probability(dated_client) -> None:
    body = '{"instances": [[172, 70]]}'
    answer = ask(dated_client, "text/csv", body, "/v1/models/careful:predict")
    label, probability, under, over = answer.text.splitlines()[1].split(",")
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
def test_the_best_form_that_can_be_written_is_written(
    lasting_client, accept: str, content_type: str
) -> None:
    answer = ask(lasting_client, accept)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == content_type


def test_classes_with_commas_and_quotes_are_quoted(tmp_path, start, write_mixed_model) -> None:
    write_mixed_model(tmp_path / "models", classes=('no, "never"', "größer"))
    body = '{"instances": [{"member": true, "color": "blue", "size/cm": 2}]}'
    answer = ask(start(), "text/csv", body)
    header, row = csv.reader(io.StringIO(answer.data.decode("utf-8"), newline=""))
    assert header[2:] == ['probability_no, "never"', "probability_größer"]
    assert row[0] == 'no, "never"'
