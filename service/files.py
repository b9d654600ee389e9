"""Read files that other programs write: bounded in size, and never waiting for a writer."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: the file can't be read, is not a regular file, or is larger than ``max_bytes``.
            ``strerror`` gives the reason.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_size > max_bytes:
            size = status.st_size
            raise OSError(errno.EFBIG, f"it has {size} bytes, the limit is {max_bytes}")
        return file.read(max_bytes)


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe without a writer is opened too, where plain ``open`` would wait."""
    return os.open(path, flags | os.O_NONBLOCK)


def digest_path(path: Path) -> Path:
    """Return the path of the file's sha256 digest: ``<name>.sha256`` in the same folder."""
    return path.with_name(path.name + ".sha256")
