from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pigeonhole.service.model.repository import SERVING_BYTES, FolderScan, ModelFolder, Repository


def publish(folder: Path, name: str, version: str, content: str = "onnx") -> Path:
    path = folder / name / version / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return path


def scan(folder: Path, only: str = "") -> FolderScan:
    return Repository(folder, only).scan()


def only_model(folder: Path) -> ModelFolder:
    (model,) = scan(folder).models.values()
    return model


def test_scan_finds_names_and_versions(tmp_path: Path) -> None:
    paths = [publish(tmp_path, *where) for where in (("a", "1"), ("a", "12"), ("B-2.x_y", "7"))]
    found = scan(tmp_path)
    assert {
        (name, version): path
        for name, model in found.models.items()
        for version, (path, _) in model.versions.items()
    } == {("a", 1): paths[0], ("a", 12): paths[1], ("B-2.x_y", 7): paths[2]}
    assert found.problem is None
    assert not found.ignored
    assert all(m.live is None and m.problem is None for m in found.models.values())


@pytest.mark.parametrize(
    "version", ["0", "01", "-1", "1.0", "v1", "latest", "", "\uff11", "1" * 19]
)
def test_version_folder_is_a_positive_integer(tmp_path: Path, version) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "a", version or "x")
    assert set(only_model(tmp_path).versions) == {1}


@pytest.mark.parametrize("name", ["-a", "_a", "a b", "ä", "a" * 101, "a\n"])
def test_folder_with_an_invalid_name_is_ignored_with_the_reason(tmp_path: Path, name) -> None:
    publish(tmp_path, name, "1")
    publish(tmp_path, "a" * 100, "1")
    found = scan(tmp_path)
    assert list(found.models) == ["a" * 100]
    assert "not a valid model name, expected [A-Za-z0-9]" in found.ignored[name]


def test_folder_without_a_version_is_ignored_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty" / "1").mkdir(parents=True)
    found = scan(tmp_path)
    assert not found.models
    assert found.ignored == {"empty": "no <version>/model.onnx in it"}


def test_model_with_an_unfinished_first_version_is_skipped_silently(
    tmp_path: Path,
) -> None:
    publish(tmp_path, "a", ".new-1")
    assert scan(tmp_path) == FolderScan({})


def test_dot_folders_and_files_are_skipped_silently(tmp_path: Path) -> None:
    publish(tmp_path, ".cache", "1")
    publish(tmp_path, "a", "1")
    publish(tmp_path, "a", ".new-2")
    (tmp_path / "README.md").write_text("about the models")
    found = scan(tmp_path)
    assert list(found.models) == ["a"]
    assert set(only_model(tmp_path).versions) == {1}
    assert not found.ignored


def test_models_and_versions_may_be_symbolic_links(tmp_path: Path) -> None:
    aside = publish(tmp_path / "aside", "a", "1")
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "5").symlink_to(aside.parent)
    (folder / "b").symlink_to(aside.parent.parent)
    (folder / "c").symlink_to(tmp_path / "nothing")
    models = scan(folder).models
    assert {name: set(model.versions) for name, model in models.items()} == {"a": {5}, "b": {1}}


def test_stamp_changes_with_the_file_and_with_its_digest(tmp_path: Path) -> None:
    path = publish(tmp_path, "a", "1")
    stamps = [only_model(tmp_path).versions[1][1]]
    assert only_model(tmp_path).versions[1][1] == stamps[0]
    path.write_text("onnx, longer")
    stamps.append(only_model(tmp_path).versions[1][1])
    os.utime(path, ns=(0, 0))
    stamps.append(only_model(tmp_path).versions[1][1])
    shutil.copy2(path, tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    stamps.append(only_model(tmp_path).versions[1][1])
    beside = path.with_name("model.onnx.sha256")
    beside.write_text("0")
    stamps.append(only_model(tmp_path).versions[1][1])
    os.utime(beside, ns=(0, 0))
    stamps.append(only_model(tmp_path).versions[1][1])
    assert len(set(stamps)) == 6


def test_missing_folder_is_reported_as_a_problem(tmp_path: Path) -> None:
    found = scan(tmp_path / "nothing")
    assert not found.models
    assert "nothing can't be read: No such file" in (found.problem or "")


def test_file_in_place_of_the_folder_is_reported_as_a_problem(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    assert "Not a directory" in (scan(tmp_path / "models").problem or "")


def test_unreadable_model_does_not_affect_other_models(unprivileged: Path) -> None:
    publish(unprivileged, "a", "1")
    publish(unprivileged, "b", "1")
    (unprivileged / "a").chmod(0)
    found = scan(unprivileged)
    assert found.models["a"].problem == "can't be read: Permission denied"
    assert set(found.models["b"].versions) == {1}


def test_other_files_in_a_version_are_ignored(tmp_path: Path) -> None:
    publish(tmp_path, "a", "1")
    before = only_model(tmp_path)
    (tmp_path / "a" / "1" / "report.html").write_text("<!doctype html>")
    assert only_model(tmp_path) == before
    publish(tmp_path, "b", "1")
    (tmp_path / "b" / "2").mkdir()
    (tmp_path / "b" / "2" / "report.html").write_text("<!doctype html>")
    found = scan(tmp_path)
    assert set(found.models["b"].versions) == {1}
    assert found.ignored == {}


@pytest.mark.parametrize(
    ("text", "live"),
    [
        ("live = [2, 3]", (2, 3)),
        ("live = [3, 2, 3]", (2, 3)),
        ("live = [9]  # not published yet", (9,)),
        ("", None),
        ("# all comments", None),
    ],
)
def test_serving_toml_selects_the_live_versions(tmp_path: Path, text, live) -> None:
    publish(tmp_path, "a", "1")
    (tmp_path / "a" / "serving.toml").write_text(text)
    model = only_model(tmp_path)
    assert (model.live, model.problem) == (live, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"live = 2", "live is 2, expected a list of versions such as [2, 3]"),
        (b"live = []", "live is [], expected a list"),
        (b"live = [0]", "live is [0], expected a list"),
        (b"live = [true]", "live is [True], expected a list"),
        (b"live = ['2']", "live is ['2'], expected a list"),
        (b"live = [2.0]", "live is [2.0], expected a list"),
        (b"alive = [2]", "unknown key 'alive', expected 'live'"),
        (b"live = [2", "serving.toml: "),
        (b"\xff", "serving.toml: 'utf-8' codec can't decode"),
        (b"live = " + b"[" * 5000, "serving.toml: nested too deeply"),
        (b"#" * (SERVING_BYTES + 1), f"the limit is {SERVING_BYTES}"),
    ],
)
def test_invalid_serving_toml_is_reported_as_the_models_problem(
    tmp_path: Path, text, problem
) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "b", "1")
    (tmp_path / "a" / "serving.toml").write_bytes(text)
    models = scan(tmp_path).models
    assert models["a"].problem is not None
    assert models["a"].problem.startswith("serving.toml: ")
    assert problem in models["a"].problem
    assert set(models["a"].versions) == {1}
    assert models["b"].problem is None


