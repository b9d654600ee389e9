"""TensorFlow Serving's ``:classify``: spellings of examples, responses, and errors."""

from __future__ import annotations

import base64
import json

import pytest

from pigeonhole.service.web.tensorflow_serving.classify import ClassifyProtocol

PATH = "/v1/models/bodymass:classify"
ROW = {"height_cm": 171.3, "weight_kg": 66.7}


def classify(client, examples, path=PATH, **more):
    return client.post(path, json={"examples": examples, **more})


def classify_text(client, body: str, path=PATH):
    return client.post(path, data=body)


def test_response_has_exactly_these_keys(client) -> None:
    response = client.post(PATH, json={"examples": [ROW]}, headers={"X-Request-Id": "mine"})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    ((first, second),) = response.json["results"]
    assert (first[0], second[0]) == ("underweight", "overweight")
    assert response.json == {
        "results": [[first, second]],
        "model": "bodymass",
        "version": "1",
        "id": "mine",
    }
    assert next(iter(json.loads(response.text))) == "results"


def test_scores_are_those_of_predict_in_the_order_of_the_classes(lasting_client) -> None:
    predicted = lasting_client.post("/predict", json={"instances": [ROW, [172, 95]]}).json
    expected = [list(map(list, row["probabilities"].items())) for row in predicted["predictions"]]
    examples = [ROW, {"height_cm": 172, "weight_kg": 95}]
    assert classify(lasting_client, examples).json["results"] == expected


SPELLINGS = {
    "another order": ([{"weight_kg": 66.7, "height_cm": 171.3}], None),
    "lists of one": ([{"weight_kg": [66.7], "height_cm": [171.3]}], None),
    "a context": ([{"weight_kg": 66.7}], {"height_cm": 171.3}),
    "a context of lists": ([{"weight_kg": 66.7}], {"height_cm": [171.3]}),
    "all in the context": ([{}], ROW),
    "an empty context": ([ROW], {}),
    "a context that is null": ([ROW], None),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_an_example_gets_the_same_scores(lasting_client, spelling: str) -> None:
    examples, context = SPELLINGS[spelling]
    plain = classify(lasting_client, [ROW]).json["results"]
    assert classify(lasting_client, examples, context=context).json["results"] == plain


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/bodymass/versions/1:classify",
        "/v1/models/bodymass%3Aclassify",
        "/v1/models/bodymass/versions/1%3aclassify",
    ],
)
def test_every_spelling_of_the_path_reaches_the_model(lasting_client, path: str) -> None:
    assert classify(lasting_client, [ROW], path).status_code == 200


def test_other_keys_are_ignored(lasting_client) -> None:
    response = classify(lasting_client, [ROW], signature_name="classification", more=[1])
    assert response.status_code == 200


def test_zero_examples_get_zero_results(lasting_client) -> None:
    assert classify(lasting_client, []).json["results"] == []
    assert classify(lasting_client, [], context=ROW).json["results"] == []


MIXED = "/v1/models/mixed:classify"


@pytest.mark.parametrize(
    "color",
    [
        "red",
        ["red"],
        {"b64": base64.b64encode(b"red").decode()},
        [{"b64": base64.b64encode(b" red ").decode()}],
    ],
    ids=str,
)
def test_category_may_be_a_list_of_one_or_in_base64(lasting_client, color) -> None:
    row = {"member": [True], "color": color, "size/cm": 2, "age": [], "shape": None}
    ((_, (label, score)),) = classify(lasting_client, [row], MIXED).json["results"]
    assert label == "yes"
    assert score > 0.9


@pytest.mark.parametrize(
    "color",
    [
        {"b64": "no base64!"},
        {"b64": base64.b64encode(b"\xff").decode()},
        {"b64": 1},
        {"b64": "cmVk", "more": 1},
        {"b32": "cmVk"},
        ["red", "red"],
        [["red"]],
        [],
    ],
    ids=str,
)
def test_invalid_category_is_reported(lasting_client, failed, color) -> None:
    row = {"member": True, "color": color, "size/cm": 2}
    (problem,) = failed(classify(lasting_client, [row], MIXED), 400, "invalid_rows")["problems"]
    assert (problem["feature"], problem["pointer"]) == ("color", "/examples/0/color")
    assert problem["expected"] == "text"


def test_nan_is_accepted_only_for_optional_numbers(lasting_client, failed) -> None:
    row = '{"member": true, "color": "NaN", "size/cm": 2, "age": NaN}'
    assert classify_text(lasting_client, f'{{"examples": [{row}]}}', MIXED).status_code == 200
    response = classify_text(lasting_client, '{"examples": [{"height_cm": NaN, "weight_kg": 1}]}')
    (problem,) = failed(response, 400, "invalid_rows")["problems"]
    assert problem["pointer"] == "/examples/0/height_cm"


