"""The live models follow the model folder and the commands of operators."""

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
from pigeonhole.service.model.artifact import Model, load_model
from pigeonhole.service.model.repository import Repository
from pigeonhole.service.serving.live_models import LiveModels
from pigeonhole.service.serving.metrics import Metrics
from pigeonhole.service.serving.reconciler import Load, Reconciler
from pigeonhole.service.serving.shared_state import SharedState

BAD = {"pigeonhole": "99"}
EMPTY = "no model found, expected <name>/<version>/model.onnx in {}"
BAD_REASON = (
    "the file has format 99; this service reads format 1: "
    "upgrade the service, or fit the model again"
)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture):
    """Return the log records about models, as (message, model, version)."""
    caplog.set_level(logging.INFO, "pigeonhole.service.serving.reconciler")

    def records() -> list[tuple]:
        return [
            (r.getMessage(), getattr(r, "model", None), getattr(r, "version", None))
            for r in caplog.records
        ]

    return records


def remove(folder: Path, name: str = "bodymass", version: int | None = None) -> None:
    shutil.rmtree(folder / name / str(version) if version else folder / name)


def load_file(path: Path, name: str, version: int) -> Model:
    return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)


def models_in(
    shared: SharedState, number: int, folder: Path, load: Load = load_file, **settings: float
) -> tuple[LiveModels, Reconciler]:
    """Return the models of one worker, and what loads them."""
    shared.claim(number)
    slot, live = shared.worker(number), LiveModels()
    return live, Reconciler(live, Repository(folder), load, slot, Metrics(slot), **settings)


def test_worker_is_not_ready_before_the_first_refresh(serving) -> None:
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": ["the model folder has not been read yet"]}
    with pytest.raises(NoDefaultModel):
        serving.live.find()


