from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pigeonhole.service.errors import (
    LoadFailed,
    ModelNotReady,
    ModelRejected,
    NoDefaultModel,
    UnknownModel,
    UnknownVersion,
    WorkersBehind,
)
from pigeonhole.service.model.artifact import load_model
from pigeonhole.service.model.repository import Repository
from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.shared_state import SharedState

BAD = {"pigeonhole": "99"}
BAD_REASON = "the file has format version 99, this service reads 1"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture):
    """The records of what happened to models, as (message, model, version)."""
    caplog.set_level(logging.INFO, "pigeonhole.service.serving.live_models")

    def records() -> list[tuple]:
        return [
            (r.getMessage(), getattr(r, "model", None), getattr(r, "version", None))
            for r in caplog.records
        ]

    return records


def remove(folder: Path, name: str = "bodymass", version: int | None = None) -> None:
    shutil.rmtree(folder / name / str(version) if version else folder / name)


def test_before_the_first_look_nothing_is_known_and_nothing_ready(serving) -> None:
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": ["the model folder has not been read yet"]}
    with pytest.raises(NoDefaultModel):
        serving.live.find()


def test_a_model_there_at_the_start_is_live_after_one_look(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.look()
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert serving.live.find("bodymass").version == 1
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 1
    assert serving.figure("pigeonhole_workers_ready") == 1
    assert log() == [("model live", "bodymass", 1)]


def test_of_several_versions_only_the_newest_is_loaded(serving, write_model) -> None:
    for version in (1, 2, 10):
        write_model(serving.folder, version=version)
    serving.look(3)
    assert serving.versions() == [10]
    assert serving.loads == [("bodymass", 10)]


def test_a_report_beside_the_model_is_passed_over_whenever_it_comes(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.look()
    path.with_name("report.html").write_text("<!doctype html>")
    serving.look(2)
    assert serving.loads == [("bodymass", 1)]
    assert serving.live.problems() == {}


def test_a_new_version_goes_live_and_the_old_one_retires(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.look()
    old = serving.live.find("bodymass")
    write_model(serving.folder, version=2)
    serving.look(2)
    assert serving.live.find("bodymass").version == 2
    assert serving.versions() == [2]
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 0
    assert serving.figure("pigeonhole_model_live", "bodymass", "2") == 1
    assert log()[1:] == [("model live", "bodymass", 2), ("model retired", "bodymass", 1)]
    # A request that held it before goes on with it.
    assert old.forms.from_rows([], 1) is not None
    assert old.session is not serving.live.find("bodymass").session


def test_a_bad_newest_leaves_the_old_one_serving_and_is_named(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, version=2, metadata=BAD)
    serving.look(2)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    assert serving.live.problems() == {"bodymass": [f"version 2 is refused: {BAD_REASON}"]}
    assert serving.figure("pigeonhole_model_rejected", "bodymass", "2") == 1
    assert serving.figure("pigeonhole_model_loads_total", "bodymass", "rejected") == 1
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 1
    assert log()[1:] == [("model refused", "bodymass", 2)]


def test_a_start_with_a_bad_newest_falls_back_to_the_next_good_one(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2)
    write_model(serving.folder, version=3, metadata=BAD)
    serving.look(2)
    assert serving.versions() == [2]
    assert serving.live.is_ready
    assert serving.loads == [("bodymass", 3), ("bodymass", 2)]


def test_a_file_is_not_taken_up_until_it_has_settled(serving, write_model, tmp_path) -> None:
    write_model(serving.folder)
    serving.look()
    whole = write_model(tmp_path / "aside", version=2).read_bytes()
    path = serving.folder / "bodymass" / "2" / "model.onnx"
    path.parent.mkdir()
    for part in (0.25, 0.5, 0.75, 1):  # somebody copies it slowly
        path.write_bytes(whole[: int(part * len(whole))])
        serving.look()
        assert serving.versions() == [1]
    assert serving.loads == [("bodymass", 1)]
    serving.look()
    assert serving.versions() == [2]
    assert serving.live.problems() == {}


def test_a_bad_file_is_loaded_once_and_again_only_when_it_changes(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    path = write_model(serving.folder, version=2, metadata=BAD)
    serving.look(5)
    assert serving.loads.count(("bodymass", 2)) == 1
    os.utime(path, ns=(1, 1))
    serving.look(5)
    assert serving.loads.count(("bodymass", 2)) == 2
    assert serving.figure("pigeonhole_model_rejected", "bodymass", "2") == 1
    remove(serving.folder, version=2)
    write_model(serving.folder, version=2)
    serving.look(2)
    assert serving.versions() == [2]
    assert serving.live.problems() == {}
    assert serving.figure("pigeonhole_model_rejected", "bodymass", "2") == 0


def test_a_digest_that_is_put_right_is_noticed(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    path = write_model(serving.folder, version=2, digest="0" * 64)
    serving.look(2)
    assert serving.versions() == [1]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("model.onnx.sha256").write_text(digest)
    serving.look(2)
    assert serving.versions() == [2]
    assert serving.live.problems() == {}


def test_a_live_file_overwritten_with_a_bad_one_goes_on_as_it_was(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.look()
    model = serving.live.find("bodymass")
    path.write_bytes(b"no model")
    serving.look(3)
    assert serving.live.find("bodymass") is model
    assert "version 1 is refused" in serving.live.problems()["bodymass"][0]
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 1
    assert serving.figure("pigeonhole_model_rejected", "bodymass", "1") == 1


def test_the_newest_overwritten_with_a_bad_one_goes_on_and_no_older_one_comes_back(
    serving, write_model
) -> None:
    write_model(serving.folder)
    path = write_model(serving.folder, version=2)
    serving.look()
    path.write_bytes(b"no model")
    for _ in range(4):
        serving.look()
        assert serving.live.find("bodymass").version == 2


def test_a_live_file_overwritten_with_a_good_one_is_replaced(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    model = serving.live.find("bodymass")
    remove(serving.folder)
    write_model(serving.folder, bias=3)
    serving.look(2)
    assert serving.live.find("bodymass").digest != model.digest
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 1


def test_when_the_newest_is_removed_the_older_one_serves_again(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2)
    serving.look()
    remove(serving.folder, version=2)
    serving.look()
    assert serving.versions() == [1]
    assert serving.live.is_ready


def test_when_the_newest_is_removed_and_the_older_is_bad_it_goes_on(serving, write_model) -> None:
    write_model(serving.folder, version=1, metadata=BAD)
    write_model(serving.folder, version=2)
    serving.look()
    remove(serving.folder, version=2)
    serving.look(2)
    assert serving.versions() == [2]
    assert serving.live.is_ready


def test_a_removed_model_goes(serving, write_model, log) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other")
    write_model(serving.folder, "other", 2, metadata=BAD)
    serving.look()
    remove(serving.folder, "other")
    serving.look()
    assert list(serving.live.states) == ["bodymass"]
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert serving.figure("pigeonhole_model_live", "other", "1") == 0
    assert serving.figure("pigeonhole_model_rejected", "other", "2") == 0
    assert log()[-1] == ("model retired", "other", 1)
    with pytest.raises(UnknownModel):
        serving.live.find("other")


def test_an_empty_folder_is_not_ready_and_says_so(serving) -> None:
    serving.look()
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": [f"no <name>/<version>/model.onnx in {serving.folder}"]}


def test_a_folder_that_cannot_be_read_leaves_everything_serving(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.look()
    aside = serving.folder.rename(serving.folder.with_name("aside"))
    serving.folder.write_text("no folder")
    serving.look(3)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    (problem,) = serving.live.problems()[""]
    assert "Not a directory" in problem
    assert [message for message, *_ in log()].count("model folder problem") == 1
    serving.folder.unlink()
    aside.rename(serving.folder)
    serving.look()
    assert serving.live.problems() == {}
    assert serving.loads == [("bodymass", 1)]


def test_a_folder_that_comes_late_is_taken_up_at_once(serving, write_model) -> None:
    serving.folder.rmdir()
    serving.look(2)
    assert not serving.live.is_ready
    write_model(serving.folder)
    serving.look()
    assert serving.live.is_ready


def test_serving_toml_pins_versions_and_all_of_them_are_live(serving, write_model) -> None:
    for version in (1, 2, 3):
        write_model(serving.folder, version=version)
    toml = serving.folder / "bodymass" / "serving.toml"
    toml.write_text("live = [1, 2]")
    serving.look()
    assert serving.versions() == [1, 2]
    assert serving.live.find("bodymass").version == 2
    assert serving.live.find("bodymass", "1").version == 1
    with pytest.raises(UnknownVersion) as caught:
        serving.live.find("bodymass", "3")
    assert caught.value.live == (1, 2)
    toml.write_text("live = [1]")
    serving.look()
    assert serving.versions() == [1]
    toml.unlink()
    serving.look()
    assert serving.versions() == [3]


def test_a_pinned_version_that_is_not_there_is_named_and_waited_for(serving, write_model) -> None:
    write_model(serving.folder)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    serving.look()
    assert serving.versions() == [1]
    assert serving.live.problems() == {"bodymass": ["version 2 is to be live but is not there"]}
    write_model(serving.folder, version=2)
    serving.look(2)
    assert serving.versions() == [1, 2]
    assert serving.live.problems() == {}


def test_pinning_only_what_cannot_serve_leaves_the_old_one_serving(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, version=2, metadata=BAD)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [2, 7]")
    serving.look(2)
    assert serving.versions() == [1]
    assert len(serving.live.problems()["bodymass"]) == 2


def test_a_bad_pinned_version_does_not_stop_the_other(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2, metadata=BAD)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    serving.look()
    assert serving.versions() == [1]
    assert serving.live.is_ready


def test_a_serving_toml_that_cannot_be_followed_changes_nothing(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, version=2)
    toml = serving.folder / "bodymass" / "serving.toml"
    toml.write_text("live = 2")
    serving.look(3)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    assert "serving.toml: live is 2" in serving.live.problems()["bodymass"][0]
    assert [message for message, *_ in log()].count("model folder problem") == 1
    toml.write_text("live = [2]")
    serving.look()
    assert serving.versions() == [2]


def test_a_bad_model_there_at_the_start_keeps_the_service_from_being_ready(
    serving, write_model
) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other", metadata=BAD)
    serving.look(2)
    assert not serving.live.is_ready
    assert serving.figure("pigeonhole_workers_ready") == 0
    assert list(serving.live.problems()) == ["other"]
    write_model(serving.folder, "other", 2)
    serving.look(2)
    assert serving.live.is_ready


def test_a_bad_model_that_appears_later_takes_no_readiness_away(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, "other", metadata=BAD)
    serving.look(2)
    assert serving.live.is_ready
    assert list(serving.live.problems()) == ["other"]
    with pytest.raises(ModelNotReady):
        serving.live.find("other")


def test_one_bad_model_does_not_keep_the_others_from_being_loaded(serving, write_model) -> None:
    write_model(serving.folder, "a", metadata=BAD)
    write_model(serving.folder, "b")
    serving.look()
    assert serving.live.find("b").name == "b"


def test_a_load_that_fails_unexpectedly_refuses_that_version_and_is_logged(
    tmp_path, write_model, log
) -> None:
    def load(path: Path, name: str, version: int):
        if version == 2:
            raise ZeroDivisionError("a surprise")
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    counters = SharedState(slots=1)
    live = LiveModels(Repository(tmp_path), load, Metrics(counters.worker(0)))
    write_model(tmp_path)
    write_model(tmp_path, version=2)
    live.refresh()
    assert live.find().version == 1
    assert live.problems() == {
        "bodymass": ["version 2 is refused: an internal error; the log has it"]
    }
    assert ("model load failed", "bodymass", 2) in log()


def test_the_only_model_is_meant_where_none_is_named(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    assert serving.live.find().name == "bodymass"
    assert serving.live.default_model() is serving.live.find()
    write_model(serving.folder, "other")
    serving.look(2)
    with pytest.raises(NoDefaultModel, match="bodymass, other"):
        serving.live.find()
    assert serving.live.default_model() is None


def test_the_default_model_is_meant_where_none_is_named(serve, write_model) -> None:
    serving = serve("other")
    write_model(serving.folder)
    write_model(serving.folder, "other")
    serving.look()
    assert serving.live.find().name == "other"


def test_without_its_default_model_the_service_is_not_ready_and_says_so(serve, write_model) -> None:
    serving = serve("other")
    write_model(serving.folder)
    serving.look()
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": ["the default model 'other' is not there"]}
    assert serving.live.default_model() is None
    with pytest.raises(UnknownModel):
        serving.live.find()
    write_model(serving.folder, "other")
    serving.look(2)
    assert serving.live.is_ready
    assert serving.live.problems() == {}


def test_what_is_asked_for_and_not_there_is_named_beside_what_is(serving, write_model) -> None:
    write_model(serving.folder, version=4)
    write_model(serving.folder, "other")
    serving.look()
    with pytest.raises(UnknownModel) as unknown:
        serving.live.find("none")
    assert unknown.value.known == ("bodymass", "other")
    for version in ("1", "04", "4 ", "4.0", "latest", "", "-4"):
        with pytest.raises(UnknownVersion) as caught:
            serving.live.find("bodymass", version)
        assert (caught.value.version, caught.value.live) == (version, (4,))


def test_while_a_model_is_being_loaded_it_is_known_and_not_ready(tmp_path, write_model) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path, name: str, version: int):
        loading.set()
        assert go_on.wait(10)
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    live = LiveModels(Repository(tmp_path), load, Metrics(SharedState(slots=1).worker(0)))
    write_model(tmp_path)
    thread = threading.Thread(target=live.refresh)
    thread.start()
    try:
        assert loading.wait(10)
        assert not live.is_ready
        with pytest.raises(ModelNotReady):
            live.find("bodymass")
        with pytest.raises(ModelNotReady):
            live.find()
    finally:
        go_on.set()
        thread.join()
    assert live.is_ready


def test_while_a_new_version_is_being_loaded_the_old_one_answers(tmp_path, write_model) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path, name: str, version: int):
        if version == 2:
            loading.set()
            assert go_on.wait(10)
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    live = LiveModels(Repository(tmp_path), load, Metrics(SharedState(slots=1).worker(0)))
    write_model(tmp_path)
    live.refresh()
    write_model(tmp_path, version=2)
    live.refresh()
    thread = threading.Thread(target=live.refresh)
    thread.start()
    try:
        assert loading.wait(10)
        assert live.find().version == 1
        assert live.is_ready
    finally:
        go_on.set()
        thread.join()
    assert live.find().version == 2


def test_a_folder_that_lost_all_its_models_at_once_keeps_them_serving(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.live.refresh()
    path.parent.parent.rename(serving.folder.parent / "away")
    serving.live.refresh()
    assert serving.live.find("bodymass").version == 1
    assert "is empty" in serving.live.problems()[""][0]
    (serving.folder.parent / "away").rename(serving.folder / "bodymass")
    serving.live.refresh()
    assert serving.live.problems() == {}


def test_a_worker_that_replaces_another_expects_no_more_than_that_one_did(
    serving, write_model
) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, "late", metadata=BAD)
    serving.look(2)
    assert serving.live.is_ready
    successor = type(serving)(serving.folder, counters=serving.counters)
    successor.look()
    assert successor.live.is_ready
    assert "late" in successor.live.problems()


def test_what_an_operator_should_know_of_the_folder_is_logged_once(
    serving, write_model, log
) -> None:
    write_model(serving.folder)
    (serving.folder / "no name" / "1").mkdir(parents=True)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 9]")
    serving.look(3)
    messages = [message for message, *_ in log()]
    assert messages.count("model folder problem") == 1
    assert messages.count("versions missing") == 1
    assert "'no name' is passed over" in serving.live.problems()[""][0]


def test_an_unloaded_model_is_unknown_until_it_is_loaded_again(serving, write_model, log) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other")
    serving.look()
    serving.live.unload("bodymass")
    serving.look(2)
    with pytest.raises(UnknownModel, match="there are: other"):
        serving.live.find("bodymass")
    assert list(serving.live.states) == ["other"]
    assert serving.live.unloaded == {"bodymass": (1,)}
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 0
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert log()[-1] == ("model retired", "bodymass", 1)
    serving.live.load("bodymass")
    assert serving.live.find("bodymass").version == 1
    assert serving.live.unloaded == {}
    assert serving.figure("pigeonhole_model_live", "bodymass", "1") == 1


def test_neither_the_only_model_nor_the_default_is_missed_when_it_is_unloaded(
    serve, write_model
) -> None:
    serving = serve("bodymass")
    write_model(serving.folder)
    serving.look()
    serving.live.unload("bodymass")
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    write_model(serving.folder, "other")
    serving.look(2)
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    with pytest.raises(UnknownModel):
        serving.live.find()


def test_a_model_is_unloaded_though_its_folder_is_gone(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    shutil.rmtree(serving.folder)
    serving.look()
    assert serving.live.find("bodymass")
    serving.live.unload("bodymass")
    with pytest.raises(UnknownModel):
        serving.live.find("bodymass")
    with pytest.raises(LoadFailed, match=r"model folder .* can't be read: No such file"):
        serving.live.load("bodymass")


def test_loading_takes_what_lies_there_now_settled_or_not(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    write_model(serving.folder, version=2)
    serving.live.load("bodymass")
    assert serving.versions() == [2]
    loads = list(serving.loads)
    serving.live.load("bodymass")
    assert serving.loads == loads  # the same file is not loaded again
    write_model(serving.folder, "new")
    serving.live.load("new")
    assert serving.versions("new") == [1]


def test_a_load_tries_a_refused_file_again_and_tells_why_it_is_refused(
    serving, write_model
) -> None:
    write_model(serving.folder)
    write_model(serving.folder, version=2, metadata=BAD)
    serving.look(3)
    assert serving.loads == [("bodymass", 2), ("bodymass", 1)]
    for _ in range(2):
        with pytest.raises(LoadFailed) as caught:
            serving.live.load("bodymass")
        assert str(caught.value) == (
            f"failed to load 'bodymass': version 2 is refused: {BAD_REASON}"
        )
    assert serving.loads[2:] == [("bodymass", 2)] * 2
    assert serving.versions() == [1]


def test_what_is_not_there_can_be_neither_loaded_nor_unloaded(serving, write_model) -> None:
    write_model(serving.folder)
    serving.look()
    with pytest.raises(LoadFailed, match="failed to load 'dogs': no such model in the folder"):
        serving.live.load("dogs")
    with pytest.raises(UnknownModel, match="there are: bodymass"):
        serving.live.unload("dogs")


def live_in(
    counters: SharedState, slot: int, folder: Path, load=None, **settings: float
) -> LiveModels:
    """The models of one more worker on the same map."""

    def good(path: Path, name: str, version: int):
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    counters.take(slot)
    return LiveModels(Repository(folder), load or good, Metrics(counters.worker(slot)), **settings)


def test_a_worker_that_comes_later_follows_what_was_commanded(tmp_path, write_model) -> None:
    counters = SharedState(slots=2)
    write_model(tmp_path)
    write_model(tmp_path, "other")
    first = live_in(counters, 0, tmp_path)
    first.refresh()
    first.unload("other")
    second = live_in(counters, 1, tmp_path)
    assert second.is_behind()
    second.refresh()
    assert not second.is_behind()
    assert list(second.states) == ["bodymass"]
    assert second.is_ready


@contextmanager
def following(live: LiveModels) -> Iterator[None]:
    """A worker looks for commands meanwhile."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(0.005):
            if live.is_behind():
                live.refresh()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_command_that_others_do_not_follow_in_time_says_so_and_holds(
    tmp_path, write_model
) -> None:
    counters = SharedState(slots=2)
    write_model(tmp_path)
    first, second = (live_in(counters, slot, tmp_path, follow_s=0.5) for slot in range(2))
    for live in (first, second):
        live.refresh()
    with pytest.raises(WorkersBehind, match="'bodymass'"):
        first.unload("bodymass")
    assert not first.states
    assert second.states
    second.refresh()
    assert not second.states
    with following(first):
        second.load("bodymass")
    assert first.find("bodymass").version == second.find("bodymass").version == 1


def test_a_model_that_one_worker_refuses_is_not_said_to_be_loaded(tmp_path, write_model) -> None:
    counters = SharedState(slots=2)
    write_model(tmp_path)

    def refuse(path: Path, name: str, version: int):
        raise ModelRejected("no memory")

    first, second = (
        live_in(counters, 0, tmp_path, follow_s=0.5),
        live_in(counters, 1, tmp_path, refuse, follow_s=0.5),
    )
    for live in (first, second):
        live.refresh()
    with following(second), pytest.raises(WorkersBehind):
        first.load("bodymass")


# A folder of one model alone


def test_the_file_of_a_folder_of_one_model_is_swapped_kept_and_missed_as_any_other(
    tmp_path, write_model
) -> None:
    def load(path: Path, name: str, version: int):
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    counters = SharedState(slots=1)
    folder = tmp_path / "mount"
    folder.mkdir()
    live = LiveModels(Repository(folder, "mine"), load, Metrics(counters.worker(0)), "mine")
    live.refresh()
    assert not live.is_ready
    missing = {"mine": [f"there is no model.onnx or <version>/model.onnx in {folder}"]}
    assert live.problems() == missing
    digests = []
    for bias in (0.0, 1.0):
        written = write_model(tmp_path / str(bias), bias=bias)
        written.rename(folder / "model.onnx")
        live.refresh()
        live.refresh()
        assert live.is_ready
        assert live.problems() == {}
        digests.append(live.find().digest)
        assert (live.find().name, live.find().version) == ("mine", 1)
    assert len(set(digests)) == 2
    (folder / "model.onnx").unlink()
    live.refresh()
    assert live.find("mine").digest == digests[-1]
    assert live.is_ready
    assert live.problems() == missing