@pytest.mark.timeout(10)
def test_serving_toml_that_is_not_a_file_is_reported_at_once(tmp_path: Path) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "b", "1")
    os.mkfifo(tmp_path / "a" / "serving.toml")
    (tmp_path / "b" / "serving.toml").mkdir()
    models = scan(tmp_path).models
    assert models["a"].problem == "serving.toml: can't be read: it is not a regular file"
    assert models["b"].problem == "serving.toml: can't be read: Is a directory"


# Folders of a single model


def scan_single(folder: Path) -> tuple[dict[int, str], str | None]:
    """Return a single model's file by version, and its problem."""
    (model,) = (found := scan(folder, "mine")).models.values()
    assert set(found.models) == {"mine"}
    assert found.problem is None
    files = {v: str(path.relative_to(folder)) for v, (path, _) in model.versions.items()}
    return files, model.problem


@pytest.mark.parametrize("name", ["model.onnx", "resnet-50.onnx", "a b.onnx"])
def test_bare_file_of_any_name_is_version_1(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("onnx")
    (tmp_path / "README.md").write_text("about the model")
    (tmp_path / ".hidden.onnx").write_text("onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert scan_single(tmp_path) == ({1: name}, None)


def test_link_into_a_folder_without_permission_is_not_a_file(unprivileged: Path) -> None:
    secret, single = unprivileged / "secret", unprivileged / "scan_single"
    for folder in (secret, single):
        folder.mkdir()
    (secret / "my.onnx").write_text("onnx")
    (single / "my.onnx").symlink_to(secret / "my.onnx")
    assert scan_single(single) == ({1: "my.onnx"}, None)
    secret.chmod(0)
    problem = f"no model found, expected model.onnx or <version>/model.onnx in {single}"
    assert scan_single(single) == ({}, problem)


def test_model_onnx_takes_precedence_over_other_files(tmp_path: Path) -> None:
    for name in ("a.onnx", "model.onnx", "z.onnx"):
        (tmp_path / name).write_text("onnx")
    assert scan_single(tmp_path) == ({1: "model.onnx"}, None)


def test_single_models_folder_may_hold_versions(tmp_path: Path) -> None:
    for version in ("1", "12", "x"):
        publish(tmp_path, ".", version)
    (tmp_path / "old.onnx").write_text("onnx")
    assert scan_single(tmp_path) == ({1: "1/model.onnx", 12: "12/model.onnx"}, None)


def test_bare_file_takes_precedence_over_versions_which_are_reported(
    tmp_path: Path,
) -> None:
    publish(tmp_path, ".", "7")
    (tmp_path / "model.onnx").write_text("onnx")
    assert scan_single(tmp_path) == ({1: "model.onnx"}, None)
    assert scan(tmp_path, "mine").ignored == {"7": "model.onnx beside it takes precedence"}


def test_several_bare_files_are_reported_as_a_problem(tmp_path: Path) -> None:
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).write_text("onnx")
    versions, problem = scan_single(tmp_path)
    assert versions == {}
    assert problem == f"{tmp_path} holds 'a.onnx', 'b.onnx': rename one of them to model.onnx"


def test_single_models_folder_without_a_model_is_reported(tmp_path: Path) -> None:
    problem = f"no model found, expected model.onnx or <version>/model.onnx in {tmp_path}"
    assert scan_single(tmp_path) == ({}, problem)
    gone = tmp_path / "gone"
    assert scan_single(gone) == ({}, f"{gone}: can't be read: No such file or directory")


def test_serving_toml_applies_to_a_single_models_folder(tmp_path: Path) -> None:
    for version in ("1", "2"):
        publish(tmp_path, ".", version)
    (tmp_path / "serving.toml").write_text("live = [1]")
    assert scan(tmp_path, "mine").models["mine"].live == (1,)
    (tmp_path / "serving.toml").write_text("live = 1")
    assert (scan_single(tmp_path)[1] or "").startswith(
        f"{tmp_path}: serving.toml: live is 1, expected"
    )


def test_stamp_of_a_bare_file_changes_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "my.onnx").write_text("onnx")
    before = scan(tmp_path, "mine")
    assert scan(tmp_path, "mine") == before
    (tmp_path / "my.onnx.sha256").write_text("0")
    assert scan(tmp_path, "mine") != before
