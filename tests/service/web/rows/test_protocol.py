"""The rows protocol: every format of rows, the responses, and errors for invalid rows."""

from __future__ import annotations

import gc
import gzip
import io
import json
import math
import sys
import tracemalloc
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest

from pigeonhole.service.errors import RequestError
from pigeonhole.service.model.artifact import load_model
from pigeonhole.service.web.inference.route import SLOW_DECODE_BYTES
from pigeonhole.service.web.rows.protocol import RowsProtocol

ROW = {"height_cm": 172, "weight_kg": 95}
GOOD = json.dumps({"instances": [ROW]})


def predict(client, body, content_type="application/json", path="/predict", **headers):
    return client.post(path, data=body, content_type=content_type, headers=headers)


def predict_rows(client, *rows):
    return predict(client, json.dumps({"instances": rows}))


def test_response_has_exactly_this_shape(client) -> None:
    response = predict(client, GOOD, **{"X-Request-Id": "mine"})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    (prediction,) = response.json["predictions"]
    probabilities = prediction["probabilities"]
    assert response.json == {
        "model": "bodymass",
        "version": "1",
        "id": "mine",
        "predictions": [
            {
                "label": "overweight",
                "probability": probabilities["overweight"],
                "probabilities": {
                    "underweight": probabilities["underweight"],
                    "overweight": probabilities["overweight"],
                },
            }
        ],
    }
    assert list(probabilities) == ["underweight", "overweight"]
    assert probabilities["overweight"] == pytest.approx(0.99752738)


def test_response_to_columns_has_columns(client) -> None:
    body = json.dumps({"inputs": {"height_cm": [172, 160], "weight_kg": [95, 40]}})
    outputs = predict(client, body).json["outputs"]
    rows = predict_rows(client, [172, 95], [160, 40]).json["predictions"]
    assert outputs == {
        "label": [row["label"] for row in rows],
        "probability": [row["probability"] for row in rows],
        "probabilities": {
            name: [row["probabilities"][name] for row in rows]
            for name in ("underweight", "overweight")
        },
    }


def npy(array) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def arrow(new=pa.ipc.new_stream, **columns) -> bytes:
    table = pa.table(columns)
    content = pa.BufferOutputStream()
    with new(content, table.schema) as writer:
        writer.write_table(table)
    return content.getvalue().to_pybytes()


CONTENT_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "headless": "application/csv; Header = Absent",
    "npy": "application/x-npy",
    "stream": "application/vnd.apache.arrow.stream",
    "file": "application/vnd.apache.arrow.file",
    "unnamed": "application/octet-stream",
    "nothing": None,
}

ROW_ARRAY = np.array([[171.3, 66.7]])

