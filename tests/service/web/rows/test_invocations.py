"""/invocations: every form that MLflow's and SageMaker's clients send, with the same answer."""

from __future__ import annotations

import io
import json
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
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


FORMS = {
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


@pytest.mark.parametrize("form", FORMS)
def test_the_same_row_gets_the_same_answer_in_every_form(lasting_client, form: str) -> None:
    plain = lasting_client.post("/predict", json={"instances": [[171.3, 66.7]]}).json
    content_type = "text/csv; charset=utf-8" if form.startswith("csv") else "application/json"
    answer = invoke(lasting_client, FORMS[form], content_type)
    assert answer.status_code == 200, answer.json
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == plain | {"id": answer.json["id"]}


@pytest.mark.parametrize(
    "content_type", ["application/json; format=pandas-split", "text/plain", None]
)
def test_json_is_taken_whatever_the_content_type_says(lasting_client, content_type) -> None:
    assert invoke(lasting_client, FORMS["a frame alone"], content_type).status_code == 200


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
def test_no_rows_get_no_predictions(lasting_client, body) -> None:
    assert invoke(lasting_client, body).json["predictions"] == []


def test_it_is_the_default_model_that_is_meant(start, models, write_model, failed) -> None:
    write_model(models, "other")
    answer = invoke(start(models=models), [[172, 95]])
    assert failed(answer, 404, "no_default_model")["models"] == ["bodymass", "other"]
    assert invoke(start(models=models, default_model="other"), [[172, 95]]).json["model"] == "other"


@pytest.fixture
def start_small(tmp_path, start):
    """Starts a service on a model of categories alone, which says yes where the first is red."""

    def started(*names: str):
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

    return started


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, write_mixed_model):
    """A client of a service on mixed alone."""
    models = tmp_path_factory.mktemp("models")
    write_mixed_model(models)
    service = Service(Settings(models=models, reload_seconds=3600))
    yield service.flask.test_client()
    service.close()


