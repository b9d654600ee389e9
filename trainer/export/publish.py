"""Publishing: a model file becomes the next version of a model, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import ExportError

FILE = "model.onnx"

REPORT = "report.html"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a model may be called: the contract's rule."""

VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""What a version's folder is called: the contract's rule."""

TRIES = 100
"""Publishers that may get ahead of this one before it gives up."""


def check_writable(folder: Path, name: str) -> None:
    """See whether `publish` could write, before there is anything to lose; nothing is made.

    Raises:
        ExportError: when the folder, or the one that it would be made in, can't be written.
    """
    model = folder / name
    there = next(path for path in (model, *model.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ExportError(f"{model} can't be written: {there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        raise ExportError(f"{model} can't be written: Permission denied in {there}")


def publish(
    content: bytes, folder: Path, name: str, beside: Mapping[str, bytes] | None = None
) -> Path:
    """Write a model file as the next version of ``name`` and return its path.

    Where the newest version is this very file already, that one is returned, and only such files
    are written beside it as are missing: the same run twice makes one version.

    It is written aside, flushed to the disk and renamed, so a reader of the folder sees all of it
    or nothing. ``model.onnx.sha256`` beside it is for ``sha256sum -c`` and for the service.

    Args:
        content: the bytes of the file.
        folder: the model folder; made where it is missing.
        name: the model's name, as `NAME` has it.
        beside: other files of this version, by name; nobody but people reads them.

    Raises:
        ExportError: when the folder can't be written.
    """
    model, others = folder / name, beside or {}
    there = newest(model)
    if there and _holds(there / FILE, content):
        _complete(there, others)
        return there / FILE
    try:
        model.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=model))
    except OSError as error:
        raise ExportError(f"{model} can't be written: {error.strerror}") from None
    try:
        digest = hashlib.sha256(content).hexdigest()
        _write(aside / FILE, content)
        _write(aside / f"{FILE}.sha256", f"{digest}  {FILE}\n".encode())
        for other, text in others.items():
            _write(aside / other, text)
        aside.chmod(0o755)  # mkdtemp makes it private, but the service is somebody else
        _flush_folder(aside)
        version = _rename(aside, model)
    except OSError as error:
        raise ExportError(f"{model} can't be written: {error.strerror}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _flush_folder(model)
    return version / FILE


def newest(model: Path) -> Path | None:
    """The folder of the newest version in a model's folder; None where there is none."""
    versions = (entry for entry in model.glob("*") if VERSION.fullmatch(entry.name))
    return max(versions, key=lambda entry: int(entry.name), default=None)


def _complete(version: Path, others: Mapping[str, bytes]) -> None:
    """Write the files that a version lacks, each whole or not at all."""
    missing = {name: text for name, text in others.items() if not (version / name).exists()}
    if not missing:
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=version) as aside:
            for name, text in missing.items():
                _write(Path(aside) / name, text)
                (Path(aside) / name).rename(version / name)
    except OSError as error:
        raise ExportError(f"{version} can't be written: {error.strerror}") from None


def _rename(aside: Path, model: Path) -> Path:
    for _ in range(TRIES):
        there = newest(model)
        version = model / str(int(there.name) + 1 if there else 1)
        try:
            aside.rename(version)
        except OSError:
            if not version.exists():
                raise
            continue  # another run published this number first
        return version
    raise ExportError(f"{model}: {TRIES} other runs published first")


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