BODIES = {
    "objects": (json.dumps({"instances": [{"height_cm": 171.3, "weight_kg": 66.7}]}), "json"),
    "another order": (json.dumps({"instances": [{"weight_kg": 66.7, "height_cm": 171.3}]}), "json"),
    "lists": (json.dumps({"instances": [[171.3, 66.7]]}), "json"),
    "columns": (json.dumps({"inputs": {"height_cm": [171.3], "weight_kg": [66.7]}}), "json"),
    "a byte order mark": ('\ufeff{"instances": [[171.3, 66.7]]}', "json"),
    "csv": ("height_cm,weight_kg\n171.3,66.7\n", "csv"),
    "csv in another order": ("weight_kg,height_cm\n66.7,171.3", "csv"),
    "csv of Windows": ('\ufeff"height_cm","weight_kg"\r\n"171.3","66.7"\r\n', "csv"),
    "csv with blanks": ("height_cm , weight_kg\n\n 1.713e2 , +66.70\n\n", "csv"),
    "csv without a header": ("171.3,66.7", "headless"),
    "a list of inputs": (json.dumps({"inputs": [[171.3, 66.7]]}), "json"),
    "an array": (npy(ROW_ARRAY), "npy"),
    "an array by its bytes": (npy(ROW_ARRAY), "unnamed"),
    "an array by itself": (npy(ROW_ARRAY), "nothing"),
    "an array in Fortran's order": (npy(np.asfortranarray(ROW_ARRAY.astype(">f8"))), "npy"),
    "an array of one row": (npy(ROW_ARRAY[0]), "npy"),
    "an array of texts": (npy(ROW_ARRAY.astype("U")), "npy"),
    "arrow": (arrow(height_cm=[171.3], weight_kg=[66.7]), "stream"),
    "arrow in another order": (arrow(weight_kg=[66.7], height_cm=[171.3]), "stream"),
    "arrow as a file": (arrow(pa.ipc.new_file, height_cm=[171.3], weight_kg=[66.7]), "file"),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_format_gives_the_same_probabilities(lasting_client, name: str) -> None:
    plain = predict_rows(lasting_client, [171.3, 66.7]).json["predictions"][0]["probabilities"]
    body, kind = BODIES[name]
    body = body if isinstance(body, bytes) else body.encode()
    response = predict(lasting_client, body, CONTENT_TYPES[kind])
    assert response.status_code == 200, response.json
    if "outputs" in response.json:
        got = {name: p for name, (p,) in response.json["outputs"]["probabilities"].items()}
    else:
        got = response.json["predictions"][0]["probabilities"]
    assert got == plain  # JSON has all digits of a float32


def test_row_gets_the_same_probabilities_alone_and_among_others(lasting_client) -> None:
    alone = predict_rows(lasting_client, [171.3, 66.7]).json["predictions"][0]
    among = predict_rows(lasting_client, *[[150 + i / 7, 66.7] for i in range(99)], [171.3, 66.7])
    assert among.json["predictions"][-1] == alone


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
def test_json_is_accepted_with_any_content_type(lasting_client, content_type) -> None:
    assert predict(lasting_client, GOOD, content_type).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": []}',
        '{"inputs": {"height_cm": [], "weight_kg": []}}',
        '{"inputs": []}',
    ],
)
def test_request_without_rows_gets_no_predictions(lasting_client, body: str) -> None:
    response = predict(lasting_client, body)
    assert response.status_code == 200
    assert "warnings" not in response.json
    if "outputs" in response.json:
        assert response.json["outputs"] == {
            "label": [],
            "probability": [],
            "probabilities": {"underweight": [], "overweight": []},
        }
    else:
        assert response.json["predictions"] == []


def test_csv_header_alone_gets_no_predictions(lasting_client) -> None:
    response = predict(lasting_client, "height_cm,weight_kg\n", "text/csv")
    assert response.json["predictions"] == []


def test_every_kind_of_feature_is_accepted(lasting_client) -> None:
    rows = [
        {"member": True, "color": "red", "size/cm": 2},
        {"member": 0, "color": "red", "size/cm": 2, "age": None, "shape": None},
        {"member": False, "color": " red ", "size/cm": 2.0, "age": 30, "shape": "round"},
    ]
    body = json.dumps({"instances": rows})
    response = predict(lasting_client, body, path="/v1/models/mixed:predict")
    assert [row["label"] for row in response.json["predictions"]] == ["yes"] * 3
    assert len({row["probability"] for row in response.json["predictions"]}) == 1
    csv = "member,color,size/cm,age,shape\ntrue,red,2,NA,?\n0,blue,2,,null\n"
    response = predict(lasting_client, csv, "text/csv", "/v1/models/mixed:predict")
    assert [row["label"] for row in response.json["predictions"]] == ["yes", "no"]


def test_value_out_of_range_gets_a_warning(client) -> None:
    response = predict_rows(client, ROW, {"height_cm": 1.72, "weight_kg": 95})
    assert len(response.json["predictions"]) == 2
    assert response.json["warnings"] == [
        {"row": 1, "feature": "height_cm", "value": 1.72, "seen": [140.0, 200.0]}
    ]


