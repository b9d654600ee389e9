"""The model folder: which names and versions lie there, and which of them are meant to be live.

    <folder>/<name>/<version>/model.onnx
    <folder>/<name>/serving.toml            optional: ``live = [2, 3]``

Only names and sizes are read here; what is in a file is ``artifact``'s business.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.model.files import digest_path, read_file

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A model's name: it stands in paths, metric labels and logs, so it is kept plain."""

VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""A version's folder: a positive whole number."""

FILE = "model.onnx"

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
        problem: why ``serving.toml`` can't be followed.
    """

    versions: Mapping[int, tuple[Path, Stamp]]
    live: tuple[int, ...] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Listing:
    """The whole model folder at one moment.

    Attributes:
        models: each model under its name.
        problem: why the folder could not be read; ``models`` says nothing then.
        ignored: folders passed over, with the reason.
    """

    models: Mapping[str, ModelFolder]
    problem: str | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)


def list_models(folder: Path) -> Listing:
    """Look at the model folder. Never raises: what can't be read is said in the listing."""
    models: dict[str, ModelFolder] = {}
    ignored: dict[str, str] = {}
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        return Listing({}, problem=f"model folder {folder} can't be read: {error.strerror}")
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
    return Listing(models, ignored=ignored)


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
