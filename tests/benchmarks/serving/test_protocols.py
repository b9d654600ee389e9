"""Promises of benchmarks.serving.protocols."""

import json

import numpy as np
import pytest

from benchmarks.peers.served_model import ServedModel
from benchmarks.serving.models import Model
from benchmarks.serving.protocols import (
    HEAD_LENGTH,
    BinaryTensors,
    Frames,
    Rows,
    Tensors,
    WrongAnswer,
)

ROWS = [{"height_cm": 172.0, "weight_kg": 95.0}, {"height_cm": 180.0, "weight_kg": 50.5}]


@pytest.fixture
def bodymass(repository):
    return Model("bodymass", repository / "models" / "bodymass" / "1" / "model.onnx", ROWS)


@pytest.fixture
def served(bodymass):
    return ServedModel(str(bodymass.file))


def test_rows_and_frames_hold_the_values_by_name(bodymass):
    rows, frames = Rows("/predict").post(bodymass, 1), Frames("/invocations").post(bodymass, 2)
    assert json.loads(rows.body) == {"instances": ROWS[:1]}
    assert json.loads(frames.body) == {"dataframe_records": ROWS}
    assert frames.path == "/invocations"


def test_tensors_hold_the_columns_in_the_order_of_the_graph(bodymass):
    post = Tensors("/v2/models/{model}/infer").post(bodymass, 2)
    (tensor,) = json.loads(post.body)["inputs"]
    assert post.path == "/v2/models/bodymass/infer"
    assert (tensor["shape"], tensor["datatype"]) == ([2, 2], "FP64")
    assert tensor["data"] == [172.0, 95.0, 180.0, 50.5]


def test_binary_tensors_stand_behind_a_head_whose_length_is_told(bodymass):
    post = BinaryTensors("/v2").post(bodymass, 2)
    length = int(post.headers[HEAD_LENGTH])
    (tensor,) = json.loads(post.body[:length])["inputs"]
    data = post.body[length:]
    assert len(data) == tensor["parameters"]["binary_data_size"]
    assert np.frombuffer(data, "<f8").tolist() == [172.0, 95.0, 180.0, 50.5]


def rows_answer(served):
    return json.dumps({"predictions": served.predictions(ROWS)}).encode(), {}


def tensors_answer(served):
    labels, probabilities = served.run(served.arrays(ROWS))
    outputs = [
        {"name": "label", "data": labels.tolist()},
        {"name": "probabilities", "data": probabilities.ravel().tolist()},
    ]
    return json.dumps({"outputs": outputs}).encode(), {}


def binary_answer(served):
    labels, probabilities = served.run(served.arrays(ROWS))
    texts = [label.encode() for label in labels]
    parts = {
        "probabilities": probabilities.astype("<f4").tobytes(),
        "label": b"".join(len(text).to_bytes(4, "little") + text for text in texts),
    }
    outputs = [
        {"name": name, "parameters": {"binary_data_size": len(part)}}
        for name, part in parts.items()
    ]
    head = json.dumps({"outputs": outputs}).encode()
    return head + b"".join(parts.values()), {HEAD_LENGTH: str(len(head))}


PROTOCOLS = [(Rows, rows_answer), (Tensors, tensors_answer), (BinaryTensors, binary_answer)]


@pytest.mark.parametrize(("protocol", "answer"), PROTOCOLS)
def test_the_answer_of_the_model_is_right_and_that_for_other_rows_wrong(
    bodymass, served, protocol, answer
):
    body, headers = answer(served)
    protocol("/").check(bodymass, 2, body, headers)
    turned = Model("bodymass", bodymass.file, ROWS[::-1])
    with pytest.raises(WrongAnswer, match="labels are not the model's"):
        protocol("/").check(turned, 2, body, headers)
    with pytest.raises(WrongAnswer):
        protocol("/").check(bodymass, 1, body, headers)


def test_probabilities_that_are_off_are_wrong(bodymass, served):
    predictions = served.predictions(ROWS)
    for name in predictions[0]["probabilities"]:
        predictions[0]["probabilities"][name] += 0.001
    body = json.dumps({"predictions": predictions}).encode()
    with pytest.raises(WrongAnswer, match="probabilities are not the model's"):
        Rows("/").check(bodymass, 2, body, {})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"predictions": [{}]}', b'{"predictions": 1}'])
def test_an_answer_that_cannot_be_read_is_wrong(bodymass, body):
    with pytest.raises(WrongAnswer, match="unreadable"):
        Rows("/").check(bodymass, 1, body, {})
