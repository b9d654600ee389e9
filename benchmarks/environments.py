"""Virtual environments, one for each peer, made from its pinned requirements."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import BUILD, PEERS
from benchmarks.processes import run

INSTALL_LIMIT_S = 1800


@dataclass(frozen=True)
class Environment:
    """The interpreter of one peer.

    Attributes:
        requirements: a file with one pinned package a line, those that the peer needs included.
        folder: where environments are kept, each under its peer's name.
    """

    requirements: Path
    folder: Path = BUILD

    @classmethod
    def of(cls, peer: str) -> Environment:
        """The environment of a peer that has its requirements in ``benchmarks/peers``."""
        return cls(PEERS / f"{peer}.txt")

    @property
    def digest(self) -> str:
        """What tells these requirements from others."""
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()[:12]

    def python(self) -> Path:
        """Its interpreter; made first where it is missing or its requirements have changed.

        Raises:
            CommandFailed: a package can't be installed.
        """
        place = self.folder / self.requirements.stem
        interpreter, stamp = place / "bin" / "python", place / "requirements"
        if not stamp.is_file() or stamp.read_text("utf-8") != self.digest:
            shutil.rmtree(place, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(place)], INSTALL_LIMIT_S)
            # Every package is pinned, so nothing is to be resolved, and no other build of one
            # that is already there can be pulled in.
            install = ("-m", "pip", "install", "--quiet", "--no-deps", "--requirement")
            run([interpreter, *install, self.requirements], INSTALL_LIMIT_S)
            stamp.write_text(self.digest, "utf-8")
        return interpreter

    def version(self, package: str) -> str:
        """The pinned version of a package; "-" where it isn't one of them."""
        text = self.requirements.read_text("utf-8")
        found = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
        return found.group(1) if found else "-"

    def installed_bytes(self) -> int:
        """Bytes of all files in it, compiled modules and pip itself included."""
        place = self.python().parent.parent
        files = (Path(folder) / name for folder, _, names in os.walk(place) for name in names)
        return sum(file.lstat().st_size for file in files)
