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


def listed(folder: Path, only: str = "") -> FolderScan:
    return Repository(folder, only).scan()


def only(folder: Path) -> ModelFolder:
    (model,) = listed(folder).models.values()
    return model


def test_names_and_versions_are_read_from_the_folders(tmp_path: Path) -> None:
    paths = [publish(tmp_path, *where) for where in (("a", "1"), ("a", "12"), ("B-2.x_y", "7"))]
    listing = listed(tmp_path)
    assert {
        (name, version): path
        for name, model in listing.models.items()
        for version, (path, _) in model.versions.items()
    } == {("a", 1): paths[0], ("a", 12): paths[1], ("B-2.x_y", 7): paths[2]}
    assert listing.problem is None
    assert not listing.ignored
    assert all(m.live is None and m.problem is None for m in listing.models.values())


@pytest.mark.parametrize(
    "version", ["0", "01", "-1", "1.0", "v1", "latest", "", "\uff11", "1" * 19]
)
def test_what_is_no_positive_whole_number_is_no_version(tmp_path: Path, version) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "a", version or "x")
    assert set(only(tmp_path).versions) == {1}


@pytest.mark.parametrize("name", ["-a", "_a", "a b", "ä", "a" * 101, "a\n"])
def test_a_folder_that_can_be_no_model_is_passed_over_with_the_reason(tmp_path: Path, name) -> None:
    publish(tmp_path, name, "1")
    publish(tmp_path, "a" * 100, "1")
    listing = listed(tmp_path)
    assert list(listing.models) == ["a" * 100]
    assert "no model's name" in listing.ignored[name]


def test_a_folder_without_a_version_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty" / "1").mkdir(parents=True)
    listing = listed(tmp_path)
    assert not listing.models
    assert listing.ignored == {"empty": "holds no <version>/model.onnx"}


def test_a_model_whose_first_version_is_being_published_is_passed_over_without_a_word(
    tmp_path: Path,
) -> None:
    publish(tmp_path, "a", ".new-1")
    assert listed(tmp_path) == FolderScan({})


def test_dot_folders_and_files_are_passed_over_without_a_word(tmp_path: Path) -> None:
    publish(tmp_path, ".cache", "1")
    publish(tmp_path, "a", "1")
    publish(tmp_path, "a", ".new-2")
    (tmp_path / "README.md").write_text("about the models")
    listing = listed(tmp_path)
    assert list(listing.models) == ["a"]
    assert set(only(tmp_path).versions) == {1}
    assert not listing.ignored


def test_versions_and_models_may_be_links(tmp_path: Path) -> None:
    aside = publish(tmp_path / "aside", "a", "1")
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "5").symlink_to(aside.parent)
    (folder / "b").symlink_to(aside.parent.parent)
    (folder / "c").symlink_to(tmp_path / "nothing")
    models = listed(folder).models
    assert {name: set(model.versions) for name, model in models.items()} == {"a": {5}, "b": {1}}


def test_the_stamp_changes_with_the_file_and_with_its_digest(tmp_path: Path) -> None:
    path = publish(tmp_path, "a", "1")
    stamps = [only(tmp_path).versions[1][1]]
    assert only(tmp_path).versions[1][1] == stamps[0]
    path.write_text("onnx, longer")
    stamps.append(only(tmp_path).versions[1][1])
    os.utime(path, ns=(0, 0))
    stamps.append(only(tmp_path).versions[1][1])
    shutil.copy2(path, tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    stamps.append(only(tmp_path).versions[1][1])
    beside = path.with_name("model.onnx.sha256")
    beside.write_text("0")
    stamps.append(only(tmp_path).versions[1][1])
    os.utime(beside, ns=(0, 0))
    stamps.append(only(tmp_path).versions[1][1])
    assert len(set(stamps)) == 6


def test_a_missing_folder_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    listing = listed(tmp_path / "nothing")
    assert not listing.models
    assert "nothing can't be read: No such file" in (listing.problem or "")


def test_a_file_in_the_place_of_the_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    assert "Not a directory" in (listed(tmp_path / "models").problem or "")


def test_a_model_that_cannot_be_read_is_that_models_problem_alone(unprivileged: Path) -> None:
    publish(unprivileged, "a", "1")
    publish(unprivileged, "b", "1")
    (unprivileged / "a").chmod(0)
    listing = listed(unprivileged)
    assert listing.models["a"].problem == "can't be read: Permission denied"
    assert set(listing.models["b"].versions) == {1}


def test_other_files_beside_the_model_are_nobodys_business(tmp_path: Path) -> None:
    publish(tmp_path, "a", "1")
    before = only(tmp_path)
    (tmp_path / "a" / "1" / "report.html").write_text("<!doctype html>")
    assert only(tmp_path) == before
    publish(tmp_path, "b", "1")
    (tmp_path / "b" / "2").mkdir()
    (tmp_path / "b" / "2" / "report.html").write_text("<!doctype html>")
    listing = listed(tmp_path)
    assert set(listing.models["b"].versions) == {1}
    assert listing.ignored == {}


@pytest.mark.parametrize(
    ("text", "live"),
    [
        ("live = [2, 3]", (2, 3)),
        ("live = [3, 2, 3]", (2, 3)),
        ("live = [9]  # not there yet", (9,)),
        ("", None),
        ("# all comments", None),
    ],
)
def test_serving_toml_says_which_versions_are_to_be_live(tmp_path: Path, text, live) -> None:
    publish(tmp_path, "a", "1")
    (tmp_path / "a" / "serving.toml").write_text(text)
    model = only(tmp_path)
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
def test_a_serving_toml_that_cannot_be_followed_is_the_models_problem(
    tmp_path: Path, text, problem
) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "b", "1")
    (tmp_path / "a" / "serving.toml").write_bytes(text)
    models = listed(tmp_path).models
    assert models["a"].problem is not None
    assert models["a"].problem.startswith("serving.toml: ")
    assert problem in models["a"].problem
    assert set(models["a"].versions) == {1}
    assert models["b"].problem is None


