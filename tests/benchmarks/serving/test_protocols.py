"""The protocols of the servers."""

import json

import numpy as np
import pytest

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import (
    HEADER_LENGTH,
    BinaryTensorProtocol,
    DataFrameProtocol,
    RowProtocol,
    TensorProtocol,
    WrongResponse,
)

ROWS = [{"height_cm": 172.0, "weight_kg": 95.0}, {"height_cm": 180.0, "weight_kg": 50.5}]


@pytest.fixture
def bodymass(repository):
    return Model("bodymass", repository / "models" / "bodymass" / "1" / "model.onnx", ROWS)


@pytest.fixture
def served(bodymass):
    return ServedModel(str(bodymass.file))


def test_row_protocols_send_values_by_name(bodymass):
    rows = RowProtocol("/predict").request(bodymass, 1)
    records = DataFrameProtocol("/invocations").request(bodymass, 2)
    assert json.loads(rows.body) == {"instances": ROWS[:1]}
    assert json.loads(records.body) == {"dataframe_records": ROWS}
    assert records.path == "/invocations"


def test_tensors_have_the_columns_in_the_order_of_the_graph(bodymass):
    request = TensorProtocol("/v2/models/{model}/infer").request(bodymass, 2)
    (tensor,) = json.loads(request.body)["inputs"]
    assert request.path == "/v2/models/bodymass/infer"
    assert (tensor["shape"], tensor["datatype"]) == ([2, 2], "FP64")
    assert tensor["data"] == [172.0, 95.0, 180.0, 50.5]


def test_binary_tensors_follow_a_header_of_stated_length(bodymass):
    request = BinaryTensorProtocol("/v2").request(bodymass, 2)
    length = int(request.headers[HEADER_LENGTH])
    (tensor,) = json.loads(request.body[:length])["inputs"]
    data = request.body[length:]
    assert len(data) == tensor["parameters"]["binary_data_size"]
    assert np.frombuffer(data, "<f8").tolist() == [172.0, 95.0, 180.0, 50.5]


def rows_response(served):
    return json.dumps({"predictions": served.predictions(ROWS)}).encode(), {}


def tensors_response(served):
    labels, probabilities = served.run(served.arrays(ROWS))
    outputs = [
        {"name": "label", "data": labels.tolist()},
        {"name": "probabilities", "data": probabilities.ravel().tolist()},
    ]
    return json.dumps({"outputs": outputs}).encode(), {}


def binary_response(served):
    labels, probabilities = served.run(served.arrays(ROWS))
    strings = [label.encode() for label in labels]
    tensors = {
        "probabilities": probabilities.astype("<f4").tobytes(),
        "label": b"".join(len(string).to_bytes(4, "little") + string for string in strings),
    }
    outputs = [
        {"name": name, "parameters": {"binary_data_size": len(data)}}
        for name, data in tensors.items()
    ]
    header = json.dumps({"outputs": outputs}).encode()
    return header + b"".join(tensors.values()), {HEADER_LENGTH: str(len(header))}


PROTOCOLS = [
    (RowProtocol, rows_response),
    (TensorProtocol, tensors_response),
    (BinaryTensorProtocol, binary_response),
]


@pytest.mark.parametrize(("protocol", "response"), PROTOCOLS)
def test_check_accepts_the_models_predictions(bodymass, served, protocol, response):
    body, headers = response(served)
    protocol("/").check(bodymass, 2, body, headers)


@pytest.mark.parametrize(("protocol", "response"), PROTOCOLS)
def test_check_rejects_predictions_for_other_rows(bodymass, served, protocol, response):
    body, headers = response(served)
    reversed_rows = Model("bodymass", bodymass.file, ROWS[::-1])
    with pytest.raises(WrongResponse, match="labels differ from the model's"):
        protocol("/").check(reversed_rows, 2, body, headers)
    with pytest.raises(WrongResponse):
        protocol("/").check(bodymass, 1, body, headers)


def test_check_rejects_different_probabilities(bodymass, served):
    predictions = served.predictions(ROWS)
    for name in predictions[0]["probabilities"]:
        predictions[0]["probabilities"][name] += 0.001
    body = json.dumps({"predictions": predictions}).encode()
    with pytest.raises(WrongResponse, match="probabilities differ from the model's"):
        RowProtocol("/").check(bodymass, 2, body, {})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"predictions": [{}]}', b'{"predictions": 1}'])
def test_check_rejects_an_unreadable_response(bodymass, body):
    with pytest.raises(WrongResponse, match="unreadable"):
        RowProtocol("/").check(bodymass, 1, body, {})
