"""Publishes a model file as the next version of a model; readers never see half a version."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from ..errors import ExportError

FILE = "model.onnx"

REPORT = "report.html"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A valid model name, as in the contract."""

NAME_CHARACTERS = 100

VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""A valid name of a version's folder, as in the contract."""

TRIES = 100
"""How often `publish` takes the next version number after other runs took its number."""


def name_from_file(table: str) -> str:
    """Return a model name made from a table's file name; "" if no character of it is valid.

    The name is the stem in lower case. Accents are removed, and other invalid characters become a
    hyphen: ``Größe 2.csv.gz`` gives ``grosse-2``.
    """
    file = Path(table).name.lstrip(".").removesuffix(".gz")
    decomposed = unicodedata.normalize("NFKD", Path(file).stem.casefold())
    letters = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    valid = re.sub(r"[^a-z0-9._-]+", "-", letters)
    return valid.strip("._-")[:NAME_CHARACTERS].rstrip("._-")


def check_writable(folder: Path, name: str) -> None:
    """Check before a fit that `publish` can write later; nothing is created.

    Raises:
        ExportError: the model's folder, or its nearest existing parent, can't be written.
    """
    model = folder / name
    existing = next(path for path in (model, *model.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ExportError(f"{model} can't be written: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        raise ExportError(f"{model} can't be written: Permission denied in {existing}")


def publish(
    content: bytes, folder: Path, name: str, extra_files: Mapping[str, bytes] | None = None
) -> Path:
    """Write a model file as the next version of ``name`` and return its path.

    If the newest version holds the same bytes, its path is returned, and only missing extra files
    are written: the same run twice makes one version.

    The version is written to a temporary folder, flushed to disk and renamed, so that readers see
    all of it or nothing. The service and ``sha256sum -c`` read ``model.onnx.sha256`` beside it.

    Args:
        content: the bytes of the model file.
        folder: the model folder; created if it is missing.
        name: the model's name, see `NAME`.
        extra_files: files for people, such as the report, by name.

    Raises:
        ExportError: the folder can't be written.
    """
    model, extra_files = folder / name, extra_files or {}
    current = newest(model)
    if current and _holds(current / FILE, content):
        _write_missing(current, extra_files)
        return current / FILE
    try:
        model.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=model))
    except OSError as error:
        raise ExportError(f"{model} can't be written: {error.strerror}") from None
    try:
        digest = hashlib.sha256(content).hexdigest()
        _write(temporary / FILE, content)
        _write(temporary / f"{FILE}.sha256", f"{digest}  {FILE}\n".encode())
        for file, text in extra_files.items():
            _write(temporary / file, text)
        temporary.chmod(0o755)  # mkdtemp makes it private, but the service is another user
        _flush_folder(temporary)
        version = _rename(temporary, model)
    except OSError as error:
        raise ExportError(f"{model} can't be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _flush_folder(model)
    return version / FILE


def newest(model: Path) -> Path | None:
    """Return the folder of the newest version in a model's folder; None if there is none."""
    versions = (entry for entry in model.glob("*") if VERSION.fullmatch(entry.name))
    return max(versions, key=lambda entry: int(entry.name), default=None)


def _write_missing(version: Path, extra_files: Mapping[str, bytes]) -> None:
    """Write the files that a version lacks; readers never see half a file."""
    missing = {name: text for name, text in extra_files.items() if not (version / name).exists()}
    if not missing:
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=version) as temporary:
            for name, text in missing.items():
                _write(Path(temporary) / name, text)
                (Path(temporary) / name).rename(version / name)
    except OSError as error:
        raise ExportError(f"{version} can't be written: {error.strerror}") from None


def _rename(temporary: Path, model: Path) -> Path:
    """Rename the folder to the next free version and return the new path."""
    for _ in range(TRIES):
        current = newest(model)
        version = model / str(int(current.name) + 1 if current else 1)
        try:
            temporary.rename(version)
        except OSError:
            if not version.exists():
                raise
            continue  # another run published this number first
        return version
    raise ExportError(f"{model}: {TRIES} other runs took the next version first; try again")


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
