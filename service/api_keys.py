"""The key file: whose token opens what. No HTTP in here; see ``web.guard`` for that.

    [alice]
    sha256 = "..."                   # of the token, in hexadecimal digits
    scopes = ["predict", "read"]

Tokens are random and long, so their digests may be seen by anybody: what they are made of can't be
guessed. The file is read again and again while the service runs, so a key that is taken out of it
stops working within a second or so.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any

from .errors import InvalidKeyFile
from .files import read_file

log = logging.getLogger(__name__)

PREDICT, READ, METRICS, ADMIN = SCOPES = ("predict", "read", "metrics", "admin")
"""What a key can be good for: predictions; what there is and how it is; metrics; loading and
unloading of models."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of keys stand in logs, and in TOML without quotes."""

DIGEST = re.compile(r"[0-9a-fA-F]{64}")

TOKEN_PREFIX = "pigeonhole_"  # noqa: S105 - what tokens begin with, so that a scanner knows a leaked one
TOKEN_BYTES = 32

LONGEST_TOKEN = 1024
"""Longer ones are not looked at."""

MAX_FILE_BYTES = 2**20

MAX_KEYS = 1000
"""A token that is not known is compared with each of them."""

READ_AGAIN_S = 0.5
"""Seconds between two looks at the file."""


@dataclass(frozen=True)
class Key:
    """One entry of the file.

    Attributes:
        name: for logs.
        digest: sha256 of the token, 32 bytes.
        scopes: what it is good for.
    """

    name: str
    digest: bytes
    scopes: frozenset[str]


class Keyring:
    """The keys of one state of the file.

    Args:
        keys: each with a digest of its own.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)

    def find(self, token: str) -> Key | None:
        """The key that a token belongs to; it takes equally long whichever it is, or none."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        digest = _digest(token)
        found = None
        for key in self.keys:
            if compare_digest(key.digest, digest):
                found = key
        return found


class KeyFile:
    """A key file that is followed: its newest good state.

    Args:
        path: of the file.

    Attributes:
        ring: the keys; replaced as a whole.

    Raises:
        InvalidKeyFile: when there is no good state to begin with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _content(path)
        self.ring = read_keys(path, self._content)
        self._complaint = ""

    def refresh(self) -> None:
        """Take over what has changed; of a file that can't be used, the keys before it stay."""
        try:
            content = _content(self.path)
            if content != self._content:
                self.ring, self._content = read_keys(self.path, content), content
                log.info("keys read", extra={"keys": [key.name for key in self.ring.keys]})
        except InvalidKeyFile as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                log.error("%s; the keys before it stay", error)  # noqa: TRY400 - it says it all
        else:
            self._complaint = ""


def open_keys(path: str) -> KeyFile | None:
    """The key file at a path; None where the path is empty.

    Raises:
        InvalidKeyFile: when it can't be used.
    """
    return KeyFile(Path(path)) if path else None


def read_keys(path: Path, content: bytes) -> Keyring:
    """The keys in a file's content.

    Nothing that stands in the place of a digest is repeated: it may be a token.

    Raises:
        InvalidKeyFile: naming the first place that is wrong.
    """
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidKeyFile(path, "it is not UTF-8") from None
    except RecursionError:
        raise InvalidKeyFile(path, "it is nested too deeply") from None
    except ValueError as error:
        raise InvalidKeyFile(path, f"it is not TOML: {error}") from None
    if len(table) > MAX_KEYS:
        raise InvalidKeyFile(path, f"it has {len(table)} keys, at most {MAX_KEYS} are taken")
    keys: dict[bytes, Key] = {}
    for name, entry in table.items():
        try:
            key = _key(name, entry)
        except ValueError as error:
            raise InvalidKeyFile(path, f"[{name[:64]}]: {error}") from None
        if key.digest in keys:
            same = keys[key.digest].name
            raise InvalidKeyFile(path, f"[{name}]: sha256 is the same as that of [{same}]")
        keys[key.digest] = key
    return Keyring(list(keys.values()))


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """A new token, and its entry for a key file.

    Raises:
        ValueError: for a name or scopes that can't be used, in words.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    digest = _digest(token).hex()
    _key(name, {"sha256": digest, "scopes": list(scopes)})
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    return token, f'[{name}]\nsha256 = "{digest}"\nscopes = [{listed}]\n'


def append_key(path: Path, name: str, entry: str) -> None:
    """Write an entry behind what stands in a key file, as it stands; make the file if need be.

    Whoever reads the file meanwhile finds the old one or the new one.

    Raises:
        InvalidKeyFile: for a file that can't be used, can't be written, or has the name already.
    """
    path = path.resolve()  # a link stays one
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidKeyFile(path, f"its folder can't be used: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # of two at a time, neither may lose the other's key
        old = _content(path) if path.exists() else b""
        if name in {key.name for key in read_keys(path, old).keys}:
            raise InvalidKeyFile(path, f"[{name}] is there already")
        if old:
            old = old.rstrip(b"\n") + b"\n\n"
        new = old + entry.encode()
        read_keys(path, new)
        _replace(path, new)
        os.fsync(folder)
    except OSError as error:
        raise InvalidKeyFile(path, f"it can't be written: {error.strerror}") from None
    finally:
        os.close(folder)


def _replace(path: Path, content: bytes) -> None:
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # The service may run as somebody else.
            os.fchmod(descriptor, path.stat().st_mode & 0o777 if path.exists() else 0o644)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(aside).replace(path)
    except OSError:
        with suppress(OSError):
            Path(aside).unlink()
        raise


def _content(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise InvalidKeyFile(path, f"it can't be read: {error.strerror}") from None


def _key(name: str, entry: Any) -> Key:
    """One entry, checked.

    Raises:
        ValueError: in words, for whatever is wrong with it.
    """
    if not NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits, _ or -")
    if not isinstance(entry, dict):
        raise ValueError("expected a table with sha256 and scopes")  # noqa: TRY004 - one kind
    if unknown := sorted(set(entry) - {"sha256", "scopes"}):
        raise ValueError(f"{unknown[0][:64]!r} is not known, expected sha256 and scopes")
    digest, scopes = entry.get("sha256"), entry.get("scopes")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ValueError("sha256 is missing or no digest: expected 64 hexadecimal digits")
    if not isinstance(scopes, list) or not scopes:
        raise ValueError(f"scopes is missing or empty, expected some of {', '.join(SCOPES)}")
    for scope in scopes:
        if scope not in SCOPES:
            shown = repr(scope)[:64]
            raise ValueError(f"{shown} is no scope, expected some of {', '.join(SCOPES)}")
    return Key(name, bytes.fromhex(digest), frozenset(scopes))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