DATED_BODIES = {
    "objects": '{"instances": [{"size": 1, "seen": "2024-04-02T12:00", "opens": "9:00"}]}',
    "another offset": '{"instances": [{"size": 1, "seen": "2024-04-02 14:00:00+02:00"}]}',
    "lists": '{"instances": [[1, "2024-04-02T12:00Z", null, null, ""]]}',
    "columns": '{"inputs": {"size": [1], "seen": ["2024-04-02T12:00:00.000"], "paid": [null]}}',
    "csv": "size,seen,paid\n1, 2024-04-02T12:00 ,NA\n",
    "csv of Germany": "size;seen;paid\n1,5;2024-04-02 12:00;\n",
}


@pytest.mark.parametrize("name", DATED_BODIES)
def test_datetime_means_the_same_in_every_format(dated_client, name: str) -> None:
    content_type = "text/csv" if name.startswith("csv") else "application/json"
    response = predict(dated_client, DATED_BODIES[name], content_type)
    assert response.status_code == 200, response.json
    if "outputs" in response.json:
        (got,) = response.json["outputs"]["probability"]
    else:
        got = response.json["predictions"][0]["probabilities"]["late"]
    assert got == pytest.approx(1 / (1 + math.exp(-1.5)), abs=1e-6)
    assert "warnings" not in response.json


INVALID_DATES = {
    "objects": ('{"instances": [{"size": 1, "seen": "tomorrow"}]}', "/instances/0/seen"),
    "lists": ('{"instances": [[1, "tomorrow", "red", null, null]]}', "/instances/0/1"),
    "columns": ('{"inputs": {"size": [1], "seen": ["tomorrow"]}}', "/inputs/seen/0"),
    "csv": ("size,seen\n1,tomorrow\n", None),
}


@pytest.mark.parametrize("name", INVALID_DATES)
def test_invalid_datetime_is_reported_with_an_example(dated_client, failed, name: str) -> None:
    body, pointer = INVALID_DATES[name]
    response = predict(dated_client, body, "text/csv" if name == "csv" else "application/json")
    (problem,) = failed(response, 400, "invalid_rows")["problems"]
    assert problem == {
        "row": 0,
        "feature": "seen",
        "expected": "a date such as 2024-05-01 or 2024-05-01T13:45",
        "got": 'string "tomorrow"',
    } | ({"pointer": pointer} if pointer else {})


def test_warning_about_a_datetime_shows_text(dated_client) -> None:
    response = predict_rows(dated_client, {"size": 1, "seen": "2025-01-01", "opens": "7:59"})
    assert response.json["warnings"] == [
        {"row": 0, "feature": "seen", "value": "2025-01-01", "seen": ["2024-01-01", "2024-06-30"]},
        {"row": 0, "feature": "opens", "value": "07:59", "seen": ["08:00", "12:00"]},
    ]


CAREFUL = "/v1/models/careful:predict"


def test_labels_follow_the_threshold_in_the_response(dated_client) -> None:
    body = json.dumps({"instances": [[172, 70], [172, 95]]})
    response = predict(dated_client, body, path=CAREFUL).json
    assert list(response) == ["model", "version", "id", "threshold", "predictions"]
    assert response["threshold"] == {"class": "overweight", "value": 0.9, "metric": "f1"}
    unsure, sure = response["predictions"]
    assert (unsure["label"], sure["label"]) == ("underweight", "overweight")
    probabilities = unsure["probabilities"]
    assert 0.5 < probabilities["overweight"] < 0.9
    assert unsure["probability"] == probabilities["underweight"]


def test_labels_in_columns_follow_the_threshold(dated_client) -> None:
    body = '{"inputs": {"height_cm": [172, 172], "weight_kg": [70, 95]}}'
    response = predict(dated_client, body, path=CAREFUL).json
    assert response["threshold"]["value"] == 0.9
    assert response["outputs"]["label"] == ["underweight", "overweight"]


