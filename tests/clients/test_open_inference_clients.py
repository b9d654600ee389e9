"""Other projects' clients of the Open Inference Protocol, against running services."""

from __future__ import annotations

import re

import pytest
from jsonschema import validate

from pigeonhole import __version__
from tests.clients import shapes
from tests.clients.client_programs import TOKEN, Results, RunClient
from tests.running_service import RunningService

PROBABILITIES = [
    [0.9999785423278809, 2.1423158614197746e-05],
    [8.491990115544468e-07, 0.9999991655349731],
]
"""Probabilities of bodymass, version 1, for (172 cm, 95 kg) and (180 cm, 50 kg)."""

LABELS = ["overweight", "underweight"]

EXTENSIONS = {
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
}

pytestmark = pytest.mark.slow


def host(server: RunningService) -> str:
    return f"127.0.0.1:{server.port}"


def holds(answer: dict, labels: list = LABELS, probabilities: list = PROBABILITIES) -> None:
    """Fail unless the response holds the predictions of the two rows, to the last bit."""
    assert answer["tensors"] == {"label": labels, "probabilities": probabilities}
    assert answer["version"] in ("1", None)


@pytest.fixture(scope="session", params=["triton_http.py", "triton_aio.py"])
def triton(request, run_client: RunClient, server: RunningService) -> Results:
    return run_client(request.param, host(server))


@pytest.fixture(scope="session")
def triton_http(run_client: RunClient, server: RunningService) -> Results:
    return run_client("triton_http.py", host(server))


def test_triton_reads_liveness_and_readiness(triton: Results) -> None:
    assert triton["live"] is triton["ready"] is triton["model_ready"] is True
    assert triton["no_model_ready"] is False


def test_triton_reads_the_metadata_of_server_and_model(triton: Results) -> None:
    server, metadata = triton["server"], triton["metadata"]
    validate(server, shapes.SERVER)
    assert (server["name"], server["version"]) == ("pigeonhole", __version__)
    validate(metadata, shapes.MODEL)
    assert metadata["versions"] == ["1"]
    inputs = {
        tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]
    }
    assert inputs["numbers"] == ("FP64", [-1, 2])
    assert inputs["height_cm"] == ("FP64", [-1])
    outputs = {tensor["name"]: tensor["shape"] for tensor in metadata["outputs"]}
    assert outputs == {"label": [-1], "probabilities": [-1, 2]}


def test_triton_finds_exactly_the_claimed_extensions(triton_http: Results) -> None:
    claimed = {name.partition("(")[0] for name in triton_http["server"]["extensions"]}
    assert claimed == EXTENSIONS
    for question in ("trace_settings", "log_settings", "shared_memory"):
        assert "[404]" in triton_http.raised(question)


def test_triton_reads_the_configuration(triton: Results) -> None:
    config = triton["config"]
    validate(config, shapes.CONFIG)
    assert config["name"] == "bodymass"
    assert {tensor["name"] for tensor in config["output"]} == {"label", "probabilities"}


def test_triton_reads_the_index(triton: Results) -> None:
    index = triton["index"]
    validate(index, shapes.INDEX)
    assert {entry["name"] for entry in index} == {
        "animals",
        "bodymass",
        "dated",
        "everything",
        "mixed",
        "single",
    }
    assert {entry["state"] for entry in index} == {"READY"}


def test_triton_infers_by_bytes_and_by_json(triton: Results) -> None:
    for form in ("binary", "json"):
        answer = triton[form]
        assert answer["tensors"]["probabilities"] == PROBABILITIES
        assert answer["datatypes"]["probabilities"] == "FP32"
    holds(triton["binary"])
    assert triton["binary"]["as_bytes"] == ["label", "probabilities"]


def test_triton_infers_with_a_tensor_for_each_feature(triton: Results) -> None:
    holds(triton["by_feature"])
    assert triton["mixed"]["tensors"]["label"] == ["yes", "no"]


def test_triton_compresses_requests_and_responses(triton_http: Results, triton: Results) -> None:
    for sent in (None, "gzip", "deflate"):
        for received in (None, "gzip", "deflate"):
            holds(triton_http[f"{sent}_in_{received}_out"], LABELS * 500, PROBABILITIES * 500)
    if triton.program == "triton_aio.py":
        holds(triton["gzip_both_ways"])
        holds(triton["deflate_both_ways"])


def test_triton_classifies(triton: Results) -> None:
    best, second = triton["classes"]["tensors"]["probabilities"]
    assert [text.split(":")[1:] for text in best] == [["0", "overweight"], ["1", "underweight"]]
    assert [text.split(":")[1:] for text in second] == [["1", "underweight"], ["0", "overweight"]]
    assert [float(text.split(":")[0]) for text in best] == PROBABILITIES[0]