def test_columns_that_may_be_missing_may_be_left_out_in_any_order(mixed) -> None:
    answers = [
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
    assert [row["label"] for row in answers[0]] == ["yes", "no"]
    assert answers[0] == answers[1] == answers[2]


def test_nan_is_a_missing_value_as_pandas_writes_it(mixed, failed) -> None:
    columns = ["age", "member", "color", "size/cm", "shape"]
    body = split([math.nan, True, "red", 2, math.nan], [3, True, "NaN", 2, "a"], columns=columns)
    answer = invoke(mixed, body)
    assert [row["label"] for row in answer.json["predictions"]] == ["yes", "no"]
    answer = invoke(mixed, split([1, True, "red", math.nan, "a"], columns=columns))
    (problem,) = failed(answer, 400, "invalid_rows")["problems"]
    assert problem["pointer"] == "/dataframe_split/data/0/3"


def test_what_pandas_spells_its_own_way_is_known_to_take_longer() -> None:
    protocol = InvocationsProtocol(10)
    body = json.dumps(split([1, 2])).encode()
    assert protocol.decode_cost({}.get, body) == len(body)
    body = json.dumps(split([1, math.nan])).encode()
    assert protocol.decode_cost({}.get, body) > 2 * len(body)


def test_a_datetime_that_pandas_has_none_of_is_missing(dated_client, failed) -> None:
    columns = ["size", "seen", "color", "paid"]
    plain = invoke(dated_client, split([1, "2024-04-03", "NaT", None], columns=columns)).json
    body = split([1, "2024-04-03", "NaT", "NaT"], columns=columns)
    answer = invoke(dated_client, body)
    assert answer.json["predictions"] == plain["predictions"]
    rows = [dict(zip(columns, row, strict=True)) for row in body["dataframe_split"]["data"]]
    answer = invoke(dated_client, {"dataframe_records": rows})
    assert answer.json["predictions"] == plain["predictions"]
    answer = invoke(dated_client, split([1, "NaT", "red", None], columns=columns))
    (problem,) = failed(answer, 400, "invalid_rows")["problems"]
    assert (problem["feature"], problem["got"]) == ("seen", "null")


def test_infinity_is_no_number(lasting_client, failed) -> None:
    failed(invoke(lasting_client, split([math.inf, 1])), 400, "unreadable_body")


WRONG_VALUES = {
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


@pytest.mark.parametrize("form", WRONG_VALUES)
def test_a_wrong_value_is_named_with_its_place_in_every_form(lasting_client, failed, form) -> None:
    body, pointer = WRONG_VALUES[form]
    answer = failed(invoke(lasting_client, body), 400, "invalid_rows")
    assert answer["problems"] == [
        {
            "row": 1,
            "feature": "height_cm",
            "pointer": pointer,
            "expected": "number",
            "got": 'string "tall"',
        }
    ]


def test_a_wrong_value_of_a_row_by_itself_is_named_too(lasting_client, failed) -> None:
    answer = invoke(lasting_client, {"inputs": {"height_cm": "tall", "weight_kg": 1, "a/b": 2}})
    problems = failed(answer, 400, "invalid_rows")["problems"]
    assert [p["pointer"] for p in problems] == ["/inputs/height_cm", "/inputs/a~1b"]


def test_a_list_of_values_is_one_row_and_told_so(lasting_client, failed) -> None:
    answer = failed(invoke(lasting_client, [172, "heavy"]), 400, "invalid_rows")
    (problem,) = answer["problems"]
    assert (problem["row"], problem["feature"], problem["pointer"]) == (0, "weight_kg", "/1")
    (problem,) = failed(invoke(lasting_client, [1, 2, 3]), 400, "invalid_rows")["problems"]
    assert (problem["row"], problem["expected"], problem["got"]) == (
        *(0, "2 values: height_cm, weight_kg", "3 values"),
    )


def test_a_list_with_a_row_in_it_is_a_list_of_rows(lasting_client, failed) -> None:
    (problem,) = failed(invoke(lasting_client, [[1, 2], 3]), 400, "invalid_rows")["problems"]
    assert (problem["row"], problem["pointer"]) == (1, "/1")


def test_values_are_rows_of_a_model_with_one_feature(start_small) -> None:
    client = start_small("color")
    answers = [
        invoke(client, rows).json["predictions"] for rows in (["red", "blue"], [["red"], ["blue"]])
    ]
    assert [row["label"] for row in answers[0]] == ["yes", "no"]
    assert answers[0] == answers[1]


def test_columns_of_a_frame_are_held_against_the_signature_once(lasting_client, failed) -> None:
    rows = [["tall", 2, 3]] * 100
    answer = invoke(lasting_client, split(*rows, columns=["weight", "height_cm", "x"]))
    problems = failed(answer, 400, "invalid_rows")["problems"]
    assert [(p["feature"], p["pointer"], p.get("did_you_mean")) for p in problems] == [
        ("weight", "/dataframe_split/columns/0", "weight_kg"),
        ("x", "/dataframe_split/columns/2", None),
    ]
    answer = invoke(lasting_client, split([1], columns=["height_cm"]))
    (problem,) = failed(answer, 400, "invalid_rows")["problems"]
    assert (problem["feature"], problem["pointer"]) == ("weight_kg", "/dataframe_split/columns")


def test_of_many_unknown_columns_the_first_are_named(lasting_client, failed) -> None:
    columns = [f"column {place}" for place in range(100_000)]
    answer = failed(invoke(lasting_client, split(columns=columns)), 400, "invalid_rows")
    assert (len(answer["problems"]), answer["truncated"]) == (20, True)


def test_rows_of_another_length_are_named(lasting_client, failed) -> None:
    answer = invoke(lasting_client, split([1, 2], [1], 3, [1, 2, 3]))
    problems = failed(answer, 400, "invalid_rows")["problems"]
    assert [(p["row"], p["pointer"], p["got"]) for p in problems] == [
        (1, "/dataframe_split/data/1", "1 value"),
        (2, "/dataframe_split/data/2", "number 3"),
        (3, "/dataframe_split/data/3", "3 values"),
    ]


WRONG_FORM = {
    "a number": ("1", None),
    "nothing in it": ("{}", None),
    "two of them": ('{"instances": [], "inputs": []}', None),
    "split a list": ('{"dataframe_split": []}', "/dataframe_split"),
    "split without data": ('{"dataframe_split": {"columns": []}}', "/dataframe_split/data"),
    "data an object": ('{"dataframe_split": {"data": {}}}', "/dataframe_split/data"),
    "columns an object": (
        '{"dataframe_split": {"columns": {}, "data": []}}',
        "/dataframe_split/columns",
    ),
    "a column no text": (
        '{"dataframe_split": {"columns": ["height_cm", null], "data": []}}',
        "/dataframe_split/columns/1",
    ),
    "other numbers of columns": (
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


@pytest.mark.parametrize("name", WRONG_FORM)
def test_a_body_of_another_form_is_refused_with_its_place(lasting_client, failed, name) -> None:
    body, pointer = WRONG_FORM[name]
    answer = failed(invoke(lasting_client, body), 400, "invalid_request")
    assert answer.get("pointer") == pointer


@pytest.mark.parametrize(
    "body", [b"", b"nope", b'{"inputs": [', b"[" * 100_000, b'{"inputs":' * 100_000, b'["\xff"]']
)
def test_a_body_that_is_no_json_is_said_to_be_unreadable(lasting_client, failed, body) -> None:
    failed(invoke(lasting_client, body), 400, "unreadable_body")


@pytest.mark.parametrize(
    "form",
    ["split", "records", "instances as lists", "inputs as columns", "a list of lists", "csv"],
)
def test_more_rows_than_are_taken_are_too_many(start, models, failed, form) -> None:
    client = start(models=models, max_rows=2)
    body = {
        "split": split(*[[1, 2]] * 3),
        "records": {"dataframe_records": [{"height_cm": 1, "weight_kg": 1}] * 3},
        "instances as lists": {"instances": [[1, 2]] * 3},
        "inputs as columns": {"inputs": {"height_cm": [1] * 3, "weight_kg": [1] * 3}},
        "a list of lists": [[1, 2]] * 3,
        "csv": "1,2\n" * 3,
    }[form]
    answer = invoke(client, body, "text/csv" if form == "csv" else "application/json")
    assert failed(answer, 413, "too_many_rows")["limit"] == 2


@pytest.mark.parametrize("cells", ["172", "172,95,1", "172;95;1", "a,b,c"])
def test_a_first_line_that_is_neither_row_nor_header_is_told_what_may_be_said(
    lasting_client, failed, cells: str
) -> None:
    answer = invoke(lasting_client, f"{cells}\n172,95\n", "text/csv")
    assert "text/csv; header=absent" in failed(answer, 400, "invalid_request")["error"]


def test_a_first_line_with_a_name_in_it_is_a_header(lasting_client, failed) -> None:
    for header in ("height_cm,weight", "Height_cm,Weight_kg", "height_cm;weight"):
        answer = invoke(lasting_client, f"{header}\n172,95\n", "text/csv")
        assert failed(answer, 400, "invalid_rows")["problems"]


def test_rows_of_categories_need_no_header_either(start_small) -> None:
    client = start_small("color", "shape")
    rows = "red,round\nblue,flat\n"
    plain = invoke(client, f"color,shape\n{rows}", "text/csv")
    bare = invoke(client, rows, "text/csv")
    assert [row["label"] for row in plain.json["predictions"]] == ["yes", "no"]
    assert bare.json["predictions"] == plain.json["predictions"]


def test_a_header_is_what_the_content_type_says_it_is(lasting_client, failed) -> None:
    answer = invoke(lasting_client, "172,95\n", "text/csv; header=present")
    failed(answer, 400, "invalid_request")
    answer = invoke(lasting_client, "172,95\n", "text/csv; header=absent")
    assert len(answer.json["predictions"]) == 1


def test_any_number_of_orders_of_columns_is_understood(mixed, failed) -> None:
    names = ["age", "member", "color", "size/cm", "shape"]
    values = dict(zip(names, [1, True, "red", 2, "a"], strict=True))
    plain = invoke(mixed, {"dataframe_records": [values]}).json["predictions"]
    for order in permutations(names):  # more than are kept
        row = [values[name] for name in order]
        assert invoke(mixed, split(row, columns=order)).json["predictions"] == plain
        failed(invoke(mixed, split(row, columns=(*order, order[0]))), 400, "invalid_request")


def test_csv_without_a_header_is_answered_so_where_csv_is_asked_for(lasting_client) -> None:
    rows = "172,95\n180,50\n"
    plain = invoke(lasting_client, rows, "text/csv").json["predictions"]
    answer = invoke(lasting_client, rows, "text/csv", Accept="text/csv")
    assert answer.content_type == "text/csv"
    labels = [line.split(",")[0] for line in answer.text.splitlines()]
    assert labels == [row["label"] for row in plain]
    answer = invoke(lasting_client, f"height_cm,weight_kg\n{rows}", "text/csv", Accept="text/csv")
    assert [line.split(",")[0] for line in answer.text.splitlines()] == ["label", *labels]


def test_other_forms_of_rows_are_taken_as_everywhere(lasting_client) -> None:
    content = io.BytesIO()
    np.save(content, np.array([[171.3, 66.7]]))
    answer = invoke(lasting_client, content.getvalue(), "application/x-npy")
    plain = invoke(lasting_client, [[171.3, 66.7]])
    assert answer.json["predictions"] == plain.json["predictions"]
    lines = invoke(lasting_client, "[171.3, 66.7]\n", "application/jsonlines")
    assert json.loads(lines.data) == plain.json["predictions"][0]


@pytest.mark.parametrize("form", ["split", "a list of values", "csv without a header", "csv"])
def test_any_rows_are_answered_in_lines_where_those_are_asked_for(lasting_client, form) -> None:
    plain = invoke(lasting_client, [171.3, 66.7]).json["predictions"]
    content_type = "text/csv" if form.startswith("csv") else "application/json"
    answer = invoke(lasting_client, FORMS[form], content_type, Accept="application/jsonlines")
    assert answer.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == plain


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


@settings(max_examples=150, deadline=None)
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
    left_out=st.sets(st.sampled_from([0, 4])),
)
def test_a_frame_is_answered_as_its_rows_are(mixed, rows, order, left_out) -> None:
    order = [place for place in order if place not in left_out]
    columns = [NAMES[place] for place in order]
    frame = split(*([row[place] for place in order] for row in rows), columns=columns)
    records = [{NAMES[place]: row[place] for place in order} for row in rows]
    plain = mixed.post("/predict", json={"instances": records})
    for body in (frame, {"dataframe_records": records}):
        answer = invoke(mixed, body)
        assert answer.status_code == plain.status_code
        if answer.status_code == 200:
            assert answer.json["predictions"] == plain.json["predictions"]
        else:
            assert without_places(answer.json) == without_places(plain.json)


def without_places(refusal: dict) -> dict:
    for problem in refusal.get("problems", []):
        del problem["pointer"]
    return refusal