def test_last_of_repeated_keys_counts(lasting_client) -> None:
    twice = '{"instances": [{"height_cm": 1, "height_cm": 172, "weight_kg": 95}]}'
    once = predict(lasting_client, GOOD).json
    assert predict(lasting_client, twice).json["predictions"] == once["predictions"]


def test_keys_of_other_protocols_are_ignored(lasting_client) -> None:
    body = json.dumps({"signature_name": "serving_default", "instances": [ROW], "parameters": {}})
    assert predict(lasting_client, body).status_code == 200


UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"nope",
    "cut short": b'{"instances": [',
    "extra bytes": b'{"instances": []} x',
    "not UTF-8": b'{"instances": [{"height_cm": "\xff"}]}',
    "UTF-16": '{"instances": []}'.encode("utf-16"),
    "NaN": b'{"instances": [{"height_cm": NaN, "weight_kg": 1}]}',
    "Infinity": b'{"instances": [[Infinity, 1]]}',
    "-Infinity": b'{"inputs": {"height_cm": [-Infinity], "weight_kg": [1]}}',
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"instances":' * 100_000,
    "nested rows": b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_body_that_is_not_json_is_unreadable(lasting_client, failed, body) -> None:
    failed(predict(lasting_client, body, None), 400, "unreadable_body")


WRONG_SHAPE = {
    "a list": ("[]", None),
    "a number": ("1", None),
    "null": ("null", None),
    "empty object": ("{}", None),
    "instances is not a list": ('{"instances": {}}', "/instances"),
    "instances a number": ('{"instances": 3}', "/instances"),
    "inputs is a number": ('{"inputs": 3}', "/inputs"),
}


@pytest.mark.parametrize("name", WRONG_SHAPE)
def test_body_of_a_wrong_shape_is_rejected_with_its_pointer(lasting_client, failed, name) -> None:
    body, pointer = WRONG_SHAPE[name]
    response = failed(predict(lasting_client, body), 400, "invalid_request")
    assert response.get("pointer") == pointer


INVALID_VALUES = {
    # The value as JSON, and its description in the error.
    "text": ('"tall"', 'string "tall"'),
    "a number in text": ('"172"', 'string "172"'),
    "true": ("true", "true"),
    "null": ("null", "null"),
    "a list": ("[172]", "array of 1"),
    "an object": ("{}", "object"),
    "beyond doubles": ("1e400", "a larger number"),
    "a huge whole number": ("9" * 5000, "a larger number"),
    "a lone surrogate": ('"\\ud800"', 'string "?"'),
}


@pytest.mark.parametrize("value_name", INVALID_VALUES)
@pytest.mark.parametrize("name", ["objects", "lists", "columns"])
def test_invalid_value_is_reported_with_its_pointer(
    lasting_client, failed, value_name, name
) -> None:
    value, got = INVALID_VALUES[value_name]
    body, pointer = {
        "objects": (
            f'{{"instances": [[1, 2], {{"height_cm": {value}, "weight_kg": 1}}]}}',
            "/instances/1/height_cm",
        ),
        "lists": (f'{{"instances": [[1, 2], [{value}, 1]]}}', "/instances/1/0"),
        "columns": (
            f'{{"inputs": {{"height_cm": [1, {value}], "weight_kg": [1, 2]}}}}',
            "/inputs/height_cm/1",
        ),
    }[name]
    response = failed(predict(lasting_client, body), 400, "invalid_rows")
    (problem,) = response["problems"]
    expected = "number within the range of doubles" if got == "a larger number" else "number"
    assert problem == {
        "row": 1,
        "feature": "height_cm",
        "pointer": pointer,
        "expected": expected,
        "got": got,
    }


def test_largest_doubles_and_integers_are_accepted(lasting_client) -> None:
    body = f'{{"instances": [[1.7976931348623157e308, -1e308], [{2**64}, -{2**64}], [-0, 5e-324]]}}'
    assert predict(lasting_client, body).status_code == 200