def test_triton_sends_many_requests_at_once(triton: Results) -> None:
    assert len(triton["at_once"]) == 20
    for answer in triton["at_once"]:
        holds(answer)


def test_triton_receives_the_error_of_a_wrong_request(
    triton: Results, triton_http: Results
) -> None:
    assert "unknown model: 'dogs' is not found" in triton.raised("wrong_model")
    assert "[400] input 'numbers'" in triton_http.raised("wrong_shape")
    assert "[400] output 'odds' does not exist" in triton_http.raised("wrong_output")
    assert "unknown model: 'dogs' is not found" in triton_http.raised("no_metadata")
    assert triton_http["no_version_ready"] is False


def test_triton_sends_its_other_options(triton_http: Results) -> None:
    answer = triton_http["options"]
    holds(answer)
    assert answer["id"] == "mine"
    assert triton_http["version_ready"] is True
    one = triton_http["one_class"]
    assert one["as_bytes"] == []
    assert [len(row) for row in one["tensors"]["probabilities"]] == [1, 1]


def test_triton_sends_every_kind_of_value(triton_http: Results) -> None:
    validate(triton_http["mixed_metadata"], shapes.MODEL)
    assert triton_http["mixed_json"]["tensors"] == triton_http["mixed"]["tensors"]
    assert triton_http["dated"]["tensors"]["label"] == ["late"]
    assert triton_http["animal"]["tensors"]["label"] == ["cat"]
    assert triton_http["no_rows"]["tensors"]["label"] == []
    assert triton_http["by_feature_json"]["tensors"] == triton_http["by_feature"]["tensors"]


def test_triton_reads_statistics_that_count(triton: Results, triton_http: Results) -> None:
    statistics = triton["statistics"]
    validate(statistics, shapes.STATISTICS)
    (bodymass,) = statistics["model_stats"]
    assert (bodymass["name"], bodymass["version"]) == ("bodymass", "1")
    everything = triton_http["all_statistics"]
    validate(everything, shapes.STATISTICS)
    assert {model["name"] for model in everything["model_stats"]} >= {"bodymass", "animals"}
    (bodymass,) = triton_http["statistics"]["model_stats"]
    counted = bodymass["inference_stats"]
    # Nine compressed calls of a thousand rows each, and many small ones.
    assert bodymass["inference_count"] > 9000
    assert 30 <= bodymass["execution_count"] <= counted["success"]["count"]
    assert counted["success"]["ns"] >= counted["compute_infer"]["ns"] > 0
    assert bodymass["last_inference"] > 1_700_000_000_000


def test_triton_can_not_load_or_unload_without_keys(triton_http: Results) -> None:
    for call in ("load", "unload", "load_unknown"):
        assert "[403]" in triton_http.raised(call)
    assert triton_http["ready_unloaded"] is True


@pytest.fixture(scope="session")
def managed(run_client: RunClient, keyed_server: RunningService) -> Results:
    return run_client("triton_http.py", host(keyed_server), TOKEN)


def test_triton_unloads_and_loads_with_an_admin_key(managed: Results) -> None:
    assert managed["unload"] is None
    assert managed["ready_unloaded"] is False
    states = {entry["name"]: entry["state"] for entry in managed["index_unloaded"]}
    assert states["animals"] == "UNAVAILABLE"
    assert states["bodymass"] == "READY"
    assert "[4" in managed.raised("infer_unloaded")
    # An unloaded model does not make the service unready.
    assert managed["server_ready_unloaded"] is True
    assert managed["load"] is None
    assert managed["ready_loaded"] is True
    assert managed["infer_loaded"]["tensors"]["label"] == ["cat"]
    assert managed["load_loaded"] is None


def test_triton_receives_the_error_of_a_failed_load(managed: Results) -> None:
    assert re.search(r"\[400\] failed to load 'dogs'", managed.raised("load_unknown"))
    assert "[400]" in managed.raised("load_with_file")


def test_triton_sends_its_key_with_every_request(managed: Results) -> None:
    holds(managed["binary"])
    assert managed["metadata"]["name"] == "bodymass"
    assert managed["live"] is True


def test_triton_without_a_key_is_rejected(
    run_client: RunClient, keyed_server: RunningService
) -> None:
    results = run_client("triton_http.py", host(keyed_server))
    assert results["live"] is results["ready"] is True
    for question in ("binary", "metadata", "index", "statistics", "unload", "load"):
        assert "[401]" in results.raised(question)


