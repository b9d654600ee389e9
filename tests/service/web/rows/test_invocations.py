"""/invocations: every notation of MLflow's and SageMaker's clients gets the same response."""

from __future__ import annotations

import io
import json
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.app import Service
from pigeonhole.service.settings import Settings
from pigeonhole.service.web.rows.invocations import InvocationsProtocol
from pigeonhole.trainer.graph import Graph

PATH = "/invocations"
COLUMNS = ["weight_kg", "height_cm"]


def invoke(client, body, content_type="application/json", **headers):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(PATH, data=data, content_type=content_type, headers=headers)


def split(*data, columns=COLUMNS, **more):
    return {"dataframe_split": {"columns": columns, "data": list(data), **more}}


NOTATIONS = {
    "split": split([66.7, 171.3]),
    "split with an index": split([66.7, 171.3], index=["a"]),
    "split in signature order": split([171.3, 66.7], columns=["height_cm", "weight_kg"]),
    "split without columns": {"dataframe_split": {"data": [[171.3, 66.7]]}},
    "split with numbered columns": split([171.3, 66.7], columns=[0, 1]),
    "records": {"dataframe_records": [{"height_cm": 171.3, "weight_kg": 66.7}]},
    "records as lists": {"dataframe_records": [[171.3, 66.7]]},
    "instances": {"instances": [{"weight_kg": 66.7, "height_cm": 171.3}]},
    "instances as lists": {"instances": [[171.3, 66.7]]},
    "instances as columns": {"instances": {"weight_kg": [66.7], "height_cm": [171.3]}},
    "inputs": {"inputs": [[171.3, 66.7]]},
    "inputs as objects": {"inputs": [{"weight_kg": 66.7, "height_cm": 171.3}]},
    "inputs as columns": {"inputs": {"weight_kg": [66.7], "height_cm": [171.3]}},
    "inputs of one row": {"inputs": {"weight_kg": 66.7, "height_cm": 171.3}},
    "a list of lists": [[171.3, 66.7]],
    "a list of values": [171.3, 66.7],
    "a list of objects": [{"height_cm": 171.3, "weight_kg": 66.7}],
    "a frame alone": {"columns": COLUMNS, "index": [0], "data": [[66.7, 171.3]]},
    "parameters": split([66.7, 171.3]) | {"params": {"temperature": 1}},
    "a byte order mark": "\ufeff" + json.dumps(split([66.7, 171.3])),
    "csv": "weight_kg,height_cm\n66.7,171.3\n",
    "csv without a header": "171.3,66.7\n",
    "csv of Windows without a header": "\ufeff171.3,66.7\r\n",
}


@pytest.mark.parametrize("notation", NOTATIONS)
def test_every_notation_of_a_row_gets_the_same_response(lasting_client, notation: str) -> None:
    plain = lasting_client.post("/predict", json={"instances": [[171.3, 66.7]]}).json
    content_type = "text/csv; charset=utf-8" if notation.startswith("csv") else "application/json"
    response = invoke(lasting_client, NOTATIONS[notation], content_type)
    assert response.status_code == 200, response.json
    assert response.headers["Content-Type"] == "application/json"
    assert response.json == plain | {"id": response.json["id"]}


@pytest.mark.parametrize(
    "content_type", ["application/json; format=pandas-split", "text/plain", None]
)
def test_json_is_accepted_with_any_content_type(lasting_client, content_type) -> None:
    assert invoke(lasting_client, NOTATIONS["a frame alone"], content_type).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        split(),
        {"dataframe_split": {"data": []}},
        {"dataframe_records": []},
        {"inputs": []},
        {"instances": []},
        {"inputs": {"height_cm": [], "weight_kg": []}},
        [],
    ],
    ids=json.dumps,
)
def test_request_without_rows_gets_no_predictions(lasting_client, body) -> None:
    assert invoke(lasting_client, body).json["predictions"] == []


def test_default_model_predicts(start, models, write_model, failed) -> None:
    write_model(models, "other")
    response = invoke(start(models=models), [[172, 95]])
    assert failed(response, 404, "no_default_model")["models"] == ["bodymass", "other"]
    assert invoke(start(models=models, default_model="other"), [[172, 95]]).json["model"] == "other"