ZEROS = {
    "objects": (b'{"instances": [{"height_cm": -0, "weight_kg": -0.0}]}', "json"),
    "lists": (b'{"instances": [[-0, -0.0]]}', "json"),
    "columns": (b'{"inputs": {"height_cm": [-0], "weight_kg": [-0.0]}}', "json"),
    "csv": (b"height_cm,weight_kg\n-0,-0.0\n", "csv"),
    "csv in decimal commas": (b"height_cm;weight_kg\n-0;-0,0\n", "csv"),
    "an array of texts": (npy(np.array([["-0", "-0.0"]])), "npy"),
}


@pytest.mark.parametrize("name", ZEROS)
def test_only_a_decimal_zero_has_a_sign_in_every_format(models, name: str) -> None:
    model = load_model(
        models / "bodymass/1/model.onnx", name="m", version=1, threads=1, max_bytes=2**20
    )
    body, kind = ZEROS[name]
    headers = {"content-type": CONTENT_TYPES[kind]}
    (row,) = RowsProtocol(10).decode(model, body, headers.get).columns.numbers.tolist()
    assert [math.copysign(1, number) for number in row] == [1, -1]


def test_unknown_feature_is_reported_with_the_similar_name(lasting_client, failed) -> None:
    response = failed(predict_rows(lasting_client, {"hieght_cm": 172, "weight_kg": 95, "qqq": 1}))
    assert response["error"] == "2 problems in 1 row"
    meant, unknown = response["problems"]
    assert meant["did_you_mean"] == "height_cm"
    assert "did_you_mean" not in unknown
    assert unknown["pointer"] == "/instances/0/qqq"


def test_all_problems_are_reported_up_to_a_limit(lasting_client, failed) -> None:
    few = failed(predict_rows(lasting_client, ["a", "b"], {}, None), 400, "invalid_rows")
    assert [problem["row"] for problem in few["problems"]] == [0, 0, 1, 1, 2]
    assert "truncated" not in few
    many = failed(predict_rows(lasting_client, *[["a", "b"]] * 500), 400, "invalid_rows")
    assert len(many["problems"]) == 20
    assert many["truncated"] is True


def test_columns_of_unequal_length_are_rejected(lasting_client, failed) -> None:
    body = '{"inputs": {"height_cm": [1, 2], "weight_kg": [1]}}'
    (problem,) = failed(predict(lasting_client, body), 400, "invalid_rows")["problems"]
    assert problem["feature"] == "weight_kg"


@pytest.mark.parametrize("unknown", ["[1]", "[1, 2, 3]", "[]", "{}", "null", "7"])
def test_unknown_column_is_reported_with_any_content(lasting_client, failed, unknown) -> None:
    body = f'{{"inputs": {{"height_cm": [1, 2], "weight_kg": [1, 2], "x": {unknown}}}}}'
    response = failed(predict(lasting_client, body), 400, "invalid_rows")
    assert "x" in {problem["feature"] for problem in response["problems"]}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("a=1", "application/x-www-form-urlencoded"), ("<row/>", "application/xml")],
)
def test_unsupported_media_type_is_rejected(lasting_client, failed, body, content_type) -> None:
    response = failed(predict(lasting_client, body, content_type), 415, "unsupported_media_type")
    assert content_type in response["error"]


