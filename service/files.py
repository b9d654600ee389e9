"""Reading files that somebody else put there: never more than asked for, and never waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: whose ``strerror`` says why, for what can't be read, is no regular file (a pipe
            would be waited for), or is larger than ``max_bytes``.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if status.st_size > max_bytes:
            size = status.st_size
            raise OSError(errno.EFBIG, f"it has {size} bytes, at most {max_bytes} are taken")
        return file.read(max_bytes)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def digest_path(path: Path) -> Path:
    """Where the sha256 of a file stands, if anywhere: beside it."""
    return path.with_name(path.name + ".sha256")