@pytest.mark.timeout(10)
def test_a_serving_toml_that_is_no_file_is_a_problem_and_is_not_waited_for(tmp_path: Path) -> None:
    publish(tmp_path, "a", "1")
    publish(tmp_path, "b", "1")
    os.mkfifo(tmp_path / "a" / "serving.toml")
    (tmp_path / "b" / "serving.toml").mkdir()
    models = listed(tmp_path).models
    assert models["a"].problem == "serving.toml: can't be read: it is not a regular file"
    assert models["b"].problem == "serving.toml: can't be read: Is a directory"


# A folder of one model alone


def own(folder: Path) -> tuple[dict[int, str], str | None]:
    """The versions of the one model whose folder it is, each with its file, and the problem."""
    (model,) = (listing := listed(folder, "mine")).models.values()
    assert set(listing.models) == {"mine"}
    assert listing.problem is None
    files = {v: str(path.relative_to(folder)) for v, (path, _) in model.versions.items()}
    return files, model.problem


@pytest.mark.parametrize("name", ["model.onnx", "resnet-50.onnx", "a b.onnx"])
def test_a_bare_file_is_version_1_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("onnx")
    (tmp_path / "README.md").write_text("about the model")
    (tmp_path / ".hidden.onnx").write_text("onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert own(tmp_path) == ({1: name}, None)


def test_a_link_that_leads_where_nobody_may_look_is_no_file(unprivileged: Path) -> None:
    secret, own_folder = unprivileged / "secret", unprivileged / "own"
    for folder in (secret, own_folder):
        folder.mkdir()
    (secret / "my.onnx").write_text("onnx")
    (own_folder / "my.onnx").symlink_to(secret / "my.onnx")
    assert own(own_folder) == ({1: "my.onnx"}, None)
    secret.chmod(0)
    said = f"there is no model.onnx or <version>/model.onnx in {own_folder}"
    assert own(own_folder) == ({}, said)


def test_the_file_of_that_name_goes_before_others(tmp_path: Path) -> None:
    for name in ("a.onnx", "model.onnx", "z.onnx"):
        (tmp_path / name).write_text("onnx")
    assert own(tmp_path) == ({1: "model.onnx"}, None)


def test_versions_in_folders_are_versions(tmp_path: Path) -> None:
    for version in ("1", "12", "x"):
        publish(tmp_path, ".", version)
    (tmp_path / "old.onnx").write_text("onnx")
    assert own(tmp_path) == ({1: "1/model.onnx", 12: "12/model.onnx"}, None)


def test_a_bare_file_goes_before_versions_and_they_are_said_to_be_passed_over(
    tmp_path: Path,
) -> None:
    publish(tmp_path, ".", "7")
    (tmp_path / "model.onnx").write_text("onnx")
    assert own(tmp_path) == ({1: "model.onnx"}, None)
    assert listed(tmp_path, "mine").ignored == {"7": "model.onnx stands beside it"}


def test_of_several_files_none_is_guessed_at(tmp_path: Path) -> None:
    for name in ("b.onnx", "a.onnx"):
        (tmp_path / name).write_text("onnx")
    versions, problem = own(tmp_path)
    assert versions == {}
    assert problem == f"{tmp_path} holds 'a.onnx', 'b.onnx', and none is called model.onnx"


def test_a_folder_without_a_file_is_the_models_problem_and_named(tmp_path: Path) -> None:
    said = f"there is no model.onnx or <version>/model.onnx in {tmp_path}"
    assert own(tmp_path) == ({}, said)
    gone = tmp_path / "gone"
    assert own(gone) == ({}, f"{gone}: can't be read: No such file or directory")


def test_serving_toml_counts_in_a_folder_of_one_model_too(tmp_path: Path) -> None:
    for version in ("1", "2"):
        publish(tmp_path, ".", version)
    (tmp_path / "serving.toml").write_text("live = [1]")
    assert listed(tmp_path, "mine").models["mine"].live == (1,)
    (tmp_path / "serving.toml").write_text("live = 1")
    assert (own(tmp_path)[1] or "").startswith(f"{tmp_path}: serving.toml: live is 1, expected")


def test_the_stamp_of_a_bare_file_changes_with_its_digest(tmp_path: Path) -> None:
    (tmp_path / "my.onnx").write_text("onnx")
    before = listed(tmp_path, "mine")
    assert listed(tmp_path, "mine") == before
    (tmp_path / "my.onnx.sha256").write_text("0")
    assert listed(tmp_path, "mine") != before
