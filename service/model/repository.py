"""The model folder: the models and versions on disk, and which versions should be live.

    <folder>/<name>/<version>/model.onnx
    <folder>/<name>/serving.toml            optional: ``live = [2, 3]``

A folder may also hold a single model, with versions or as one file. Model stores with versions of
their own deliver a model so:

    <folder>/<version>/model.onnx
    <folder>/model.onnx                     version 1; or the only ``.onnx`` file of any name
    <folder>/serving.toml                   optional

This module reads names and sizes. `artifact` reads the files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..files import digest_path, read_file

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Valid model names. They appear in paths, metric labels and logs."""

VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""Valid names of a version's folder: positive integers."""

FILE = "model.onnx"

BARE_FILE_VERSION = 1
"""The version of a model file outside a version's folder."""

Stamp = tuple[int, ...]
"""Device, inode, size and modification time (ns) of a model file and of its digest file. A change
of either file changes the stamp."""

SERVING_BYTES = 64 * 1024
"""Size limit of ``serving.toml``."""


@dataclass(frozen=True)
class ModelFolder:
    """The versions of one model on disk.

    Attributes:
        versions: each version's file and stamp.
        live: the versions in ``serving.toml``. None if it does not name any: then the newest
            version that loads is live.
        problem: why the folder or ``serving.toml`` can't be read, if so.
    """

    versions: Mapping[int, tuple[Path, Stamp]]
    live: tuple[int, ...] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class FolderScan:
    """The contents of the model folder at one moment.

    Attributes:
        models: the models by name.
        problem: why the folder can't be read, if so; ``models`` is then empty.
        ignored: the reason for each ignored subfolder, by name.
    """

    models: Mapping[str, ModelFolder]
    problem: str | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)


class Repository:
    """The model folder. Only this class knows its layout.

    Args:
        folder: the model folder.
        only: the name of the folder's single model; empty for a folder of many models.

    Attributes:
        folder: the model folder.
        expected: the expected layout, in words.
    """

    def __init__(self, folder: Path, only: str = "") -> None:
        self.folder, self._only = folder, only
        layout = f"{FILE} or <version>/{FILE}" if only else f"<name>/<version>/{FILE}"
        self.expected = f"{layout} in {folder}"

    def scan(self) -> FolderScan:
        """Return the current contents of the folder. Problems are part of the result.

        The scan of a single model's folder always holds that model, if only with a problem.
        """
        return self._scan_single() if self._only else self._scan_many()

    def _scan_many(self) -> FolderScan:
        models: dict[str, ModelFolder] = {}
        ignored: dict[str, str] = {}
        try:
            entries = sorted(entry for entry in self.folder.iterdir() if entry.is_dir())
        except OSError as error:
            problem = f"model folder {self.folder} can't be read: {error.strerror}"
            return FolderScan({}, problem=problem)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not NAME.fullmatch(entry.name):
                ignored[entry.name] = f"not a valid model name, expected {NAME.pattern}"
                continue
            model = _model_folder(entry)
            if model.versions or model.problem:
                models[entry.name] = model
            elif not any(entry.glob(".new-*")):  # the trainer is publishing the first version
                ignored[entry.name] = f"no <version>/{FILE} in it"
        return FolderScan(models, ignored=ignored)

    def _scan_single(self) -> FolderScan:
        model = _model_folder(self.folder)
        ignored: dict[str, str] = {}
        if model.problem:
            model = replace(model, problem=f"{self.folder}: {model.problem}")
        elif stamp := _stamp(self.folder / FILE):
            ignored = {str(v): f"{FILE} beside it takes precedence" for v in sorted(model.versions)}
            model = replace(model, versions={BARE_FILE_VERSION: (self.folder / FILE, stamp)})
        elif not model.versions:
            model = self._find_bare_file(model)
        return FolderScan({self._only: model}, ignored=ignored)

    def _find_bare_file(self, model: ModelFolder) -> ModelFolder:
        """Return the model with the only ``.onnx`` file as its version, or with a problem."""
        files = sorted(path for path in self.folder.glob("[!.]*.onnx") if _is_file(path))
        if len(files) > 1:
            names = ", ".join(f"'{path.name}'" for path in files)
            problem = f"{self.folder} holds {names}: rename one of them to {FILE}"
            return replace(model, problem=problem)
        if not files or not (stamp := _stamp(files[0])):
            return replace(model, problem=f"no model found, expected {self.expected}")
        return replace(model, versions={BARE_FILE_VERSION: (files[0], stamp)})


def _model_folder(folder: Path) -> ModelFolder:
    versions: dict[int, tuple[Path, Stamp]] = {}
    try:
        for entry in folder.iterdir():
            if VERSION.fullmatch(entry.name) and (stamp := _stamp(entry / FILE)):
                versions[int(entry.name)] = (entry / FILE, stamp)
    except OSError as error:
        return ModelFolder(versions, problem=f"can't be read: {error.strerror}")
    try:
        live = _live_versions(folder / "serving.toml")
    except ValueError as error:
        return ModelFolder(versions, problem=f"serving.toml: {error}")
    return ModelFolder(versions, live)


def _is_file(path: Path) -> bool:
    """Return whether a path is a file; False for a link to a folder without permission."""
    try:
        return path.is_file()
    except OSError:
        return False


def _stamp(path: Path) -> Stamp | None:
    """Return the stamp of a model file; None if there is no file."""
    stamp: Stamp = ()
    for file in (path, digest_path(path)):
        try:
            status = file.stat()
        except OSError:
            break
        stamp += (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return stamp or None


def _live_versions(path: Path) -> tuple[int, ...] | None:
    """Return the versions that a ``serving.toml`` lists; None if it lists none.

    Raises:
        ValueError: the file can't be read or is invalid.
    """
    try:
        settings = tomllib.loads(read_file(path, SERVING_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None
    if unknown := set(settings) - {"live"}:
        raise ValueError(f"unknown key {min(unknown)!r}, expected 'live'")
    live = settings.get("live")
    if live is None:
        return None
    if not (isinstance(live, list) and live and all(map(_is_version, live))):
        raise ValueError(f"live is {live!r}, expected a list of versions such as [2, 3]")
    return tuple(sorted(set(live)))


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
