from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeonhole.service.files import digest_path, read_file


def test_file_of_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"


def test_file_over_the_limit_is_rejected_with_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    with pytest.raises(OSError, match="it has 6 bytes, the limit is 5"):
        read_file(tmp_path / "file", 5)


@pytest.mark.timeout(10)
def test_pipe_without_a_writer_is_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a regular file"):
        read_file(tmp_path / "pipe", 5)


def test_device_is_rejected() -> None:
    with pytest.raises(OSError, match="it is not a regular file"):
        read_file(Path(os.devnull), 5)


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 5)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "nothing", 5)


def test_rejected_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (tmp_path, tmp_path / "file", Path(os.devnull)):
        for _ in range(5):
            with pytest.raises(OSError, match=r"directory|bytes|regular"):
                read_file(path, 5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_digest_is_in_the_same_folder() -> None:
    assert digest_path(Path("m/1/model.onnx")) == Path("m/1/model.onnx.sha256")