def test_model_in_the_folder_is_live_after_the_first_refresh(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.refresh()
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert serving.live.find("bodymass").version == 1
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 1
    assert serving.sample("pigeonhole_workers_ready") == 1
    assert log() == [("model live", "bodymass", 1)]


def test_only_the_newest_version_is_loaded(serving, write_model) -> None:
    for version in (1, 2, 10):
        write_model(serving.folder, version=version)
    serving.refresh(3)
    assert serving.versions() == [10]
    assert serving.loads == [("bodymass", 10)]


def test_report_beside_the_model_is_ignored(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.refresh()
    path.with_name("report.html").write_text("<!doctype html>")
    serving.refresh(2)
    assert serving.loads == [("bodymass", 1)]
    assert serving.live.problems() == {}


def test_new_version_goes_live_and_the_old_one_retires(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.refresh()
    old = serving.live.find("bodymass")
    write_model(serving.folder, version=2)
    serving.refresh(2)
    assert serving.live.find("bodymass").version == 2
    assert serving.versions() == [2]
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 0
    assert serving.sample("pigeonhole_model_live", "bodymass", "2") == 1
    assert log()[1:] == [("model live", "bodymass", 2), ("model retired", "bodymass", 1)]
    # A request that holds the old version finishes with it.
    assert old.row_types.from_rows([], 1) is not None
    assert old.session is not serving.live.find("bodymass").session


def test_bad_new_version_is_reported_and_the_old_one_stays_live(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, version=2, metadata=BAD)
    serving.refresh(2)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    assert serving.live.problems() == {"bodymass": [f"version 2 was rejected: {BAD_REASON}"]}
    assert serving.sample("pigeonhole_model_rejected", "bodymass", "2") == 1
    assert serving.sample("pigeonhole_model_loads_total", "bodymass", "rejected") == 1
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 1
    assert log()[1:] == [("model rejected", "bodymass", 2)]


def test_start_with_a_bad_newest_version_falls_back_to_the_next(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2)
    write_model(serving.folder, version=3, metadata=BAD)
    serving.refresh(2)
    assert serving.versions() == [2]
    assert serving.live.is_ready
    assert serving.loads == [("bodymass", 3), ("bodymass", 2)]


def test_file_is_not_loaded_while_it_is_copied(serving, write_model, tmp_path) -> None:
    write_model(serving.folder)
    serving.refresh()
    whole = write_model(tmp_path / "aside", version=2).read_bytes()
    path = serving.folder / "bodymass" / "2" / "model.onnx"
    path.parent.mkdir()
    for part in (0.25, 0.5, 0.75, 1):  # a slow copy
        path.write_bytes(whole[: int(part * len(whole))])
        serving.refresh()
        assert serving.versions() == [1]
    assert serving.loads == [("bodymass", 1)]
    serving.refresh()
    assert serving.versions() == [2]
    assert serving.live.problems() == {}


def test_bad_file_is_loaded_again_only_when_it_changes(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    path = write_model(serving.folder, version=2, metadata=BAD)
    serving.refresh(5)
    assert serving.loads.count(("bodymass", 2)) == 1
    os.utime(path, ns=(1, 1))
    serving.refresh(5)
    assert serving.loads.count(("bodymass", 2)) == 2
    assert serving.sample("pigeonhole_model_rejected", "bodymass", "2") == 1
    remove(serving.folder, version=2)
    write_model(serving.folder, version=2)
    serving.refresh(2)
    assert serving.versions() == [2]
    assert serving.live.problems() == {}
    assert serving.sample("pigeonhole_model_rejected", "bodymass", "2") == 0


def test_corrected_digest_is_noticed(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    path = write_model(serving.folder, version=2, digest="0" * 64)
    serving.refresh(2)
    assert serving.versions() == [1]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("model.onnx.sha256").write_text(digest)
    serving.refresh(2)
    assert serving.versions() == [2]
    assert serving.live.problems() == {}


def test_live_version_stays_when_a_bad_file_overwrites_it(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.refresh()
    model = serving.live.find("bodymass")
    path.write_bytes(b"no model")
    serving.refresh(3)
    assert serving.live.find("bodymass") is model
    assert "version 1 was rejected" in serving.live.problems()["bodymass"][0]
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 1
    assert serving.sample("pigeonhole_model_rejected", "bodymass", "1") == 1


def test_older_version_does_not_return_when_a_bad_file_overwrites_the_newest(
    serving, write_model
) -> None:
    write_model(serving.folder)
    path = write_model(serving.folder, version=2)
    serving.refresh()
    path.write_bytes(b"no model")
    for _ in range(4):
        serving.refresh()
        assert serving.live.find("bodymass").version == 2


def test_live_version_is_replaced_when_a_good_file_overwrites_it(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    model = serving.live.find("bodymass")
    remove(serving.folder)
    write_model(serving.folder, bias=3)
    serving.refresh(2)
    assert serving.live.find("bodymass").digest != model.digest
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 1


def test_older_version_serves_again_when_the_newest_is_removed(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2)
    serving.refresh()
    remove(serving.folder, version=2)
    serving.refresh()
    assert serving.versions() == [1]
    assert serving.live.is_ready


def test_removed_version_stays_live_when_the_older_one_is_bad(serving, write_model) -> None:
    write_model(serving.folder, version=1, metadata=BAD)
    write_model(serving.folder, version=2)
    serving.refresh()
    remove(serving.folder, version=2)
    serving.refresh(2)
    assert serving.versions() == [2]
    assert serving.live.is_ready


def test_removed_model_is_retired(serving, write_model, log) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other")
    write_model(serving.folder, "other", 2, metadata=BAD)
    serving.refresh()
    remove(serving.folder, "other")
    serving.refresh()
    assert list(serving.live.states) == ["bodymass"]
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert serving.sample("pigeonhole_model_live", "other", "1") == 0
    assert serving.sample("pigeonhole_model_rejected", "other", "2") == 0
    assert log()[-1] == ("model retired", "other", 1)
    with pytest.raises(UnknownModel):
        serving.live.find("other")


def test_worker_on_an_empty_folder_is_not_ready_and_reports_why(serving) -> None:
    serving.refresh()
    assert not serving.live.is_ready
    assert serving.live.problems() == {"": [EMPTY.format(serving.folder)]}


def test_unreadable_folder_changes_nothing(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.refresh()
    aside = serving.folder.rename(serving.folder.with_name("aside"))
    serving.folder.write_text("no folder")
    serving.refresh(3)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    (problem,) = serving.live.problems()[""]
    assert "Not a directory" in problem
    assert [message for message, *_ in log()].count("model folder problem") == 1
    serving.folder.unlink()
    aside.rename(serving.folder)
    serving.refresh()
    assert serving.live.problems() == {}
    assert serving.loads == [("bodymass", 1)]


def test_folder_that_appears_late_is_loaded_at_once(serving, write_model) -> None:
    serving.folder.rmdir()
    serving.refresh(2)
    assert not serving.live.is_ready
    write_model(serving.folder)
    serving.refresh()
    assert serving.live.is_ready


def test_all_versions_pinned_by_serving_toml_are_live(serving, write_model) -> None:
    for version in (1, 2, 3):
        write_model(serving.folder, version=version)
    toml = serving.folder / "bodymass" / "serving.toml"
    toml.write_text("live = [1, 2]")
    serving.refresh()
    assert serving.versions() == [1, 2]
    assert serving.live.find("bodymass").version == 2
    assert serving.live.find("bodymass", "1").version == 1
    with pytest.raises(UnknownVersion) as caught:
        serving.live.find("bodymass", "3")
    assert caught.value.live == (1, 2)
    toml.write_text("live = [1]")
    serving.refresh()
    assert serving.versions() == [1]
    toml.unlink()
    serving.refresh()
    assert serving.versions() == [3]


def test_missing_pinned_version_is_reported_and_loaded_when_it_appears(
    serving, write_model
) -> None:
    write_model(serving.folder)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    serving.refresh()
    assert serving.versions() == [1]
    assert serving.live.problems() == {
        "bodymass": ["version 2 is listed to be live but does not exist"]
    }
    write_model(serving.folder, version=2)
    serving.refresh(2)
    assert serving.versions() == [1, 2]
    assert serving.live.problems() == {}


def test_old_version_stays_live_when_no_pinned_version_can_serve(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, version=2, metadata=BAD)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [2, 7]")
    serving.refresh(2)
    assert serving.versions() == [1]
    assert len(serving.live.problems()["bodymass"]) == 2


def test_bad_pinned_version_does_not_stop_the_other(serving, write_model) -> None:
    write_model(serving.folder, version=1)
    write_model(serving.folder, version=2, metadata=BAD)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 2]")
    serving.refresh()
    assert serving.versions() == [1]
    assert serving.live.is_ready


def test_invalid_serving_toml_changes_nothing(serving, write_model, log) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, version=2)
    toml = serving.folder / "bodymass" / "serving.toml"
    toml.write_text("live = 2")
    serving.refresh(3)
    assert serving.versions() == [1]
    assert serving.live.is_ready
    assert "serving.toml: live is 2" in serving.live.problems()["bodymass"][0]
    assert [message for message, *_ in log()].count("model folder problem") == 1
    toml.write_text("live = [2]")
    serving.refresh()
    assert serving.versions() == [2]


def test_bad_model_at_the_start_prevents_readiness(serving, write_model) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other", metadata=BAD)
    serving.refresh(2)
    assert not serving.live.is_ready
    assert serving.sample("pigeonhole_workers_ready") == 0
    assert list(serving.live.problems()) == ["other"]
    write_model(serving.folder, "other", 2)
    serving.refresh(2)
    assert serving.live.is_ready


def test_bad_model_published_later_does_not_change_readiness(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, "other", metadata=BAD)
    serving.refresh(2)
    assert serving.live.is_ready
    assert list(serving.live.problems()) == ["other"]
    with pytest.raises(ModelNotReady):
        serving.live.find("other")


def test_bad_model_does_not_stop_the_others_from_loading(serving, write_model) -> None:
    write_model(serving.folder, "a", metadata=BAD)
    write_model(serving.folder, "b")
    serving.refresh()
    assert serving.live.find("b").name == "b"


def test_unexpected_error_of_a_load_rejects_the_version_and_is_logged(
    tmp_path, write_model, log
) -> None:
    def load(path: Path, name: str, version: int):
        if version == 2:
            raise ZeroDivisionError("a surprise")
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    live, reconciler = models_in(SharedState(slots=1), 0, tmp_path, load)
    write_model(tmp_path)
    write_model(tmp_path, version=2)
    reconciler.refresh()
    assert live.find().version == 1
    assert live.problems() == {"bodymass": ["version 2 was rejected: internal error; see the log"]}
    assert ("model load failed", "bodymass", 2) in log()


def test_loading_model_is_known_but_not_ready(tmp_path, write_model) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path, name: str, version: int):
        loading.set()
        assert go_on.wait(10)
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    live, reconciler = models_in(SharedState(slots=1), 0, tmp_path, load)
    write_model(tmp_path)
    thread = threading.Thread(target=reconciler.refresh)
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


def test_old_version_answers_while_the_new_one_loads(tmp_path, write_model) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load(path: Path, name: str, version: int):
        if version == 2:
            loading.set()
            assert go_on.wait(10)
        return load_model(path, name=name, version=version, threads=1, max_bytes=2**20)

    live, reconciler = models_in(SharedState(slots=1), 0, tmp_path, load)
    write_model(tmp_path)
    reconciler.refresh()
    write_model(tmp_path, version=2)
    reconciler.refresh()
    thread = threading.Thread(target=reconciler.refresh)
    thread.start()
    try:
        assert loading.wait(10)
        assert live.find().version == 1
        assert live.is_ready
    finally:
        go_on.set()
        thread.join()
    assert live.find().version == 2


def test_folder_that_lost_all_its_models_keeps_them_live(serving, write_model) -> None:
    path = write_model(serving.folder)
    serving.refresh()
    path.parent.parent.rename(serving.folder.parent / "away")
    serving.refresh()
    assert serving.live.find("bodymass").version == 1
    assert "is empty" in serving.live.problems()[""][0]
    (serving.folder.parent / "away").rename(serving.folder / "bodymass")
    serving.refresh()
    assert serving.live.problems() == {}


def test_successor_expects_no_more_models_than_its_predecessor(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, "late", metadata=BAD)
    serving.refresh(2)
    assert serving.live.is_ready
    successor = type(serving)(serving.folder, shared=serving.shared)
    successor.refresh()
    assert successor.live.is_ready
    assert "late" in successor.live.problems()


def test_each_problem_of_the_folder_is_logged_once(serving, write_model, log) -> None:
    write_model(serving.folder)
    (serving.folder / "no name" / "1").mkdir(parents=True)
    (serving.folder / "bodymass" / "serving.toml").write_text("live = [1, 9]")
    serving.refresh(3)
    messages = [message for message, *_ in log()]
    assert messages.count("model folder problem") == 1
    assert messages.count("versions missing") == 1
    assert "'no name' is ignored" in serving.live.problems()[""][0]


def test_unloaded_model_is_unknown_until_it_is_loaded_again(serving, write_model, log) -> None:
    write_model(serving.folder)
    write_model(serving.folder, "other")
    serving.refresh()
    serving.reconciler.unload("bodymass")
    serving.refresh(2)
    with pytest.raises(UnknownModel, match="known models: other"):
        serving.live.find("bodymass")
    assert list(serving.live.states) == ["other"]
    assert serving.live.unloaded == {"bodymass": (1,)}
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 0
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    assert log()[-1] == ("model retired", "bodymass", 1)
    serving.reconciler.load("bodymass")
    assert serving.live.find("bodymass").version == 1
    assert serving.live.unloaded == {}
    assert serving.sample("pigeonhole_model_live", "bodymass", "1") == 1


def test_unloaded_default_model_does_not_change_readiness(serve, write_model) -> None:
    serving = serve("bodymass")
    write_model(serving.folder)
    serving.refresh()
    serving.reconciler.unload("bodymass")
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    write_model(serving.folder, "other")
    serving.refresh(2)
    assert serving.live.is_ready
    assert serving.live.problems() == {}
    with pytest.raises(UnknownModel):
        serving.live.find()


def test_model_without_a_folder_can_be_unloaded(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    shutil.rmtree(serving.folder)
    serving.refresh()
    assert serving.live.find("bodymass")
    serving.reconciler.unload("bodymass")
    with pytest.raises(UnknownModel):
        serving.live.find("bodymass")
    with pytest.raises(LoadFailed, match=r"model folder .* can't be read: No such file"):
        serving.reconciler.load("bodymass")


def test_load_command_does_not_wait_for_files_to_settle(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    write_model(serving.folder, version=2)
    serving.reconciler.load("bodymass")
    assert serving.versions() == [2]
    loads = list(serving.loads)
    serving.reconciler.load("bodymass")
    assert serving.loads == loads  # the same file is not loaded again
    write_model(serving.folder, "new")
    serving.reconciler.load("new")
    assert serving.versions("new") == [1]


def test_load_command_tries_a_rejected_file_again_and_reports_why(serving, write_model) -> None:
    write_model(serving.folder)
    write_model(serving.folder, version=2, metadata=BAD)
    serving.refresh(3)
    assert serving.loads == [("bodymass", 2), ("bodymass", 1)]
    for _ in range(2):
        with pytest.raises(LoadFailed) as caught:
            serving.reconciler.load("bodymass")
        assert str(caught.value) == (
            f"failed to load 'bodymass': version 2 was rejected: {BAD_REASON}"
        )
    assert serving.loads[2:] == [("bodymass", 2)] * 2
    assert serving.versions() == [1]


def test_unknown_model_can_be_neither_loaded_nor_unloaded(serving, write_model) -> None:
    write_model(serving.folder)
    serving.refresh()
    with pytest.raises(LoadFailed, match="failed to load 'dogs': no such model in the folder"):
        serving.reconciler.load("dogs")
    with pytest.raises(UnknownModel, match="known models: bodymass"):
        serving.reconciler.unload("dogs")


def test_later_worker_follows_earlier_commands(tmp_path, write_model) -> None:
    shared = SharedState(slots=2)
    write_model(tmp_path)
    write_model(tmp_path, "other")
    _, first = models_in(shared, 0, tmp_path)
    first.refresh()
    first.unload("other")
    live, second = models_in(shared, 1, tmp_path)
    assert second.is_behind()
    second.refresh()
    assert not second.is_behind()
    assert list(live.states) == ["bodymass"]
    assert live.is_ready


@contextmanager
def following(reconciler: Reconciler) -> Iterator[None]:
    """Let a worker follow commands meanwhile."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(0.005):
            if reconciler.is_behind():
                reconciler.refresh()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_command_holds_although_other_workers_are_behind(tmp_path, write_model) -> None:
    shared = SharedState(slots=2)
    write_model(tmp_path)
    workers = [models_in(shared, number, tmp_path, follow_s=0.5) for number in range(2)]
    (first_live, first), (second_live, second) = workers
    for reconciler in (first, second):
        reconciler.refresh()
    with pytest.raises(WorkersBehind, match="'bodymass'"):
        first.unload("bodymass")
    assert not first_live.states
    assert second_live.states
    second.refresh()
    assert not second_live.states
    with following(first):
        second.load("bodymass")
    assert [live.find("bodymass").version for live, _ in workers] == [1, 1]


def test_load_command_fails_when_one_worker_rejects_the_model(tmp_path, write_model) -> None:
    shared = SharedState(slots=2)
    write_model(tmp_path)

    def reject(path: Path, name: str, version: int):
        raise ModelRejected("no memory")

    _, first = models_in(shared, 0, tmp_path, follow_s=0.5)
    _, second = models_in(shared, 1, tmp_path, reject, follow_s=0.5)
    for reconciler in (first, second):
        reconciler.refresh()
    with following(second), pytest.raises(WorkersBehind):
        first.load("bodymass")


def test_folder_of_a_single_model_is_swapped_and_kept_like_any_other(tmp_path, write_model) -> None:
    shared = SharedState(slots=1)
    folder = tmp_path / "mount"
    folder.mkdir()
    slot, live = shared.worker(0), LiveModels("mine")
    repository = Repository(folder, "mine")
    reconciler = Reconciler(live, repository, load_file, slot, Metrics(slot))
    reconciler.refresh()
    assert not live.is_ready
    missing = {"mine": [repository.scan().models["mine"].problem]}
    assert live.problems() == missing
    digests = []
    for bias in (0.0, 1.0):
        written = write_model(tmp_path / str(bias), bias=bias)
        written.rename(folder / "model.onnx")
        reconciler.refresh()
        reconciler.refresh()
        assert live.is_ready
        assert live.problems() == {}
        digests.append(live.find().digest)
        assert (live.find().name, live.find().version) == ("mine", 1)
    assert len(set(digests)) == 2
    (folder / "model.onnx").unlink()
    reconciler.refresh()
    assert live.find("mine").digest == digests[-1]
    assert live.is_ready
    assert live.problems() == missing
