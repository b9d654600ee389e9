"""Inference by the Open Inference Protocol: layouts of requests, responses, and errors."""

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


def binary_request(
    *inputs: tuple[str, list[int], str, bytes], **more
) -> tuple[bytes, dict[str, str]]:
    """Return a body of JSON and binary data, and its headers."""
    entries = [
        {
            "name": name,
            "shape": shape,
            "datatype": datatype,
            "parameters": {"binary_data_size": len(content)},
        }
        for name, shape, datatype, content in inputs
    ]
    text = json.dumps({"inputs": entries, **more}).encode()
    return text + b"".join(content for *_, content in inputs), {LENGTH: str(len(text))}


def encode_bytes(*texts: str) -> bytes:
    """Return texts as the binary data of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)


def infer(client, *inputs: dict, path: str = PATH, **more):
    return client.post(path, json={"inputs": inputs, **more})


def outputs_of(response) -> dict[str, list]:
    """Return the outputs of a response by name, from JSON or binary data."""
    assert response.status_code == 200, response.data
    length = response.headers.get(LENGTH)
    assert response.content_type == ("application/json" if length is None else BINARY)
    body = response.data
    at = len(body) if length is None else int(length)
    found = {}
    for output in json.loads(body[:at])["outputs"]:
        values = output.get("data")
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            assert values is None
            content, at = body[at : at + size], at + size
            values = unencode_bytes(content) if output["datatype"] == "BYTES" else floats(content)
        assert len(values) == np.prod(output["shape"])
        found[output["name"]] = values
    assert at == len(body)
    return found


BINARY = "application/octet-stream"


def unencode_bytes(content: bytes) -> list[str]:
    texts = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        texts.append(content[4 : 4 + length].decode())
        content = content[4 + length :]
    return texts


def floats(content: bytes) -> list[float]:
    return np.frombuffer(content, "<f4").tolist()


def predicted(client, rows, model: str = "bodymass") -> dict[str, list]:
    """Return the predictions of the rows protocol as outputs."""
    body = client.post(f"/v1/models/{model}:predict", json={"instances": rows}).json
    return {
        "label": [row["label"] for row in body["predictions"]],
        "probabilities": [
            value for row in body["predictions"] for value in row["probabilities"].values()
        ],
    }


def test_response_has_exactly_these_keys(lasting_client) -> None:
    response = infer(lasting_client, NUMBERS, id="mine")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert LENGTH not in response.headers
    expected = predicted(lasting_client, ROWS)
    assert response.json == {
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
LAYOUTS = {
    "flat": (json.dumps({"inputs": [NUMBERS]}).encode(), {}),
    "nested": (json.dumps({"inputs": [{**NUMBERS, "data": ROWS}]}).encode(), {}),
    "each feature": (json.dumps({"inputs": [WEIGHT, HEIGHT]}).encode(), {}),
    "as FP32": (json.dumps({"inputs": [{**NUMBERS, "datatype": "FP32"}]}).encode(), {}),
    "binary": binary_request(("numbers", [2, 2], "FP64", DOUBLES)),
    "each feature in binary": binary_request(
        ("weight_kg", [2], "FP64", np.array([66.7, 50]).tobytes()),
        ("height_cm", [2], "FP64", np.array([171.3, 180]).tobytes()),
    ),
    "JSON with the length header": (
        json.dumps({"inputs": [NUMBERS]}).encode(),
        {LENGTH: str(len(json.dumps({"inputs": [NUMBERS]})))},
    ),
    "null for absent keys": (
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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
def test_every_layout_gets_the_same_bits_as_predict(lasting_client, layout, coding) -> None:
    body, headers = LAYOUTS[layout]
    compress = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[coding]
    response = lasting_client.post(
        PATH, data=compress(body), headers={**headers, "Content-Encoding": coding}
    )
    assert outputs_of(response) == predicted(lasting_client, ROWS)


@given(rows=st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2)))
def test_any_rows_get_the_same_bits_in_every_protocol(lasting_client, rows) -> None:
    n = len(rows)
    expected = predicted(lasting_client, rows)
    flat = [value for row in rows for value in row]
    assert outputs_of(infer(lasting_client, tensor("numbers", [n, 2], flat))) == expected
    content = np.array(flat).tobytes()
    binary_output = {"binary_data_output": True}
    body, headers = binary_request(("numbers", [n, 2], "FP64", content), parameters=binary_output)
    assert outputs_of(lasting_client.post(PATH, data=body, headers=headers)) == expected


def test_every_kind_of_feature_is_accepted(lasting_client) -> None:
    rows = [
        {"member": True, "color": "red", "size/cm": 2},
        {"member": False, "color": "blue", "size/cm": 2.5, "age": 30, "shape": "rund: ü"},
    ]
    expected = predicted(lasting_client, rows, "mixed")
    numbers = np.array([[np.nan, 1, 2], [30, 0, 2.5]]).tobytes()
    categories = encode_bytes("red", "", " blue ", "rund: ü")
    body, headers = binary_request(
        ("categories", [2, 2], "BYTES", categories), ("numbers", [2, 3], "FP64", numbers)
    )
    assert outputs_of(lasting_client.post(MIXED, data=body, headers=headers)) == expected
    text = json.dumps({"inputs": [tensor("color", [2], ["red", "blue"], "BYTES")]})[:-2]
    numbers_input = '{"name": "numbers", "shape": [2, 3], "datatype": "FP64", "parameters": '
    text += f', {numbers_input}{{"binary_data_size": {len(numbers)}}}}}]}}'
    both = lasting_client.post(
        MIXED, data=text.encode() + numbers, headers={LENGTH: str(len(text))}
    )
    assert outputs_of(both) == expected


def test_requested_outputs_come_in_their_order(lasting_client) -> None:
    expected = predicted(lasting_client, ROWS)
    for names in (["probabilities", "label"], ["label", "probabilities"], ["label"], []):
        response = infer(lasting_client, NUMBERS, outputs=[{"name": name} for name in names])
        got = outputs_of(response)
        assert list(got) == (names or ["label", "probabilities"])
        assert got.items() <= expected.items()


@pytest.mark.parametrize(
    ("every", "label", "probabilities"),
    [(e, x, y) for e in (None, False, True) for x in (None, False, True) for y in (None, False)],
)
def test_output_is_binary_if_it_or_the_request_asks_for_it(
    lasting_client, every, label, probabilities
) -> None:
    response = infer(
        lasting_client,
        NUMBERS,
        parameters={"binary_data_output": every},
        outputs=[
            {"name": "label", "parameters": {"binary_data": label}},
            {"name": "probabilities", "parameters": {"binary_data": probabilities}},
        ],
    )
    assert outputs_of(response) == predicted(lasting_client, ROWS)
    expected = [bool(every) if own is None else own for own in (label, probabilities)]
    length = int(response.headers.get(LENGTH, len(response.data)))
    as_json = [("data" in output) for output in json.loads(response.data[:length])["outputs"]]
    assert as_json == [not binary for binary in expected]
    assert (LENGTH in response.headers) == any(expected)


@pytest.mark.parametrize(("k", "returned"), [(1, 1), (2, 2), (3, 2), (10**30, 2)])
@pytest.mark.parametrize("binary", [False, True])
def test_classification_returns_the_most_likely_classes_first(
    lasting_client, k, returned, binary
) -> None:
    parameters = {"classification": k, "binary_data": binary}
    outputs = [{"name": "probabilities", "parameters": parameters}]
    got = outputs_of(infer(lasting_client, NUMBERS, outputs=outputs))["probabilities"]
    values = predicted(lasting_client, ROWS)["probabilities"]
    expected = []
    for row in (values[:2], values[2:]):
        ranked = sorted(zip(row, (0, 1), ("underweight", "overweight"), strict=True), reverse=True)
        expected += [f"{score}:{index}:{name}" for score, index, name in ranked[:returned]]
    assert got == expected


def test_equally_likely_classes_stay_in_order(lasting_client) -> None:
    outputs = [{"name": "probabilities", "parameters": {"classification": 2}}]
    even = tensor("numbers", [1, 2], [172, 65])
    got = outputs_of(infer(lasting_client, even, outputs=outputs))
    assert got["probabilities"] == ["0.5:0:underweight", "0.5:1:overweight"]


def test_classification_of_zero_means_the_plain_output(lasting_client) -> None:
    outputs = [{"name": "label", "parameters": {"classification": 0}}]
    assert outputs_of(infer(lasting_client, NUMBERS, outputs=outputs))["label"]


@pytest.mark.parametrize("binary", [False, True])
def test_zero_rows_get_zero_predictions(lasting_client, binary) -> None:
    body, headers = binary_request(
        ("numbers", [0, 2], "FP64", b""), parameters={"binary_data_output": binary}
    )
    binary_response = lasting_client.post(PATH, data=body, headers=headers)
    for response in (binary_response, infer(lasting_client, tensor("numbers", [0, 2], []))):
        assert outputs_of(response) == {"label": [], "probabilities": []}


@pytest.mark.parametrize("request_id", ["", "mine", "ü€😀", 7, -(2**63), 2**63 - 1, "x" * 5000])
def test_id_is_returned_unchanged(lasting_client, request_id) -> None:
    response = infer(lasting_client, NUMBERS, id=request_id)
    assert response.json["id"] == request_id
    assert response.headers["X-Request-Id"] != request_id


def test_response_to_a_request_without_id_has_none(lasting_client) -> None:
    assert "id" not in infer(lasting_client, NUMBERS).json


def test_values_out_of_range_are_reported_in_the_parameters(lasting_client) -> None:
    body = infer(lasting_client, tensor("numbers", [2, 2], [172, 95, 1.72, 95])).json
    assert list(body["parameters"]) == ["warnings"]
    assert json.loads(body["parameters"]["warnings"]) == [
        {"row": 1, "feature": "height_cm", "value": 1.72, "seen": [140.0, 200.0]}
    ]
    assert "parameters" not in infer(lasting_client, NUMBERS).json


def test_unknown_keys_and_parameters_are_ignored(lasting_client) -> None:
    strange = {"x": [1, {"y": None}], "priority": 3, "sequence_id": "s"}
    response = infer(
        lasting_client,
        {**NUMBERS, "parameters": strange, "more": 1},
        parameters=strange,
        outputs=[{"name": "label", "parameters": strange, "more": None}],
        more=[1],
    )
    assert outputs_of(response) == {"label": predicted(lasting_client, ROWS)["label"]}


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
def test_every_spelling_of_the_path_reaches_the_model(lasting_client, path: str) -> None:
    response = infer(lasting_client, NUMBERS, path=path)
    assert (response.json["model_name"], response.json["model_version"]) == ("bodymass", "1")


def test_unknown_models_and_versions_get_errors(lasting_client, failed) -> None:
    unknown = infer(lasting_client, NUMBERS, path="/v2/models/missing/infer")
    error = failed(unknown, 404, "unknown_model")["error"]
    assert error.startswith("Request for unknown model: 'missing' is not found")
    other = infer(lasting_client, NUMBERS, path="/v2/models/bodymass/versions/2/infer")
    failed(other, 404, "unknown_version")


@pytest.fixture
def decode(service):
    """Return a function that decodes a request to bodymass, without a route."""
    model = service.live.find("bodymass", None)

    def decode(body: bytes, **headers: str):
        return OpenInferenceProtocol(10).decode(model, body, headers.get)

    return decode


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, None), (0, None), (2_500_000, 2.5), (1.0, 1e-6), (2**64, None), (1e300, None)],
)
def test_timeout_is_in_microseconds(decode, timeout, seconds) -> None:
    body = json.dumps({"inputs": [NUMBERS], "parameters": {"timeout": timeout}}).encode()
    assert decode(body).timeout_s == seconds


def test_aligned_doubles_are_not_copied(decode) -> None:
    body, headers = binary_request(("numbers", [2, 2], "FP64", DOUBLES))
    length = int(headers[LENGTH])
    body = body[:length] + b" " * (-length % 8) + body[length:]
    key = LENGTH.lower()
    columns = decode(body, **{key: str(length + -length % 8)}).columns
    assert np.shares_memory(columns.numbers, np.frombuffer(body, np.uint8))


UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"nope",
    "broken off": b'{"inputs": [',
    "trailing bytes": b'{"inputs": []} x',
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
def test_body_that_is_not_json_is_unreadable(lasting_client, failed, body) -> None:
    failed(lasting_client.post(PATH, data=body), 400, "unreadable_body")


WRONG = {
    # The request, and the pointer of the error.
    "a list": ([], None),
    "null": (None, None),
    "no inputs": ({}, None),
    "inputs not a list": ({"inputs": {}}, "/inputs"),
    "no input": ({"inputs": []}, "/inputs"),
    "an input that is not an object": ({"inputs": [3]}, "/inputs/0"),
    "no name": ({"inputs": [{"shape": [1], "datatype": "FP64", "data": []}]}, "/inputs/0"),
    "no shape": ({"inputs": [{"name": "numbers", "datatype": "FP64", "data": []}]}, "/inputs/0"),
    "no datatype": ({"inputs": [{"name": "numbers", "shape": [1], "data": []}]}, "/inputs/0"),
    "no data": ({"inputs": [{k: v for k, v in NUMBERS.items() if k != "data"}]}, "/inputs/0"),
    "data of null": ({"inputs": [{**NUMBERS, "data": None}]}, "/inputs/0"),
    "fractional shape": ({"inputs": [{**NUMBERS, "shape": [1.5, 2]}]}, "/inputs/0/shape/0"),
    "shape with text": ({"inputs": [{**NUMBERS, "shape": ["2", 2]}]}, "/inputs/0/shape/0"),
    "another shape": ({"inputs": [{**NUMBERS, "shape": [4]}]}, "/inputs/0/shape"),
    "another datatype": ({"inputs": [{**NUMBERS, "datatype": "FP8"}]}, "/inputs/0/datatype"),
    "a feature twice": ({"inputs": [HEIGHT, WEIGHT, HEIGHT]}, "/inputs/2/name"),
    "an input twice": ({"inputs": [NUMBERS, NUMBERS]}, "/inputs/1/name"),
    "an id that is a list": ({"inputs": [NUMBERS], "id": []}, "/id"),
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
    "missing binary data": (
        {"inputs": [{**NUMBERS, "data": None, "parameters": {"binary_data_size": 32}}]},
        "/inputs/0/parameters/binary_data_size",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_invalid_request_is_rejected_with_its_pointer(lasting_client, failed, name: str) -> None:
    request, pointer = WRONG[name]
    error = failed(lasting_client.post(PATH, data=json.dumps(request)), 400, "invalid_request")
    assert error.get("pointer") == pointer


@pytest.mark.parametrize(
    "length", ["-1", "+3", "x", "1e2", "3.0", "", "٣", "99999", "9" * 5000, "0x10"]
)
def test_invalid_length_header_is_rejected(lasting_client, failed, length: str) -> None:
    body, _ = binary_request(("numbers", [2, 2], "FP64", DOUBLES))
    headers = {LENGTH: length.encode().decode("latin-1")}
    error = failed(lasting_client.post(PATH, data=body, headers=headers), 400, "invalid_request")
    assert LENGTH in error["error"]
    assert len(error["error"]) < 200


def sized(size: int, **more) -> dict:
    without_data = {key: value for key, value in NUMBERS.items() if key != "data"}
    return {**without_data, "parameters": {"binary_data_size": size}, **more}


WRONG_BYTES = {
    "trailing bytes": ([sized(32)], DOUBLES + b"x"),
    "bytes without an input": ([NUMBERS], b"x"),
    "too few bytes": ([sized(32)], DOUBLES[:-1]),
    "a size that disagrees with the shape": ([sized(31)], DOUBLES[:-1]),
    "twice the size": ([sized(64)], DOUBLES * 2),
    "a negative size": ([sized(-8), sized(40)], DOUBLES),
    "a huge size": ([sized(10**40)], DOUBLES),
    "both data and bytes": ([sized(32, data=[1, 2, 3, 4])], DOUBLES),
}


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_binary_data_of_the_wrong_size_is_rejected(lasting_client, failed, name: str) -> None:
    inputs, content = WRONG_BYTES[name]
    text = json.dumps({"inputs": inputs}).encode()
    headers = {LENGTH: str(len(text))}
    response = lasting_client.post(PATH, data=text + content, headers=headers)
    failed(response, 400, "invalid_request")


def test_length_shorter_than_the_json_is_unreadable(lasting_client, failed) -> None:
    body, _ = binary_request(("numbers", [2, 2], "FP64", DOUBLES))
    for length in ("0", "1", "20"):
        response = lasting_client.post(PATH, data=body, headers={LENGTH: length})
        failed(response, 400, "unreadable_body")


def test_invalid_values_are_reported_as_in_the_rows_protocol(lasting_client, failed) -> None:
    error = failed(
        infer(lasting_client, {**NUMBERS, "data": [171.3, None, None, 50]}), 400, "invalid_rows"
    )
    assert error["error"] == "2 problems in 2 rows"
    assert error["problems"] == [
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


def test_requests_above_the_row_limit_are_rejected(start, models, failed) -> None:
    client = start(models=models, max_rows=3)
    for rows, status in ((3, 200), (4, 413)):
        response = infer(client, tensor("numbers", [rows, 2], [172, 95] * rows))
        assert response.status_code == status
    assert failed(response, 413, "too_many_rows")["limit"] == 3


OVERSIZED = {
    "a shape": tensor("numbers", [10**9, 2], []),
    "numbers": tensor("numbers", [1, 2], [1] * 2_000_000),
    "lists": tensor("numbers", [1, 2], [[]] * 2_000_000),
    "integers": tensor("numbers", [1, 2], [1] * 2_000_000, "INT8"),
    "dimensions": tensor("numbers", [1] * 2_000_000, []),
}


@pytest.mark.parametrize("name", OVERSIZED)
def test_data_larger_than_its_shape_is_rejected_in_bounded_memory(
    lasting_client, failed, name: str
) -> None:
    body = json.dumps({"inputs": [OVERSIZED[name]]}, separators=(",", ":")).encode()
    tracemalloc.start()
    try:
        response = lasting_client.post(PATH, data=body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert failed(response)["code"] in {"invalid_request", "too_many_rows"}
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
def check_response(lasting_client, failed):
    """Return a function that sends a body and checks for a prediction or a well-formed error."""

    def check(path: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        response = lasting_client.post(path, data=body, headers=headers)
        if response.status_code == 200:
            outputs_of(response)
        else:
            assert 400 <= response.status_code < 500
            failed(response)

    return check


@given(path=PATHS, body=st.binary(), length=st.none() | st.integers(-1, 60).map(str) | st.text())
def test_arbitrary_bytes_get_a_prediction_or_an_error(check_response, path, body, length) -> None:
    spelled = None if length is None else length.encode("utf-8", "replace").hex()
    header = length if length is not None and length.isascii() and length.isprintable() else spelled
    check_response(path, body, None if header is None else {LENGTH: header})


@given(path=PATHS, value=JSON)
def test_arbitrary_json_gets_a_prediction_or_an_error(check_response, path, value) -> None:
    check_response(path, json.dumps(value).encode())


@given(
    path=PATHS,
    inputs=st.lists(TENSORS, max_size=4),
    outputs=st.none() | OUTPUTS,
    parameters=st.none() | st.dictionaries(st.sampled_from(["binary_data_output", "x"]), JSON),
    identity=st.none() | st.text() | st.integers(),
    content=st.binary(max_size=40),
    has_header=st.booleans(),
)
def test_arbitrary_tensors_get_a_prediction_or_an_error(
    check_response, path, inputs, outputs, parameters, identity, content, has_header
) -> None:
    request = {"inputs": inputs, "outputs": outputs, "parameters": parameters, "id": identity}
    text = json.dumps(request).encode()
    headers = {LENGTH: str(len(text))} if has_header else {}
    check_response(path, text + (content if has_header else b""), headers)


@given(
    rows=st.integers(0, 3),
    numbers=st.binary(max_size=72),
    datatype=st.sampled_from(["FP64", "FP32", "FP16", "INT8", "BOOL"]),
    texts=st.lists(st.text(max_size=3) | st.sampled_from(["red", " "]), max_size=6),
)
def test_arbitrary_values_get_a_prediction_or_an_error(
    check_response, rows, numbers, datatype, texts
) -> None:
    size = {"FP64": 8, "FP32": 4, "FP16": 2}.get(datatype, 1) * 3 * rows
    body, headers = binary_request(
        ("numbers", [rows, 3], datatype, numbers.ljust(size, b"\0")[:size]),
        ("categories", [rows, 2], "BYTES", encode_bytes(*(texts + ["red"] * 6)[: 2 * rows])),
    )
    check_response(MIXED, body, headers)


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    changes=st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from("idr"), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    ),
)
def test_corrupted_body_gets_a_prediction_or_an_error(check_response, layout: str, changes) -> None:
    good, headers = LAYOUTS[layout]
    body = bytearray(good)
    for place, kind, new in changes:
        at = place % (len(body) + 1)
        body[at : at + (0 if kind == "i" else 1)] = b"" if kind == "d" else new
    check_response(PATH, bytes(body), headers)


def test_base64_texts_are_decoded_if_content_type_says_so(lasting_client, failed) -> None:
    def infer_color(content_type: Any, color: str) -> Any:
        inputs = [
            {"name": "member", "shape": [1], "datatype": "BOOL", "data": [True]},
            {"name": "size/cm", "shape": [1], "datatype": "FP64", "data": [2]},
            {"name": "color", "shape": [1], "datatype": "BYTES", "data": [color]},
        ]
        inputs[2]["parameters"] = {"content_type": content_type}
        return lasting_client.post("/v2/models/mixed/infer", data=json.dumps({"inputs": inputs}))

    plain, encoded = infer_color("str", "red"), infer_color("base64", "cmVk")
    assert plain.data == encoded.data
    assert infer_color(7, "red").data == plain.data
    for wrong in ("red!", "/w=="):
        assert "base64" in failed(infer_color("base64", wrong), 400, "invalid_request")["error"]