@pytest.fixture
def start_small(tmp_path, start):
    """Return a function that starts a service; its model says yes if the first category is red."""

    def start_with(*names: str):
        graph = Graph("small")
        values = graph.input("categories", "string", len(names))
        first = graph.add("Gather", values, graph.constant(np.array([0]), "first"), axis=1)
        red = graph.add("Equal", first, graph.constant(np.array("red", dtype=object), "red"))
        kernel = graph.constant(np.array([[-2.0, 2.0]], np.float32), "kernel")
        logits = graph.add("MatMul", graph.add("Cast", red, to=1), kernel)
        graph.output(graph.add("Softmax", logits, axis=1), "probabilities", "float", 2)
        features = [{"name": name, "kind": "category"} for name in names]
        golden = {
            "row": dict.fromkeys(names, "blue"),
            "label": "no",
            "probabilities": {"no": 0.5, "yes": 0.5},
        }
        metadata = {
            "pigeonhole": "1",
            "signature": json.dumps({"features": features, "classes": ["no", "yes"]}),
            "golden": json.dumps([golden]),
        }
        folder = tmp_path / "models" / "small" / "1"
        folder.mkdir(parents=True)
        content = graph.model(metadata, "test").SerializeToString()
        (folder / "model.onnx").write_bytes(content)
        return start()

    return start_with


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, write_mixed_model):
    """Return a client of a service whose only model is mixed."""
    models = tmp_path_factory.mktemp("models")
    write_mixed_model(models)
    service = Service(Settings(models=models, reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


def test_optional_columns_may_be_omitted_in_any_order(mixed) -> None:
    responses = [
        invoke(mixed, split(*rows, columns=columns)).json["predictions"]
        for columns, rows in [
            (["color", "member", "size/cm"], [["red", True, 2], ["blue", 0, 3.5]]),
            (
                ["size/cm", "shape", "color", "age", "member"],
                [[2, None, "red", None, 1], [3.5, "", " blue", None, False]],
            ),
            (
                ["age", "member", "color", "size/cm", "shape"],
                [[None, True, "red", 2, None], [None, False, "blue", 3.5, None]],
            ),
        ]
    ]
    assert [row["label"] for row in responses[0]] == ["yes", "no"]
    assert responses[0] == responses[1] == responses[2]


def test_nan_is_a_missing_value(mixed, failed) -> None:
    columns = ["age", "member", "color", "size/cm", "shape"]
    body = split([math.nan, True, "red", 2, math.nan], [3, True, "NaN", 2, "a"], columns=columns)
    response = invoke(mixed, body)
    assert [row["label"] for row in response.json["predictions"]] == ["yes", "no"]
    response = invoke(mixed, split([1, True, "red", math.nan, "a"], columns=columns))
    (problem,) = failed(response, 400, "invalid_rows")["problems"]
    assert problem["pointer"] == "/dataframe_split/data/0/3"


def test_body_with_nan_costs_more_to_decode() -> None:
    protocol = InvocationsProtocol(10)
    body = json.dumps(split([1, 2])).encode()
    assert protocol.decode_cost({}.get, body) == len(body)
    body = json.dumps(split([1, math.nan])).encode()
    assert protocol.decode_cost({}.get, body) > 2 * len(body)


def test_nat_is_a_missing_datetime(dated_client, failed) -> None:
    columns = ["size", "seen", "color", "paid"]
    plain = invoke(dated_client, split([1, "2024-04-03", "NaT", None], columns=columns)).json
    body = split([1, "2024-04-03", "NaT", "NaT"], columns=columns)
    response = invoke(dated_client, body)
    assert response.json["predictions"] == plain["predictions"]
    rows = [dict(zip(columns, row, strict=True)) for row in body["dataframe_split"]["data"]]
    response = invoke(dated_client, {"dataframe_records": rows})
    assert response.json["predictions"] == plain["predictions"]
    response = invoke(dated_client, split([1, "NaT", "red", None], columns=columns))
    (problem,) = failed(response, 400, "invalid_rows")["problems"]
    assert (problem["feature"], problem["got"]) == ("seen", "null")


def test_infinity_is_rejected(lasting_client, failed) -> None:
    failed(invoke(lasting_client, split([math.inf, 1])), 400, "unreadable_body")


INVALID_VALUES = {
    "split": (split([1, 2], [1, "tall"]), "/dataframe_split/data/1/1"),
    "split in signature order": (
        split([1, 2], ["tall", 1], columns=["height_cm", "weight_kg"]),
        "/dataframe_split/data/1/0",
    ),
    "records": (
        {
            "dataframe_records": [
                {"height_cm": 1, "weight_kg": 1},
                {"height_cm": "tall", "weight_kg": 1},
            ]
        },
        "/dataframe_records/1/height_cm",
    ),
    "instances": ({"instances": [[1, 2], ["tall", 1]]}, "/instances/1/0"),
    "inputs": ({"inputs": [[1, 2], ["tall", 1]]}, "/inputs/1/0"),
    "columns": (
        {"inputs": {"height_cm": [1, "tall"], "weight_kg": [1, 1]}},
        "/inputs/height_cm/1",
    ),
    "a list": ([[1, 2], ["tall", 1]], "/1/0"),
    "a list of values and rows": ([[1, 2], {"height_cm": "tall", "weight_kg": 1}], "/1/height_cm"),
    "a frame alone": ({"columns": COLUMNS, "data": [[1, 2], [1, "tall"]]}, "/data/1/1"),
}


@pytest.mark.parametrize("notation", INVALID_VALUES)
def test_invalid_value_is_reported_with_its_pointer_in_every_notation(
    lasting_client, failed, notation
) -> None:
    body, pointer = INVALID_VALUES[notation]
    response = failed(invoke(lasting_client, body), 400, "invalid_rows")
    assert response["problems"] == [
        {
            "row": 1,
            "feature": "height_cm",
            "pointer": pointer,
            "expected": "number",
            "got": 'string "tall"',
        }
    ]


def test_invalid_value_of_a_single_row_is_reported_with_its_pointer(lasting_client, failed) -> None:
    response = invoke(lasting_client, {"inputs": {"height_cm": "tall", "weight_kg": 1, "a/b": 2}})
    problems = failed(response, 400, "invalid_rows")["problems"]
    assert [p["pointer"] for p in problems] == ["/inputs/height_cm", "/inputs/a~1b"]


def test_list_of_values_is_one_row(lasting_client, failed) -> None:
    response = failed(invoke(lasting_client, [172, "heavy"]), 400, "invalid_rows")
    (problem,) = response["problems"]
    assert (problem["row"], problem["feature"], problem["pointer"]) == (0, "weight_kg", "/1")
    (problem,) = failed(invoke(lasting_client, [1, 2, 3]), 400, "invalid_rows")["problems"]
    assert (problem["row"], problem["expected"], problem["got"]) == (
        *(0, "2 values: height_cm, weight_kg", "3 values"),
    )


def test_list_that_holds_a_row_is_a_list_of_rows(lasting_client, failed) -> None:
    (problem,) = failed(invoke(lasting_client, [[1, 2], 3]), 400, "invalid_rows")["problems"]
    assert (problem["row"], problem["pointer"]) == (1, "/1")


def test_values_are_rows_of_a_model_with_one_feature(start_small) -> None:
    client = start_small("color")
    responses = [
        invoke(client, rows).json["predictions"] for rows in (["red", "blue"], [["red"], ["blue"]])
    ]
    assert [row["label"] for row in responses[0]] == ["yes", "no"]
    assert responses[0] == responses[1]


def test_columns_of_a_frame_are_checked_once(lasting_client, failed) -> None:
    rows = [["tall", 2, 3]] * 100
    response = invoke(lasting_client, split(*rows, columns=["weight", "height_cm", "x"]))
    problems = failed(response, 400, "invalid_rows")["problems"]
    assert [(p["feature"], p["pointer"], p.get("did_you_mean")) for p in problems] == [
        ("weight", "/dataframe_split/columns/0", "weight_kg"),
        ("x", "/dataframe_split/columns/2", None),
    ]
    response = invoke(lasting_client, split([1], columns=["height_cm"]))
    (problem,) = failed(response, 400, "invalid_rows")["problems"]
    assert (problem["feature"], problem["pointer"]) == ("weight_kg", "/dataframe_split/columns")


def test_report_of_unknown_columns_is_truncated(lasting_client, failed) -> None:
    columns = [f"column {place}" for place in range(100_000)]
    response = failed(invoke(lasting_client, split(columns=columns)), 400, "invalid_rows")
    assert (len(response["problems"]), response["truncated"]) == (20, True)


def test_rows_of_a_wrong_length_are_reported(lasting_client, failed) -> None:
    response = invoke(lasting_client, split([1, 2], [1], 3, [1, 2, 3]))
    problems = failed(response, 400, "invalid_rows")["problems"]
    assert [(p["row"], p["pointer"], p["got"]) for p in problems] == [
        (1, "/dataframe_split/data/1", "1 value"),
        (2, "/dataframe_split/data/2", "number 3"),
        (3, "/dataframe_split/data/3", "3 values"),
    ]


WRONG_SHAPE = {
    "a number": ("1", None),
    "empty object": ("{}", None),
    "two keys": ('{"instances": [], "inputs": []}', None),
    "split a list": ('{"dataframe_split": []}', "/dataframe_split"),
    "split without data": ('{"dataframe_split": {"columns": []}}', "/dataframe_split/data"),
    "data an object": ('{"dataframe_split": {"data": {}}}', "/dataframe_split/data"),
    "columns an object": (
        '{"dataframe_split": {"columns": {}, "data": []}}',
        "/dataframe_split/columns",
    ),
    "a column that is not text": (
        '{"dataframe_split": {"columns": ["height_cm", null], "data": []}}',
        "/dataframe_split/columns/1",
    ),
    "column numbers in another order": (
        '{"dataframe_split": {"columns": [1, 0], "data": []}}',
        "/dataframe_split/columns/0",
    ),
    "a column twice": (
        '{"dataframe_split": {"columns": ["height_cm", "height_cm"], "data": []}}',
        "/dataframe_split/columns/1",
    ),
    "records an object": ('{"dataframe_records": {}}', "/dataframe_records"),
    "inputs a text": ('{"inputs": "x"}', "/inputs"),
    "instances null": ('{"instances": null}', "/instances"),
}


@pytest.mark.parametrize("name", WRONG_SHAPE)
def test_body_of_a_wrong_shape_is_rejected_with_its_pointer(lasting_client, failed, name) -> None:
    body, pointer = WRONG_SHAPE[name]
    response = failed(invoke(lasting_client, body), 400, "invalid_request")
    assert response.get("pointer") == pointer


@pytest.mark.parametrize(
    "body", [b"", b"nope", b'{"inputs": [', b"[" * 100_000, b'{"inputs":' * 100_000, b'["\xff"]']
)
def test_body_that_is_not_json_is_unreadable(lasting_client, failed, body) -> None:
    failed(invoke(lasting_client, body), 400, "unreadable_body")


@pytest.mark.parametrize(
    "notation",
    ["split", "records", "instances as lists", "inputs as columns", "a list of lists", "csv"],
)
def test_rows_are_limited_in_every_notation(start, models, failed, notation) -> None:
    client = start(models=models, max_rows=2)
    body = {
        "split": split(*[[1, 2]] * 3),
        "records": {"dataframe_records": [{"height_cm": 1, "weight_kg": 1}] * 3},
        "instances as lists": {"instances": [[1, 2]] * 3},
        "inputs as columns": {"inputs": {"height_cm": [1] * 3, "weight_kg": [1] * 3}},
        "a list of lists": [[1, 2]] * 3,
        "csv": "1,2\n" * 3,
    }[notation]
    response = invoke(client, body, "text/csv" if notation == "csv" else "application/json")
    assert failed(response, 413, "too_many_rows")["limit"] == 2


@pytest.mark.parametrize("cells", ["172", "172,95,1", "172;95;1", "a,b,c"])
def test_error_about_an_unclear_first_line_shows_the_content_type_to_set(
    lasting_client, failed, cells: str
) -> None:
    response = invoke(lasting_client, f"{cells}\n172,95\n", "text/csv")
    assert "text/csv; header=absent" in failed(response, 400, "invalid_request")["error"]


def test_first_line_with_a_feature_name_is_a_header(lasting_client, failed) -> None:
    for header in ("height_cm,weight", "Height_cm,Weight_kg", "height_cm;weight"):
        response = invoke(lasting_client, f"{header}\n172,95\n", "text/csv")
        assert failed(response, 400, "invalid_rows")["problems"]


def test_rows_of_categories_need_no_header(start_small) -> None:
    client = start_small("color", "shape")
    rows = "red,round\nblue,flat\n"
    plain = invoke(client, f"color,shape\n{rows}", "text/csv")
    bare = invoke(client, rows, "text/csv")
    assert [row["label"] for row in plain.json["predictions"]] == ["yes", "no"]
    assert bare.json["predictions"] == plain.json["predictions"]


def test_content_type_decides_whether_there_is_a_header(lasting_client, failed) -> None:
    response = invoke(lasting_client, "172,95\n", "text/csv; header=present")
    failed(response, 400, "invalid_request")
    response = invoke(lasting_client, "172,95\n", "text/csv; header=absent")
    assert len(response.json["predictions"]) == 1


def test_every_order_of_columns_is_accepted(mixed, failed) -> None:
    names = ["age", "member", "color", "size/cm", "shape"]
    values = dict(zip(names, [1, True, "red", 2, "a"], strict=True))
    plain = invoke(mixed, {"dataframe_records": [values]}).json["predictions"]
    for order in permutations(names):  # more orders than are cached
        row = [values[name] for name in order]
        assert invoke(mixed, split(row, columns=order)).json["predictions"] == plain
        failed(invoke(mixed, split(row, columns=(*order, order[0]))), 400, "invalid_request")


def test_csv_response_has_a_header_if_the_body_has_one(lasting_client) -> None:
    rows = "172,95\n180,50\n"
    plain = invoke(lasting_client, rows, "text/csv").json["predictions"]
    response = invoke(lasting_client, rows, "text/csv", Accept="text/csv")
    assert response.content_type == "text/csv"
    labels = [line.split(",")[0] for line in response.text.splitlines()]
    assert labels == [row["label"] for row in plain]
    response = invoke(lasting_client, f"height_cm,weight_kg\n{rows}", "text/csv", Accept="text/csv")
    assert [line.split(",")[0] for line in response.text.splitlines()] == ["label", *labels]


def test_formats_of_the_rows_protocol_are_accepted(lasting_client) -> None:
    content = io.BytesIO()
    np.save(content, np.array([[171.3, 66.7]]))
    response = invoke(lasting_client, content.getvalue(), "application/x-npy")
    plain = invoke(lasting_client, [[171.3, 66.7]])
    assert response.json["predictions"] == plain.json["predictions"]
    lines = invoke(lasting_client, "[171.3, 66.7]\n", "application/jsonlines")
    assert json.loads(lines.data) == plain.json["predictions"][0]


@pytest.mark.parametrize("notation", ["split", "a list of values", "csv without a header", "csv"])
def test_accept_selects_ndjson_for_every_notation(lasting_client, notation) -> None:
    plain = invoke(lasting_client, [171.3, 66.7]).json["predictions"]
    content_type = "text/csv" if notation.startswith("csv") else "application/json"
    response = invoke(
        lasting_client, NOTATIONS[notation], content_type, Accept="application/jsonlines"
    )
    assert response.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == plain


NAMES = ["age", "member", "color", "size/cm", "shape"]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 2.5, -0.0, 1e300, "red", " blue ", "", "NaN", "\\u0000", '"'])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUES = SCALARS | st.just([]) | st.just({})