@pytest.fixture(scope="session")
def kserve(run_client: RunClient, server: RunningService) -> Results:
    return run_client("kserve_rest.py", server.address)


def test_kserve_reads_liveness_and_readiness(kserve: Results) -> None:
    for question in ("v1_live", "v1_model_ready", "v2_live", "v2_ready", "v2_model_ready"):
        assert kserve[question] is True
    assert kserve["v2_no_model_ready"] is False
    assert "404 Not Found" in kserve.raised("v1_no_model_ready")


def test_kserve_predicts_by_protocol_v1(kserve: Results) -> None:
    predictions = kserve["v1_predict"]["predictions"]
    assert [prediction["label"] for prediction in predictions] == LABELS
    named = [dict(zip(LABELS, row, strict=True)) for row in PROBABILITIES]
    assert [prediction["probabilities"] for prediction in predictions] == named
    assert "2 problems in 1 row" in kserve.raised("v1_wrong_row")
    assert "'dogs' is not found" in kserve.raised("v1_wrong_model")


def test_kserve_receives_404_from_the_explainer(kserve: Results) -> None:
    assert "404 Not Found" in kserve.raised("v1_explain")


@pytest.mark.parametrize("sent", ["json", "binary"])
@pytest.mark.parametrize("received", ["json", "binary"])
def test_kserve_infers_by_protocol_v2(kserve: Results, sent: str, received: str) -> None:
    answer = kserve[f"v2_infer_{sent}_{received}"]
    holds(answer)
    assert (answer["id"], answer["model"]) == ("mine", "bodymass")


def test_kserve_sends_strings(kserve: Results) -> None:
    assert kserve["v2_mixed"]["tensors"]["label"] == ["yes", "no"]


def test_kserve_sends_a_key(run_client: RunClient, keyed_server: RunningService) -> None:
    results = run_client("kserve_rest.py", keyed_server.address, TOKEN)
    assert results["v2_ready"] is results["v1_model_ready"] is True
    holds(results["v2_infer_binary_binary"])
    assert results["v1_predict"]["predictions"]


@pytest.fixture(scope="session")
def published(run_client: RunClient, server: RunningService) -> Results:
    return run_client("open_inference_client.py", server.address)


def test_published_client_reads_every_core_path(published: Results) -> None:
    for question in ("live", "ready", "model_ready", "version_ready"):
        assert published[question] is None  # the client raises for any other answer
    for question, shape in {
        "server": shapes.SERVER,
        "metadata": shapes.MODEL,
        "version_metadata": shapes.MODEL,
        "infer": shapes.INFERENCE,
        "version_infer": shapes.INFERENCE,
        "async_infer": shapes.INFERENCE,
    }.items():
        validate(published[question], shape)
    assert published["infer"]["id"] == "mine"
    assert published["infer"]["outputs"][1]["data"] == [*PROBABILITIES[0], *PROBABILITIES[1]]
    assert [output["name"] for output in published["version_infer"]["outputs"]] == ["probabilities"]


def test_published_client_recognizes_every_error(published: Results) -> None:
    assert published.raised("no_model_ready").startswith("NotFoundError: status_code: 404")
    assert published.raised("no_metadata").startswith("ApiError: status_code: 404")
    assert published.raised("wrong_infer").startswith("BadRequestError: status_code: 400")


@pytest.fixture(scope="session")
def pydantic(run_client: RunClient, server: RunningService) -> Results:
    return run_client("pydantic_client.py", server.address)


def test_pydantic_models_match_the_metadata(pydantic: Results) -> None:
    assert pydantic["ready"] is True
    assert pydantic["no_model_ready"] is False
    for question in ("valid_features", "valid_version", "valid_tensor", "valid_mixed"):
        assert pydantic[question] is None  # a mismatch raises
    assert "does not have an input named 'shoe_size'" in pydantic.raised("invalid")


def test_pydantic_models_receive_predictions(pydantic: Results) -> None:
    for question in ("by_feature", "by_version", "by_tensor"):
        assert pydantic[question] == {"label": LABELS, "probabilities": PROBABILITIES}
    assert "HTTP 404" in pydantic.raised("wrong_model")


def test_client_without_headers_sends_its_key_in_the_url(
    run_client: RunClient, keyed_server: RunningService
) -> None:
    results = run_client("pydantic_client.py", f"http://anybody:{TOKEN}@{host(keyed_server)}")
    assert results["valid_features"] is None
    assert results["by_feature"]["label"] == LABELS
