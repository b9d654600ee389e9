"""Virtual environments of the peers, made from pinned requirements."""

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

INSTALL_TIMEOUT_S = 1800


@dataclass(frozen=True)
class Environment:
    """The virtual environment of one peer.

    Attributes:
        requirements: file of pinned packages, one a line, dependencies included.
        folder: parent folder of the environments.
    """

    requirements: Path
    folder: Path = BUILD

    @classmethod
    def of(cls, peer: str) -> Environment:
        """Return the environment of a peer with requirements in ``benchmarks/peers``."""
        return cls(PEERS / f"{peer}.txt")

    @property
    def digest(self) -> str:
        """Return a digest of the requirements."""
        return hashlib.sha256(self.requirements.read_bytes()).hexdigest()[:12]

    def python(self) -> Path:
        """Return the interpreter; create the environment if it is missing or outdated.

        Raises:
            CommandFailed: a package can't be installed.
        """
        root = self.folder / self.requirements.stem
        interpreter, stamp = root / "bin" / "python", root / "requirements"
        if not stamp.is_file() or stamp.read_text("utf-8") != self.digest:
            shutil.rmtree(root, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(root)], INSTALL_TIMEOUT_S)
            # All dependencies are pinned. Without --no-deps, pip could replace one of them.
            install = ("-m", "pip", "install", "--quiet", "--no-deps", "--requirement")
            run([interpreter, *install, self.requirements], INSTALL_TIMEOUT_S)
            stamp.write_text(self.digest, "utf-8")
        return interpreter

    def version(self, package: str) -> str:
        """Return the pinned version of a package, or "-" if it is not pinned."""
        text = self.requirements.read_text("utf-8")
        pin = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
        return pin.group(1) if pin else "-"

    def installed_bytes(self) -> int:
        """Return the bytes of all files in the environment, including pip and compiled modules."""
        root = self.python().parent.parent
        files = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        return sum(file.lstat().st_size for file in files)
