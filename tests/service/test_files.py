from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeonhole.service.files import digest_path, read_file


def test_a_file_of_just_the_allowed_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"


def test_a_larger_file_is_refused_and_both_sizes_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    with pytest.raises(OSError, match="it has 6 bytes, at most 5 are taken"):
        read_file(tmp_path / "file", 5)


@pytest.mark.timeout(10)
def test_a_pipe_that_nobody_writes_to_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        read_file(tmp_path / "pipe", 5)


def test_a_device_a_folder_and_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is no regular file"):
        read_file(Path(os.devnull), 5)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 5)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing", 5)


def test_a_refused_file_does_not_stay_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (tmp_path, tmp_path / "file", Path(os.devnull)):
        for _ in range(5):
            with pytest.raises(OSError, match=r"directory|bytes|regular"):
                read_file(path, 5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_digest_of_a_file_stands_beside_it() -> None:
    assert digest_path(Path("m/1/model.onnx")) == Path("m/1/model.onnx.sha256")
