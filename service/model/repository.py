"""The model folder: which names and versions lie there, and which of them are meant to be live.

    <folder>/<name>/<version>/model.onnx
    <folder>/<name>/serving.toml            optional: ``live = [2, 3]``

Where one model alone is served the folder is that model's own, with versions or with a bare file, as
it comes from a store of models that has its own notion of versions:

    <folder>/<version>/model.onnx
    <folder>/model.onnx                     version 1; so is a lone file of another name
    <folder>/serving.toml                   optional

Only names and sizes are read here; what is in a file is ``artifact``'s business.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..files import digest_path, read_file

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A model's name: it stands in paths, metric labels and logs, so it is kept plain."""

VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""A version's folder: a positive whole number."""

FILE = "model.onnx"

BARE = 1
"""The version that a file has which lies in no version's folder."""

Stamp = tuple[int, ...]
"""What changes when a file or its digest does: device, inode, size, time of last change (ns)."""

SERVING_BYTES = 64 * 1024
"""Largest ``serving.toml`` that is read."""


@dataclass(frozen=True)
class ModelFolder:
    """What lies in one model's folder.

    Attributes:
        versions: each version's file with its stamp.
        live: the versions that ``serving.toml`` asks for; None where it leaves the choice open,
            and then the newest that can be loaded is live.
        problem: why ``serving.toml`` can't be followed, or what else is wrong.
    """

    versions: Mapping[int, tuple[Path, Stamp]]
    live: tuple[int, ...] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class FolderScan:
    """The whole model folder at one moment.

    Attributes:
        models: each model under its name.
        problem: why the folder could not be read; ``models`` says nothing then.
        ignored: folders passed over, with the reason.
    """

    models: Mapping[str, ModelFolder]
    problem: str | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)


class Repository:
    """Where each version of each model lies: the only one who knows how the folder is laid out.

    Args:
        folder: the model folder.
        only: the name of the one model whose folder it is; empty where it is many models'.

    Attributes:
        folder: the same.
        expected: what lies in such a folder, for people.
    """

    def __init__(self, folder: Path, only: str = "") -> None:
        self.folder, self._only = folder, only
        layout = f"{FILE} or <version>/{FILE}" if only else f"<name>/<version>/{FILE}"
        self.expected = f"{layout} in {folder}"

    def scan(self) -> FolderScan:
        """What lies there now. Never raises: what can't be read is said in the listing.

        The one model of a folder of its own is always listed, if need be with nothing but a problem.
        """
        return self._own_folder() if self._only else self._many()

    def _many(self) -> FolderScan:
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
                ignored[entry.name] = f"no model's name: {NAME.pattern} is asked for"
                continue
            model = _model_folder(entry)
            if model.versions or model.problem:
                models[entry.name] = model
            elif not any(entry.glob(".new-*")):  # a first version is being published
                ignored[entry.name] = f"holds no <version>/{FILE}"
        return FolderScan(models, ignored=ignored)

    def _own_folder(self) -> FolderScan:
        model = _model_folder(self.folder)
        ignored: dict[str, str] = {}
        if model.problem:
            model = replace(model, problem=f"{self.folder}: {model.problem}")
        elif stamp := _stamp(self.folder / FILE):
            ignored = {str(v): f"{FILE} stands beside it" for v in sorted(model.versions)}
            model = replace(model, versions={BARE: (self.folder / FILE, stamp)})
        elif not model.versions:
            model = self._bare(model)
        return FolderScan({self._only: model}, ignored=ignored)

    def _bare(self, model: ModelFolder) -> ModelFolder:
        """The model as a lone file of any name, or why there is none."""
        files = sorted(path for path in self.folder.glob("[!.]*.onnx") if _is_file(path))
        if len(files) > 1:
            names = ", ".join(f"'{path.name}'" for path in files)
            problem = f"{self.folder} holds {names}, and none is called {FILE}"
            return replace(model, problem=problem)
        if not files or not (stamp := _stamp(files[0])):
            return replace(model, problem=f"there is no {self.expected}")
        return replace(model, versions={BARE: (files[0], stamp)})


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
    """Whether there is a file; a link to where nobody may look is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _stamp(path: Path) -> Stamp | None:
    """None where there is no file."""
    stamp: Stamp = ()
    for file in (path, digest_path(path)):
        try:
            status = file.stat()
        except OSError:
            break
        stamp += (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return stamp or None


def _live_versions(path: Path) -> tuple[int, ...] | None:
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
    if (
        not isinstance(live, list)
        or not live
        or not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in live)
    ):
        raise ValueError(f"live is {live!r}, expected a list of versions such as [2, 3]")
    return tuple(sorted(set(live)))
