"""How a request finds its model among the live ones."""

from __future__ import annotations

import pytest

from pigeonhole.service.errors import ModelNotReady, NoDefaultModel, UnknownModel, UnknownVersion
from pigeonhole.service.serving.live_models import LiveModels, ModelState


def test_nothing_is_found_before_the_first_refresh() -> None:
    live = LiveModels()
    assert not live.is_ready
    assert live.default_model() is None
    assert live.problems() == {"": ["the model folder has not been read yet"]}


def test_model_without_a_live_version_is_not_ready() -> None:
    live = LiveModels()
    live.set_state("a", ModelState())
    for version in (None, "1"):
        with pytest.raises(ModelNotReady):
            live.find("a", version)
    live.remove("a")
    with pytest.raises(UnknownModel):
        live.find("a")


def test_problems_are_sentences_of_a_version_or_of_the_folder() -> None:
    live = LiveModels()
    live.folder_reports = ("folder 'x y' is ignored: bad name",)
    rejected = {2: ((1,), "no memory")}
    live.set_state("a", ModelState(rejected=rejected, problem="serving.toml: broken", missing=(3,)))
    assert live.problems() == {
        "": ["folder 'x y' is ignored: bad name"],
        "a": [
            "version 2 was rejected: no memory",
            "version 3 is listed to be live but does not exist",
            "serving.toml: broken",
        ],
    }


def test_only_model_answers_requests_without_a_name(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    assert serving.live.find().name == "bodymass"
    assert serving.live.default_model() is serving.live.find()
    write_model(serving.folder, "other")
    serving.refresh(2)
    with pytest.raises(NoDefaultModel, match="bodymass, other"):
        serving.live.find()
    assert serving.live.default_model() is None


def test_default_model_answers_requests_without_a_name(serve, write_model) -> None:
    serving = serve("other")
    write_model(serving.folder)
    write_model(serving.folder, "other")
    serving.refresh()
    assert serving.live.find().name == "other"


def test_missing_default_model_prevents_readiness_and_is_reported(serve, write_model) -> None:
    serving = serve("other")
    write_model(serving.folder)
    serving.refresh()
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": ["the default model 'other' does not exist"]}
    assert serving.live.default_model() is None
    with pytest.raises(UnknownModel):
        serving.live.find()
    write_model(serving.folder, "other")
    serving.refresh(2)
    assert serving.live.is_ready
    assert serving.live.problems() == {}


def test_unknown_name_or_version_is_reported_with_the_known_ones(serving, write_model) -> None:
    write_model(serving.folder, version=4)
    write_model(serving.folder, "other")
    serving.refresh()
    with pytest.raises(UnknownModel) as unknown:
        serving.live.find("none")
    assert unknown.value.known == ("bodymass", "other")
    for version in ("1", "04", "4 ", "4.0", "latest", "", "-4"):
        with pytest.raises(UnknownVersion) as caught:
            serving.live.find("bodymass", version)
        assert (caught.value.version, caught.value.live) == (version, (4,))
