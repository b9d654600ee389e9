from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pigeonhole.service.errors import ModelRejected


def test_valid_file_is_loaded_with_its_metadata(load, write_model, tmp_path: Path) -> None:
    path = write_model(tmp_path)
    model = load(path)
    assert (model.name, model.version, model.has_metadata) == ("m", 1, True)
    assert model.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [f.name for f in model.signature.features] == ["height_cm", "weight_kg"]
    assert [g.row["weight_kg"] for g in model.golden_rows] == [95, 40, 66]
    assert 0 < model.run_seconds < model.load_seconds


def test_expected_time_grows_with_the_rows(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    assert model.expected_seconds(0) == model.expected_seconds(1) == model.run_seconds
    assert model.expected_seconds(1) <= model.expected_seconds(100)
    slow = replace(model, run_seconds=1.0, row_seconds=0.25)
    assert slow.expected_seconds(5) == 2


def test_digest_file_is_optional(load, write_model, tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.with_name("model.onnx.sha256").unlink()
    assert load(path).has_metadata


def test_digest_file_may_hold_only_the_digest_in_capitals(
    load, write_model, tmp_path: Path
) -> None:
    path = write_model(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest().upper()
    path.with_name("model.onnx.sha256").write_text(digest)
    assert load(path).digest == digest.lower()


def test_file_over_the_size_limit_is_rejected(load, write_model, tmp_path: Path) -> None:
    path = write_model(tmp_path)
    size = path.stat().st_size
    assert load(path, max_bytes=size)
    with pytest.raises(ModelRejected, match=f"has {size} bytes, the limit is {size - 1}"):
        load(path, max_bytes=size - 1)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "onnxruntime can't open the file"),
        (lambda path: path.write_bytes(b"no model"), "onnxruntime can't open the file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "onnxruntime can't open the file"),
        (lambda path: path.write_bytes(os.urandom(4096)), "onnxruntime can't open the file"),
        (lambda path: path.unlink(), "model.onnx can't be read: No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "model.onnx can't be read: Is a dir"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "model.onnx .* it is not a regular file"),
        (
            lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
            "model.onnx .* it is not a regular file",
        ),
        (lambda path: (path.unlink(), path.symlink_to(path)), "can't be read: Too many levels"),
    ],
    ids=["empty", "text", "cut", "random", "absent", "folder", "pipe", "device", "loop"],
)
@pytest.mark.timeout(20)
def test_broken_model_file_is_rejected_in_one_line(
    load, write_model, tmp_path: Path, damage, reason
) -> None:
    path = write_model(tmp_path)
    path.with_name("model.onnx.sha256").unlink()
    damage(path)
    with pytest.raises(ModelRejected, match=reason) as caught:
        load(path)
    assert "\n" not in caught.value.reason


def test_file_without_read_permission_is_rejected(load, write_model, unprivileged: Path) -> None:
    path = write_model(unprivileged)
    load(path)
    path.chmod(0)
    with pytest.raises(ModelRejected, match=r"model.onnx can't be read: Permission denied"):
        load(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_text("0" * 64), "but model.onnx.sha256 says '0000"),
        (lambda path: path.write_text(""), "but model.onnx.sha256 says ''"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "but model.onnx.sha256 says"),
        (lambda path: path.write_bytes(b" " * 5000), "sha256 can't be read: it has 5000 bytes"),
        (lambda path: (path.unlink(), path.mkdir()), "sha256 can't be read: Is a dir"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "sha256 .* it is not a regular file"),
    ],
    ids=["wrong", "empty", "binary", "large", "folder", "pipe"],
)
@pytest.mark.timeout(20)
def test_file_with_a_wrong_or_broken_digest_file_is_rejected(
    load, write_model, tmp_path: Path, damage, reason
) -> None:
    path = write_model(tmp_path)
    damage(path.with_name("model.onnx.sha256"))
    with pytest.raises(ModelRejected, match=reason):
        load(path)


def test_golden_rows_hold_datetimes_as_text(load, write_dated_model, tmp_path: Path) -> None:
    model = load(write_dated_model(tmp_path))
    assert [g.row["seen"] for g in model.golden_rows] == ["2024-04-03", "2024-03-30"]


def test_loaded_model_does_not_need_its_file(load, write_model, tmp_path: Path) -> None:
    model = load(write_model(tmp_path))
    shutil.rmtree(tmp_path / "bodymass")
    columns = model.row_types.from_rows([model.row_types.object_row(f0=172.0, f1=95.0)], 1)
    assert model.session.run(columns).labels == ["overweight"]