def test_feature_in_both_example_and_context_is_rejected(lasting_client, failed) -> None:
    examples = [{"height_cm": 172}, ROW]
    response = classify(lasting_client, examples, context={"weight_kg": 95})
    assert failed(response, 400, "invalid_request")["pointer"] == "/examples/1/weight_kg"


def test_problems_have_pointers_into_context_and_examples(lasting_client, failed) -> None:
    response = classify(
        lasting_client, [{"height_cm": "tall"}], context={"weight_kg": None, "x": 1}
    )
    problems = failed(response, 400, "invalid_rows")["problems"]
    assert {(p["feature"], p["pointer"], p["got"]) for p in problems} == {
        ("height_cm", "/examples/0/height_cm", 'string "tall"'),
        ("weight_kg", "/context/weight_kg", "null"),
        ("x", "/context/x", "x"),
    }


WRONG_BODIES = {
    "a list": ("[]", None),
    "null": ("null", None),
    "an empty object": ("{}", None),
    "instances": ('{"instances": []}', None),
    "examples an object": ('{"examples": {}}', "/examples"),
    "examples a number": ('{"examples": 1}', "/examples"),
    "context a list": ('{"examples": [], "context": [1]}', "/context"),
    "context a text": ('{"examples": [], "context": "x"}', "/context"),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
def test_invalid_body_is_rejected_with_its_pointer(lasting_client, failed, name) -> None:
    body, pointer = WRONG_BODIES[name]
    error = failed(classify_text(lasting_client, body), 400, "invalid_request")
    assert error.get("pointer") == pointer


@pytest.mark.parametrize("body", ["", "nope", '{"examples": [', "[" * 100_000, '{"a":' * 100_000])
def test_body_that_is_not_json_is_unreadable(lasting_client, failed, body) -> None:
    failed(classify_text(lasting_client, body), 400, "unreadable_body")


def test_every_example_that_is_not_an_object_is_reported(lasting_client, failed) -> None:
    error = failed(classify(lasting_client, [ROW, [1, 2], 3]), 400, "invalid_rows")
    assert [(p["row"], p["pointer"]) for p in error["problems"]] == [
        (1, "/examples/1"),
        (2, "/examples/2"),
    ]
    error = failed(classify(lasting_client, [1] * 30), 400, "invalid_rows")
    assert (len(error["problems"]), error["truncated"]) == (20, True)


@pytest.mark.parametrize("context", [None, {"weight_kg": 95}])
def test_examples_above_the_row_limit_are_rejected(start, models, failed, context) -> None:
    client = start(models=models, max_rows=3)
    example = {"height_cm": 172} | ({} if context else {"weight_kg": 95})
    assert classify(client, [example] * 3, context=context).status_code == 200
    assert failed(classify(client, [example] * 4, context=context), 413)["limit"] == 3
    failed(classify_text(client, f'{{"examples": [{"{}," * 1000}{{}}]}}'), 413, "too_many_rows")


def test_large_context_is_not_copied_into_every_example(lasting_client, failed) -> None:
    context = {f"feature {n}": n for n in range(50_000)}
    response = classify(lasting_client, [{}] * 10_000, context=context)
    assert len(failed(response, 400, "invalid_rows")["problems"]) == 20


def test_response_reports_values_out_of_range_and_the_threshold(client, dated_client) -> None:
    body = classify(client, [{"height_cm": 1.72, "weight_kg": 95}]).json
    assert body["warnings"] == [
        {"row": 0, "feature": "height_cm", "value": 1.72, "seen": [140.0, 200.0]}
    ]
    body = classify(dated_client, [ROW], "/v1/models/careful:classify").json
    assert body["threshold"] == {"class": "overweight", "value": 0.9, "metric": "f1"}


def test_decode_cost_is_higher_with_a_context() -> None:
    def cost(request: dict, spelled: str = "context") -> float:
        body = json.dumps(request).replace("context", spelled).encode()
        return ClassifyProtocol(10).decode_cost({}.get, body) / len(body)

    assert cost({"examples": [ROW] * 3}) == 1
    assert cost({"examples": [ROW], "context": {"x": 1}}) > 10
    # The cost grows with the number of examples, however the key is spelled.
    merged = {"examples": [{}] * 1000, "context": {"x": 1}}
    assert cost(merged) > 1000
    assert cost(merged, r"\u0063ontext") > 1000
    assert cost({"examples": [{"height_cm": [172]}]}) > 10
    assert cost({"examples": [{"color": {"b64": "cmVk"}}]}) > 10
