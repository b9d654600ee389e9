"""The Open Inference Protocol's infer: its forms, its answers, and what is said of wrong requests."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.web.open_inference.protocol import OpenInferenceProtocol

PATH = "/v2/models/bodymass/infer"
MIXED = "/v2/models/mixed/infer"
LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, shape: list[int], data, datatype: str = "FP64", **more) -> dict:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


NUMBERS = tensor("numbers", [2, 2], [171.3, 66.7, 180, 50])
HEIGHT = tensor("height_cm", [2], [171.3, 180])
WEIGHT = tensor("weight_kg", [2, 1], [[66.7], [50]])
ROWS = [[171.3, 66.7], [180, 50]]


def packed(*inputs: tuple[str, list[int], str, bytes], **more) -> tuple[bytes, dict[str, str]]:
    """A body of JSON and bytes behind it, and its header."""
    said = [
        {
            "name": name,
            "shape": shape,
            "datatype": datatype,
            "parameters": {"binary_data_size": len(content)},
        }
        for name, shape, datatype, content in inputs
    ]
    text = json.dumps({"inputs": said, **more}).encode()
    return text + b"".join(given[3] for given in inputs), {LENGTH: str(len(text))}


def framed(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)


def infer(client, *inputs: dict, path: str = PATH, **more):
    return client.post(path, json={"inputs": inputs, **more})


def outputs_of(answer) -> dict[str, list]:
    """The outputs of an answer by name, from JSON or from the bytes behind it."""
    assert answer.status_code == 200, answer.data
    length = answer.headers.get(LENGTH)
    assert answer.content_type == ("application/json" if length is None else BINARY)
    body = answer.data
    at = len(body) if length is None else int(length)
    found = {}
    for output in json.loads(body[:at])["outputs"]:
        values = output.get("data")
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            assert values is None
            content, at = body[at : at + size], at + size
            values = unframed(content) if output["datatype"] == "BYTES" else floats(content)
        assert len(values) == np.prod(output["shape"])
        found[output["name"]] = values
    assert at == len(body)
    return found


BINARY = "application/octet-stream"


def unframed(content: bytes) -> list[str]:
    texts = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        texts.append(content[4 : 4 + length].decode())
        content = content[4 + length :]
    return texts


def floats(content: bytes) -> list[float]:
    return np.frombuffer(content, "<f4").tolist()


def predicted(client, rows, model: str = "bodymass") -> dict[str, list]:
    """What the rows protocol answers, as outputs."""
    answer = client.post(f"/v1/models/{model}:predict", json={"instances": rows}).json
    return {
        "label": [row["label"] for row in answer["predictions"]],
        "probabilities": [
            value for row in answer["predictions"] for value in row["probabilities"].values()
        ],
    }


def test_the_answer_has_exactly_this_shape(lasting_client) -> None:
    answer = infer(lasting_client, NUMBERS, id="mine")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert LENGTH not in answer.headers
    expected = predicted(lasting_client, ROWS)
    assert answer.json == {
        "model_name": "bodymass",
        "model_version": "1",
        "id": "mine",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": expected["label"]},
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [2, 2],
                "data": expected["probabilities"],
            },
        ],
    }


DOUBLES = np.array(ROWS).tobytes()
FORMS = {
    "flat": (json.dumps({"inputs": [NUMBERS]}).encode(), {}),
    "nested": (json.dumps({"inputs": [{**NUMBERS, "data": ROWS}]}).encode(), {}),
    "each feature": (json.dumps({"inputs": [WEIGHT, HEIGHT]}).encode(), {}),
    "called FP32": (json.dumps({"inputs": [{**NUMBERS, "datatype": "FP32"}]}).encode(), {}),
    "bytes": packed(("numbers", [2, 2], "FP64", DOUBLES)),
    "each feature as bytes": packed(
        ("weight_kg", [2], "FP64", np.array([66.7, 50]).tobytes()),
        ("height_cm", [2], "FP64", np.array([171.3, 180]).tobytes()),
    ),
    "all of it JSON, and told so": (
        json.dumps({"inputs": [NUMBERS]}).encode(),
        {LENGTH: str(len(json.dumps({"inputs": [NUMBERS]})))},
    ),
    "null where nothing is meant": (
        json.dumps(
            {
                "id": None,
                "inputs": [{**NUMBERS, "parameters": None}],
                "outputs": None,
                "parameters": None,
            }
        ).encode(),
        {},
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_the_same_rows_get_the_same_bits_as_from_predict(lasting_client, form, coding) -> None:
    body, headers = FORMS[form]
    pack = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[coding]
    answer = lasting_client.post(
        PATH, data=pack(body), headers={**headers, "Content-Encoding": coding}
    )
    assert outputs_of(answer) == predicted(lasting_client, ROWS)


@given(rows=st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2)))
def test_any_rows_get_the_same_bits_in_every_protocol(lasting_client, rows) -> None:
    n = len(rows)
    expected = predicted(lasting_client, rows)
    flat = [value for row in rows for value in row]
    assert outputs_of(infer(lasting_client, tensor("numbers", [n, 2], flat))) == expected
    content = np.array(flat).tobytes()
    everything = {"binary_data_output": True}
    body, headers = packed(("numbers", [n, 2], "FP64", content), parameters=everything)
    assert outputs_of(lasting_client.post(PATH, data=body, headers=headers)) == expected


def test_every_kind_of_feature_is_taken(lasting_client) -> None:
    rows = [
        {"member": True, "color": "red", "size/cm": 2},
        {"member": False, "color": "blue", "size/cm": 2.5, "age": 30, "shape": "rund: ü"},
    ]
    expected = predicted(lasting_client, rows, "mixed")
    numbers = np.array([[np.nan, 1, 2], [30, 0, 2.5]]).tobytes()
    categories = framed("red", "", " blue ", "rund: ü")
    body, headers = packed(
        ("categories", [2, 2], "BYTES", categories), ("numbers", [2, 3], "FP64", numbers)
    )
    assert outputs_of(lasting_client.post(MIXED, data=body, headers=headers)) == expected
    text = json.dumps({"inputs": [tensor("color", [2], ["red", "blue"], "BYTES")]})[:-2]
    said = '{"name": "numbers", "shape": [2, 3], "datatype": "FP64", "parameters": '
    text += f', {said}{{"binary_data_size": {len(numbers)}}}}}]}}'
    both = lasting_client.post(
        MIXED, data=text.encode() + numbers, headers={LENGTH: str(len(text))}
    )
    assert outputs_of(both) == expected


def test_outputs_come_as_asked_for_and_in_that_order(lasting_client) -> None:
    expected = predicted(lasting_client, ROWS)
    for names in (["probabilities", "label"], ["label", "probabilities"], ["label"], []):
        answer = infer(lasting_client, NUMBERS, outputs=[{"name": name} for name in names])
        got = outputs_of(answer)
        assert list(got) == (names or ["label", "probabilities"])
        assert got.items() <= expected.items()


@pytest.mark.parametrize(
    ("every", "label", "probabilities"),
    [(e, x, y) for e in (None, False, True) for x in (None, False, True) for y in (None, False)],
)
def test_each_output_is_bytes_where_it_or_the_request_says_so(
    lasting_client, every, label, probabilities
) -> None:
    answer = infer(
        lasting_client,
        NUMBERS,
        parameters={"binary_data_output": every},
        outputs=[
            {"name": "label", "parameters": {"binary_data": label}},
            {"name": "probabilities", "parameters": {"binary_data": probabilities}},
        ],
    )
    assert outputs_of(answer) == predicted(lasting_client, ROWS)
    wanted = [bool(every) if said is None else said for said in (label, probabilities)]
    length = int(answer.headers.get(LENGTH, len(answer.data)))
    said = [("data" in output) for output in json.loads(answer.data[:length])["outputs"]]
    assert said == [not binary for binary in wanted]
    assert (LENGTH in answer.headers) == any(wanted)


@pytest.mark.parametrize(("k", "given"), [(1, 1), (2, 2), (3, 2), (10**30, 2)])
@pytest.mark.parametrize("binary", [False, True])
def test_classification_gives_the_best_classes_first(lasting_client, k, given, binary) -> None:
    parameters = {"classification": k, "binary_data": binary}
    outputs = [{"name": "probabilities", "parameters": parameters}]
    got = outputs_of(infer(lasting_client, NUMBERS, outputs=outputs))["probabilities"]
    values = predicted(lasting_client, ROWS)["probabilities"]
    expected = []
    for row in (values[:2], values[2:]):
        ranked = sorted(zip(row, (0, 1), ("underweight", "overweight"), strict=True), reverse=True)
        expected += [f"{score}:{index}:{name}" for score, index, name in ranked[:given]]
    assert got == expected


def test_classes_that_are_equally_likely_stay_in_order(lasting_client) -> None:
    outputs = [{"name": "probabilities", "parameters": {"classification": 2}}]
    even = tensor("numbers", [1, 2], [172, 65])
    got = outputs_of(infer(lasting_client, even, outputs=outputs))
    assert got["probabilities"] == ["0.5:0:underweight", "0.5:1:overweight"]


def test_a_classification_of_none_is_none(lasting_client) -> None:
    outputs = [{"name": "label", "parameters": {"classification": 0}}]
    assert outputs_of(infer(lasting_client, NUMBERS, outputs=outputs))["label"]


@pytest.mark.parametrize("binary", [False, True])
def test_zero_rows_are_answered_with_zero_rows(lasting_client, binary) -> None:
    body, headers = packed(
        ("numbers", [0, 2], "FP64", b""), parameters={"binary_data_output": binary}
    )
    packed_answer = lasting_client.post(PATH, data=body, headers=headers)
    for answer in (packed_answer, infer(lasting_client, tensor("numbers", [0, 2], []))):
        assert outputs_of(answer) == {"label": [], "probabilities": []}


@pytest.mark.parametrize("given", ["", "mine", "ü€😀", 7, -(2**63), 2**63 - 1, "x" * 5000])
def test_an_id_comes_back_as_it_was_given(lasting_client, given) -> None:
    answer = infer(lasting_client, NUMBERS, id=given)
    assert answer.json["id"] == given
    assert answer.headers["X-Request-Id"] != given


def test_without_an_id_there_is_none(lasting_client) -> None:
    assert "id" not in infer(lasting_client, NUMBERS).json


def test_unusual_values_are_told_in_the_parameters(lasting_client) -> None:
    answer = infer(lasting_client, tensor("numbers", [2, 2], [172, 95, 1.72, 95])).json
    assert list(answer["parameters"]) == ["warnings"]
    assert json.loads(answer["parameters"]["warnings"]) == [
        {"row": 1, "feature": "height_cm", "value": 1.72, "seen": [140.0, 200.0]}
    ]
    assert "parameters" not in infer(lasting_client, NUMBERS).json


def test_what_is_not_known_is_passed_over(lasting_client) -> None:
    strange = {"x": [1, {"y": None}], "priority": 3, "sequence_id": "s"}
    answer = infer(
        lasting_client,
        {**NUMBERS, "parameters": strange, "more": 1},
        parameters=strange,
        outputs=[{"name": "label", "parameters": strange, "more": None}],
        more=[1],
    )
    assert outputs_of(answer) == {"label": predicted(lasting_client, ROWS)["label"]}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/bodymass/infer",
        "/v2/models/%62odymass/infer",
        "/v2/models/bodymass/infer/",
        "/v2/models/bodymass/versions/1/infer",
        "/v2/models/bodymass/versions/1/infer/?q=1",
    ],
)
def test_a_model_is_reached_by_every_spelling_of_its_path(lasting_client, path: str) -> None:
    answer = infer(lasting_client, NUMBERS, path=path)
    assert (answer.json["model_name"], answer.json["model_version"]) == ("bodymass", "1")


def test_unknown_models_and_versions_are_told(lasting_client, failed) -> None:
    unknown = infer(lasting_client, NUMBERS, path="/v2/models/nobody/infer")
    error = failed(unknown, 404, "unknown_model")["error"]
    assert error.startswith("Request for unknown model: 'nobody' is not found")
    other = infer(lasting_client, NUMBERS, path="/v2/models/bodymass/versions/2/infer")
    failed(other, 404, "unknown_version")


@pytest.fixture
def decode(service):
    """Decodes a request to bodymass, without a route around it."""
    model = service.live.find("bodymass", None)

    def decode(body: bytes, **headers: str):
        return OpenInferenceProtocol(10).decode(model, body, headers.get)

    return decode


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, None), (0, None), (2_500_000, 2.5), (1.0, 1e-6), (2**64, None), (1e300, None)],
)
def test_a_time_limit_is_read_in_microseconds(decode, timeout, seconds) -> None:
    body = json.dumps({"inputs": [NUMBERS], "parameters": {"timeout": timeout}}).encode()
    assert decode(body).timeout_s == seconds


def test_the_document_is_read_without_copying_doubles(decode) -> None:
    body, headers = packed(("numbers", [2, 2], "FP64", DOUBLES))
    length = int(headers[LENGTH])
    body = body[:length] + b" " * (-length % 8) + body[length:]
    key = LENGTH.lower()
    columns = decode(body, **{key: str(length + -length % 8)}).columns
    assert np.shares_memory(columns.numbers, np.frombuffer(body, np.uint8))


UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "no JSON": b"nope",
    "broken off": b'{"inputs": [',
    "bytes left over": b'{"inputs": []} x',
    "not UTF-8": b'{"inputs": [{"name": "\xff"}]}',
    "UTF-16": '{"inputs": []}'.encode("utf-16"),
    "NaN": json.dumps({"inputs": [{**NUMBERS, "data": [float("nan"), 1, 2, 3]}]}).encode(),
    "nested keys": b'{"x":' * 100_000,
    "nested data": b'{"inputs":[{"name":"numbers","shape":[1,2],"datatype":"FP64","data":'
    + b"[" * 100_000
    + b"]" * 100_000
    + b"}]}",
    "a lone surrogate": b'{"inputs":[{"name":"\\ud800","shape":[1],"datatype":"FP64","data":[1]}]}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_is_no_json_is_said_to_be_unreadable(lasting_client, failed, body) -> None:
    failed(lasting_client.post(PATH, data=body), 400, "unreadable_body")


WRONG = {
    # The request, and where it is wrong.
    "a list": ([], None),
    "null": (None, None),
    "no inputs": ({}, None),
    "inputs no list": ({"inputs": {}}, "/inputs"),
    "no input": ({"inputs": []}, "/inputs"),
    "an input that is none": ({"inputs": [3]}, "/inputs/0"),
    "no name": ({"inputs": [{"shape": [1], "datatype": "FP64", "data": []}]}, "/inputs/0"),
    "no shape": ({"inputs": [{"name": "numbers", "datatype": "FP64", "data": []}]}, "/inputs/0"),
    "no datatype": ({"inputs": [{"name": "numbers", "shape": [1], "data": []}]}, "/inputs/0"),
    "no data": ({"inputs": [{k: v for k, v in NUMBERS.items() if k != "data"}]}, "/inputs/0"),
    "data of null": ({"inputs": [{**NUMBERS, "data": None}]}, "/inputs/0"),
    "half a row": ({"inputs": [{**NUMBERS, "shape": [1.5, 2]}]}, "/inputs/0/shape/0"),
    "rows as text": ({"inputs": [{**NUMBERS, "shape": ["2", 2]}]}, "/inputs/0/shape/0"),
    "another shape": ({"inputs": [{**NUMBERS, "shape": [4]}]}, "/inputs/0/shape"),
    "another datatype": ({"inputs": [{**NUMBERS, "datatype": "FP8"}]}, "/inputs/0/datatype"),
    "a feature twice": ({"inputs": [HEIGHT, WEIGHT, HEIGHT]}, "/inputs/2/name"),
    "an input twice": ({"inputs": [NUMBERS, NUMBERS]}, "/inputs/1/name"),
    "an id that is none": ({"inputs": [NUMBERS], "id": []}, "/id"),
    "an id beyond 64 bits": ({"inputs": [NUMBERS], "id": 2**70}, "/id"),
    "an unknown output": ({"inputs": [NUMBERS], "outputs": [{"name": "x"}]}, "/outputs/0/name"),
    "an output twice": (
        {"inputs": [NUMBERS], "outputs": [{"name": "label"}, {"name": "label"}]},
        "/outputs/1/name",
    ),
    "a negative classification": (
        {
            "inputs": [NUMBERS],
            "outputs": [{"name": "probabilities", "parameters": {"classification": -1}}],
        },
        "/outputs/0/parameters/classification",
    ),
    "a classification of labels": (
        {
            "inputs": [NUMBERS],
            "outputs": [{"name": "label", "parameters": {"classification": 1}}],
        },
        "/outputs/0/parameters/classification",
    ),
    "binary as text": (
        {"inputs": [NUMBERS], "parameters": {"binary_data_output": "yes"}},
        "/parameters/binary_data_output",
    ),
    "a negative time limit": (
        {"inputs": [NUMBERS], "parameters": {"timeout": -1}},
        "/parameters/timeout",
    ),
    "bytes that are not there": (
        {"inputs": [{**NUMBERS, "data": None, "parameters": {"binary_data_size": 32}}]},
        "/inputs/0/parameters/binary_data_size",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_refused_with_its_place(lasting_client, failed, name: str) -> None:
    request, pointer = WRONG[name]
    answer = failed(lasting_client.post(PATH, data=json.dumps(request)), 400, "invalid_request")
    assert answer.get("pointer") == pointer


@pytest.mark.parametrize(
    "length", ["-1", "+3", "x", "1e2", "3.0", "", "٣", "99999", "9" * 5000, "0x10"]
)
def test_a_length_that_is_none_is_refused(lasting_client, failed, length: str) -> None:
    body, _ = packed(("numbers", [2, 2], "FP64", DOUBLES))
    headers = {LENGTH: length.encode().decode("latin-1")}
    answer = failed(lasting_client.post(PATH, data=body, headers=headers), 400, "invalid_request")
    assert LENGTH in answer["error"]
    assert len(answer["error"]) < 200


def sized(size: int, **more) -> dict:
    given = {key: value for key, value in NUMBERS.items() if key != "data"}
    return {**given, "parameters": {"binary_data_size": size}, **more}


WRONG_BYTES = {
    "bytes left over": ([sized(32)], DOUBLES + b"x"),
    "bytes that nobody asked for": ([NUMBERS], b"x"),
    "too few bytes": ([sized(32)], DOUBLES[:-1]),
    "a size that disagrees with the shape": ([sized(31)], DOUBLES[:-1]),
    "twice the size": ([sized(64)], DOUBLES * 2),
    "a negative size": ([sized(-8), sized(40)], DOUBLES),
    "a huge size": ([sized(10**40)], DOUBLES),
    "both data and bytes": ([sized(32, data=[1, 2, 3, 4])], DOUBLES),
}


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_bytes_that_do_not_fit_are_refused(lasting_client, failed, name: str) -> None:
    inputs, content = WRONG_BYTES[name]
    text = json.dumps({"inputs": inputs}).encode()
    headers = {LENGTH: str(len(text))}
    answer = lasting_client.post(PATH, data=text + content, headers=headers)
    failed(answer, 400, "invalid_request")


def test_a_length_within_the_json_is_unreadable(lasting_client, failed) -> None:
    body, _ = packed(("numbers", [2, 2], "FP64", DOUBLES))
    for length in ("0", "1", "20"):
        answer = lasting_client.post(PATH, data=body, headers={LENGTH: length})
        failed(answer, 400, "unreadable_body")


def test_wrong_values_are_named_as_in_the_rows_protocol(lasting_client, failed) -> None:
    answer = failed(
        infer(lasting_client, {**NUMBERS, "data": [171.3, None, None, 50]}), 400, "invalid_rows"
    )
    assert answer["error"] == "2 problems in 2 rows"
    assert answer["problems"] == [
        {
            "row": row,
            "feature": feature,
            "pointer": f"/inputs/0/data/{place}",
            "expected": "number",
            "got": "null",
        }
        for row, feature, place in ((0, "weight_kg", 1), (1, "height_cm", 2))
    ]
    missing = failed(infer(lasting_client, HEIGHT), 400, "invalid_rows")
    assert [problem["feature"] for problem in missing["problems"]] == ["weight_kg"]


def test_exactly_as_many_rows_as_allowed_are_answered(start, models, failed) -> None:
    client = start(models=models, max_rows=3)
    for rows, status in ((3, 200), (4, 413)):
        answer = infer(client, tensor("numbers", [rows, 2], [172, 95] * rows))
        assert answer.status_code == status
    assert failed(answer, 413, "too_many_rows")["limit"] == 3


CROWDS = {
    "a shape": tensor("numbers", [10**9, 2], []),
    "numbers": tensor("numbers", [1, 2], [1] * 2_000_000),
    "lists": tensor("numbers", [1, 2], [[]] * 2_000_000),
    "whole numbers": tensor("numbers", [1, 2], [1] * 2_000_000, "INT8"),
    "dimensions": tensor("numbers", [1] * 2_000_000, []),
}


@pytest.mark.parametrize("name", CROWDS)
def test_what_a_shape_does_not_hold_is_refused_in_bounded_memory(
    lasting_client, failed, name: str
) -> None:
    body = json.dumps({"inputs": [CROWDS[name]]}, separators=(",", ":")).encode()
    tracemalloc.start()
    try:
        answer = lasting_client.post(PATH, data=body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert failed(answer)["code"] in {"invalid_request", "too_many_rows"}
    assert peak_bytes < 10 * len(body) + 2**20


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None))
    | st.sampled_from([0, 1, 172, "red", "", 10**400, 5e-324]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["inputs", "name", "shape", "data"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)

NAMES = st.sampled_from(
    ["numbers", "categories", "height_cm", "weight_kg", "member", "color", "size/cm", "age", "x"]
)

TENSORS = st.fixed_dictionaries(
    {
        "name": NAMES | st.text(max_size=3),
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=3),
        "datatype": st.sampled_from(["FP64", "FP32", "INT8", "UINT64", "BOOL", "BYTES", "FP16"]),
        "data": st.lists(st.integers() | st.floats(allow_nan=False) | st.text(max_size=2)) | JSON,
    },
    optional={
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), JSON)
        | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)})
    },
)

OUTPUTS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["label", "probabilities", "x"])},
        optional={
            "parameters": st.fixed_dictionaries(
                {},
                optional={
                    "binary_data": st.booleans() | JSON,
                    "classification": st.integers() | JSON,
                },
            )
        },
    ),
    max_size=3,
)

PATHS = st.sampled_from([PATH, MIXED])


@pytest.fixture(scope="module")
def answered_or_refused(lasting_client, failed):
    """Sends a body: it is answered, or refused with a reason in the one shape."""

    def check(path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        answer = lasting_client.post(path, data=body, headers=headers)
        if answer.status_code == 200:
            outputs_of(answer)
        else:
            assert 400 <= answer.status_code < 500
            failed(answer)

    return check


@given(path=PATHS, body=st.binary(), length=st.none() | st.integers(-1, 60).map(str) | st.text())
def test_arbitrary_bytes_are_answered_or_refused(answered_or_refused, path, body, length) -> None:
    spelled = None if length is None else length.encode("utf-8", "replace").hex()
    header = length if length is not None and length.isascii() and length.isprintable() else spelled
    answered_or_refused(path, body, None if header is None else {LENGTH: header})


@given(path=PATHS, value=JSON)
def test_arbitrary_json_is_answered_or_refused(answered_or_refused, path, value) -> None:
    answered_or_refused(path, json.dumps(value).encode())


@given(
    path=PATHS,
    inputs=st.lists(TENSORS, max_size=4),
    outputs=st.none() | OUTPUTS,
    parameters=st.none() | st.dictionaries(st.sampled_from(["binary_data_output", "x"]), JSON),
    identity=st.none() | st.text() | st.integers(),
    content=st.binary(max_size=40),
    told=st.booleans(),
)
def test_arbitrary_tensors_are_answered_or_refused(
    answered_or_refused, path, inputs, outputs, parameters, identity, content, told
) -> None:
    request = {"inputs": inputs, "outputs": outputs, "parameters": parameters, "id": identity}
    text = json.dumps(request).encode()
    headers = {LENGTH: str(len(text))} if told else {}
    answered_or_refused(path, text + (content if told else b""), headers)


@given(
    rows=st.integers(0, 3),
    numbers=st.binary(max_size=72),
    datatype=st.sampled_from(["FP64", "FP32", "FP16", "INT8", "BOOL"]),
    texts=st.lists(st.text(max_size=3) | st.sampled_from(["red", " "]), max_size=6),
)
def test_arbitrary_values_are_answered_or_refused(
    answered_or_refused, rows, numbers, datatype, texts
) -> None:
    size = {"FP64": 8, "FP32": 4, "FP16": 2}.get(datatype, 1) * 3 * rows
    body, headers = packed(
        ("numbers", [rows, 3], datatype, numbers.ljust(size, b"\0")[:size]),
        ("categories", [rows, 2], "BYTES", framed(*(texts + ["red"] * 6)[: 2 * rows])),
    )
    answered_or_refused(MIXED, body, headers)


@given(
    form=st.sampled_from(sorted(FORMS)),
    changes=st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from("idr"), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    ),
)
def test_a_good_body_with_a_few_bytes_changed_is_answered_or_refused(
    answered_or_refused, form: str, changes
) -> None:
    good, headers = FORMS[form]
    body = bytearray(good)
    for place, kind, new in changes:
        at = place % (len(body) + 1)
        body[at : at + (0 if kind == "i" else 1)] = b"" if kind == "d" else new
    answered_or_refused(PATH, bytes(body), headers)


def test_texts_in_base64_are_decoded_where_that_is_said(lasting_client, failed) -> None:
    def asked(content_type: Any, color: str) -> Any:
        inputs = [
            {"name": "member", "shape": [1], "datatype": "BOOL", "data": [True]},
            {"name": "size/cm", "shape": [1], "datatype": "FP64", "data": [2]},
            {"name": "color", "shape": [1], "datatype": "BYTES", "data": [color]},
        ]
        inputs[2]["parameters"] = {"content_type": content_type}
        return lasting_client.post("/v2/models/mixed/infer", data=json.dumps({"inputs": inputs}))

    plain, coded = asked("str", "red"), asked("base64", "cmVk")
    assert plain.data == coded.data
    assert asked(7, "red").data == plain.data
    for wrong in ("red!", "/w=="):
        assert "base64" in failed(asked("base64", wrong), 400, "invalid_request")["error"]