@given(
    rows=st.lists(st.tuples(*[VALUES] * 5), max_size=4)
    | st.lists(
        st.tuples(
            st.none() | st.floats(0, 90),
            st.booleans() | st.sampled_from([0, 1]),
            st.sampled_from(["red", "blue", " red", 1, 1.5, True]),
            st.integers(-9, 9),
            st.none() | st.text(max_size=3),
        ),
        max_size=4,
    ),
    order=st.permutations(range(5)),
    omitted=st.sets(st.sampled_from([0, 4])),
)
def test_frame_gets_the_response_of_its_rows(mixed, rows, order, omitted) -> None:
    order = [place for place in order if place not in omitted]
    columns = [NAMES[place] for place in order]
    frame = split(*([row[place] for place in order] for row in rows), columns=columns)
    records = [{NAMES[place]: row[place] for place in order} for row in rows]
    plain = mixed.post("/predict", json={"instances": records})
    for body in (frame, {"dataframe_records": records}):
        response = invoke(mixed, body)
        assert response.status_code == plain.status_code
        if response.status_code == 200:
            assert response.json["predictions"] == plain.json["predictions"]
        else:
            assert without_pointers(response.json) == without_pointers(plain.json)


def without_pointers(error: dict) -> dict:
    for problem in error.get("problems", []):
        del problem["pointer"]
    return error