FOREIGN = {
    "parquet": (b"PAR1\x15\x04\xff\xfe", "application/vnd.apache.parquet"),
    "protobuf": (b"\n\x84\xff\x01", "application/x-protobuf"),
    "gzip without Content-Encoding": (gzip.compress(b"{}" * 99), "application/gzip"),
    "many brackets": (b"\xff[{" * 200_000, "application/octet-stream"),
    "text": (b"hello", "text/plain"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("path", ["/predict", "/v1/models/bodymass:predict", "/invocations"])
def test_error_about_a_foreign_body_lists_the_accepted_media_types(
    lasting_client, failed, name: str, path: str
) -> None:
    body, content_type = FOREIGN[name]
    response = predict(lasting_client, body, content_type, path)
    error = failed(response, 415, "unsupported_media_type")["error"]
    for subtype in (
        "json",
        "x-ndjson",
        "x-npy",
        "vnd.apache.arrow.stream",
        "vnd.apache.arrow.file",
    ):
        assert f"application/{subtype}" in error
    assert "text/csv" in error


@pytest.mark.parametrize("content_type", ["application/json", None, "text/plain"])
def test_json_that_is_not_utf8_is_unreadable(lasting_client, failed, content_type) -> None:
    body = b' {"instances": [["\xff", 1]]}'
    failed(predict(lasting_client, body, content_type), 400, "unreadable_body")


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_error_about_nan_says_what_to_send(lasting_client, failed, number: str) -> None:
    response = predict(lasting_client, f'{{"instances": [[{number}, 1]]}}')
    error = failed(response, 400, "unreadable_body")["error"]
    assert error.endswith(f"{number} is not a JSON number; send null for a missing value")


LINES = ["application/x-ndjson", "application/jsonlines", "application/jsonl", "application/ndjson"]


@pytest.mark.parametrize("accept", LINES)
@pytest.mark.parametrize("name", ["objects", "columns", "csv", "an array", "arrow"])
def test_accept_selects_ndjson_for_every_format(lasting_client, accept: str, name: str) -> None:
    plain = predict_rows(lasting_client, [171.3, 66.7]).json["predictions"]
    body, kind = BODIES[name]
    response = predict(lasting_client, body, CONTENT_TYPES[kind], Accept=accept)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["X-Model-Name"] == "bodymass"
    assert response.headers["X-Model-Version"] == "1"
    assert response.text.endswith("}\n")
    assert [json.loads(line) for line in response.text.splitlines()] == plain


def test_line_has_the_warnings_of_its_row(lasting_client) -> None:
    path = "/v1/models/mixed:predict"
    rows = [{"member": 1, "color": "red", "size/cm": size} for size in (2, 99)]
    body = json.dumps({"instances": rows})
    first, second = (
        json.loads(line)
        for line in predict(lasting_client, body, path=path, Accept=LINES[0]).text.splitlines()
    )
    assert "warnings" not in first
    (warning,) = second["warnings"]
    assert (warning["row"], warning["feature"], warning["seen"]) == (1, "size/cm", [1, 9])


def test_response_to_ndjson_is_ndjson_for_any_accept(lasting_client) -> None:
    response = predict(lasting_client, "[172, 95]\n", LINES[0], Accept="text/csv")
    assert response.headers["Content-Type"] == "application/x-ndjson"


MILLION = 1_000_000
MANY_ROWS = {
    "objects": '{"instances": [' + "{}," * MILLION + "{}]}",
    "lists": '{"instances": [' + "[]," * MILLION + "[]]}",
    "numbers": '{"instances": [' + "1," * MILLION + "1]}",
    "columns": '{"inputs": {"height_cm": ['
    + "1," * MILLION
    + '1], "weight_kg": ['
    + "1," * MILLION
    + "1]}}",
    "csv": "height_cm,weight_kg\n" + "1,1\n" * (MILLION + 1),
    "rows as inputs": '{"inputs": [' + "[1,1]," * MILLION + "[1,1]]}",
}


@pytest.mark.parametrize("name", MANY_ROWS)
def test_million_rows_are_rejected_in_bounded_memory(lasting_client, failed, name: str) -> None:
    body = MANY_ROWS[name].encode()
    tracemalloc.start()
    try:
        response = predict(
            lasting_client, body, "text/csv" if name == "csv" else "application/json"
        )
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    error = failed(response, 413, "too_many_rows")
    assert error["limit"] == 10_000
    assert error["error"].startswith("the request has 1000001 rows, ")
    assert peak_bytes < 130 * 2**20


MANY_CONTAINERS = {
    "one long column": '{"inputs": {"weight_kg": [1], "height_cm": [' + "{}," * MILLION + "1]}}",
    "one long row": '{"instances": [[' + "[]," * MILLION + "1]]}",
    "another key": '{"x": [' + "[]," * MILLION + "1]}",
    "nothing around it": "[" + "[]," * MILLION + "1]",
}


@pytest.mark.parametrize("name", MANY_CONTAINERS)
def test_million_lists_are_rejected_before_decoding(lasting_client, failed, name: str) -> None:
    body = MANY_CONTAINERS[name].encode()
    tracemalloc.start()
    try:
        response = predict(lasting_client, body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "lists and objects" in failed(response, 400, "invalid_request")["error"]
    assert peak_bytes < 8 * len(body)


def test_brackets_in_strings_are_not_counted(lasting_client, failed) -> None:
    text = json.dumps({"instances": [[172, '\\"[' * MILLION]]})
    (problem,) = failed(predict(lasting_client, text), 400, "invalid_rows")["problems"]
    assert problem["feature"] == "weight_kg"


INVALID_BODIES = [
    *((b"x" * 1000, None), (b'{"instances": [["tall", 1]]}', None), (b"[]", None)),
    (b"height_cm,weight_kg\ntall,1", "text/csv"),
    (b"height_cm,weight_kg\n1", "text/csv"),
    (npy(np.full((1, 2), np.nan)), "application/x-npy"),
    (npy(np.zeros((1, 2), complex)), "application/x-npy"),
    (b"\x93NUMPY\x01\x00\x01\x00{", "application/x-npy"),
    (arrow(height_cm=[None], weight_kg=[1.0]), "application/vnd.apache.arrow.stream"),
    (b"x" * 1000, "application/vnd.apache.arrow.stream"),
    *((b"\xff" * 1000, content_type) for content_type in ("application/x-protobuf", None)),
    (arrow(height_cm=[[1.0]], weight_kg=[1.0]), "application/vnd.apache.arrow.stream"),
    (b"x,y,z\n" * 100, "text/csv"),
]


@pytest.mark.parametrize(("body", "content_type"), INVALID_BODIES)
def test_rejected_body_is_released_without_garbage_collection(
    models, body: bytes, content_type
) -> None:
    model = load_model(
        models / "bodymass/1/model.onnx", name="m", version=1, threads=1, max_bytes=2**20
    )
    protocol = RowsProtocol(10)
    headers = {"content-type": content_type}
    holders = sys.getrefcount(body)
    gc.disable()
    try:
        for _ in range(50):
            with suppress(RequestError):
                protocol.decode(model, body, headers.get)
        assert sys.getrefcount(body) == holders
    finally:
        gc.enable()


def test_rows_are_limited_in_every_format(start, models, failed) -> None:
    client = start(models=models, max_rows=3)
    csv = "height_cm,weight_kg\n" + "172,95\n" * 3
    columns = '{"inputs": {"height_cm": [1, 2, 3%s], "weight_kg": [1, 2, 3%s]}}'
    assert predict_rows(client, *[ROW] * 3).status_code == 200
    assert predict(client, csv, "text/csv").status_code == 200
    assert predict(client, columns % ("", "")).status_code == 200
    failed(predict_rows(client, *[ROW] * 4), 413, "too_many_rows")
    failed(predict(client, csv + "172,95\n", "text/csv"), 413, "too_many_rows")
    failed(predict(client, columns % (", 4", ", 4")), 413, "too_many_rows")


def test_compressed_body_gets_the_response_of_the_plain_one(lasting_client) -> None:
    compressed = predict(
        lasting_client, gzip.compress(GOOD.encode()), **{"Content-Encoding": "gzip"}
    )
    assert compressed.json["predictions"] == predict(lasting_client, GOOD).json["predictions"]


def test_arrow_is_never_decoded_on_an_event_loop() -> None:
    # The first Arrow body in a worker imports pyarrow.
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    assert RowsProtocol(10).decode_cost(headers.get, b"x") >= SLOW_DECODE_BYTES
