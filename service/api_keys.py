"""The key file: API keys and their scopes. Knows nothing of HTTP; see ``web.auth`` for that.

    [alice]
    sha256 = "..."                   # of the token, in hexadecimal digits
    scopes = ["predict", "read"]

Tokens are random and long, so a digest reveals nothing about its token. The service reads the file
again and again: a key that is removed from it stops working within a second or so.
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
"""What a key allows: predictions; metadata, health and documentation; metrics; loading and unloading
models."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Names of keys appear in logs, and in TOML without quotes."""

DIGEST = re.compile(r"[0-9a-fA-F]{64}")

TOKEN_PREFIX = "pigeonhole_"  # noqa: S105 - lets secret scanners recognize a leaked token
TOKEN_BYTES = 32

MAX_TOKEN_LENGTH = 1024
"""Longer tokens are rejected unread."""

MAX_FILE_BYTES = 2**20

MAX_KEYS = 1000
"""Each token is compared with every key."""

REFRESH_S = 0.5
"""Seconds between two readings of the file."""


@dataclass(frozen=True)
class Key:
    """One entry of the file.

    Attributes:
        name: the key's name, for logs.
        digest: sha256 of the token, 32 bytes.
        scopes: what the key allows.
    """

    name: str
    digest: bytes
    scopes: frozenset[str]


class Keyring:
    """The keys of one state of the file.

    Args:
        keys: the keys; no two have the same digest.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)

    def find(self, token: str) -> Key | None:
        """Return the key of a token, or None; in equal time for every key, and for none."""
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            return None
        digest = _digest(token)
        found = None
        for key in self.keys:
            if compare_digest(key.digest, digest):
                found = key
        return found


class KeyFile:
    """The last valid state of a key file that may change.

    Args:
        path: the file.

    Attributes:
        ring: the keys; replaced as a whole.

    Raises:
        InvalidKeyFile: the file is not valid at the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = _read(path)
        self.ring = parse_keys(path, self._content)
        self._logged_error = ""

    def refresh(self) -> None:
        """Read the file again. If it is not valid, keep the keys and log why, once."""
        try:
            content = _read(self.path)
            if content != self._content:
                self.ring, self._content = parse_keys(self.path, content), content
                log.info("keys read", extra={"keys": [key.name for key in self.ring.keys]})
        except InvalidKeyFile as error:
            if self._logged_error != str(error):
                self._logged_error = str(error)
                log.error("%s; the previous keys stay valid", error)  # noqa: TRY400 - no traceback
        else:
            self._logged_error = ""


def open_keys(path: str) -> KeyFile | None:
    """Return the key file at a path; None for an empty path.

    Raises:
        InvalidKeyFile: the file is not valid.
    """
    return KeyFile(Path(path)) if path else None


def parse_keys(path: Path, content: bytes) -> Keyring:
    """Return the keys in a file's content.

    Errors never repeat a value that stands in the place of a digest: it may be a token.

    Args:
        path: the file, for errors.
        content: its bytes.

    Raises:
        InvalidKeyFile: names the first invalid entry.
    """
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidKeyFile(path, "not UTF-8") from None
    except RecursionError:
        raise InvalidKeyFile(path, "nested too deeply") from None
    except ValueError as error:
        raise InvalidKeyFile(path, f"not TOML: {error}") from None
    if len(table) > MAX_KEYS:
        raise InvalidKeyFile(path, f"{len(table)} keys, expected at most {MAX_KEYS}")
    keys: dict[bytes, Key] = {}
    for name, entry in table.items():
        try:
            key = _parse_key(name, entry)
        except ValueError as error:
            raise InvalidKeyFile(path, f"[{name[:64]}]: {error}") from None
        if key.digest in keys:
            other = keys[key.digest].name
            raise InvalidKeyFile(path, f"[{name}]: sha256 is the same as in [{other}]")
        keys[key.digest] = key
    return Keyring(list(keys.values()))


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Return a new token and its entry for a key file.

    Raises:
        ValueError: the name or a scope is not valid; the text says why.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    digest = _digest(token).hex()
    _parse_key(name, {"sha256": digest, "scopes": list(scopes)})
    listed = ", ".join(f'"{scope}"' for scope in scopes)
    return token, f'[{name}]\nsha256 = "{digest}"\nscopes = [{listed}]\n'


def append_key(path: Path, name: str, entry: str) -> None:
    """Append an entry to a key file, or make the file; the rest of the file stays as it is.

    A reader finds either the old file or the new one.

    Raises:
        InvalidKeyFile: the file is not valid, can't be written, or has the name already.
    """
    path = path.resolve()  # replace the target of a link, not the link
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise InvalidKeyFile(path, f"its folder can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # two commands at once must not lose a key
        old = _read(path) if path.exists() else b""
        if name in {key.name for key in parse_keys(path, old).keys}:
            raise InvalidKeyFile(path, f"[{name}] exists already; choose another name")
        if old:
            old = old.rstrip(b"\n") + b"\n\n"
        new = old + entry.encode()
        parse_keys(path, new)
        _replace(path, new)
        os.fsync(folder)
    except OSError as error:
        raise InvalidKeyFile(path, f"can't be written: {error.strerror}") from None
    finally:
        os.close(folder)


def _replace(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # The service may run as another user, so it must stay able to read the file.
            os.fchmod(descriptor, path.stat().st_mode & 0o777 if path.exists() else 0o644)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise InvalidKeyFile(path, f"can't be read: {error.strerror}") from None


def _parse_key(name: str, entry: Any) -> Key:
    """Return one checked entry.

    Raises:
        ValueError: the entry is not valid; the text says why.
    """
    if not NAME.fullmatch(name):
        raise ValueError("invalid name, expected 1 to 64 letters, digits, _ or -")
    if not isinstance(entry, dict):
        raise ValueError("expected a table with sha256 and scopes")  # noqa: TRY004 - one error type
    if unknown := sorted(set(entry) - {"sha256", "scopes"}):
        raise ValueError(f"unknown field {unknown[0][:64]!r}, expected sha256 and scopes")
    digest, scopes = entry.get("sha256"), entry.get("scopes")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise ValueError("sha256 is missing or invalid, expected 64 hexadecimal digits")
    if not isinstance(scopes, list) or not scopes:
        raise ValueError(f"scopes is missing or empty, expected some of {', '.join(SCOPES)}")
    for scope in scopes:
        if scope not in SCOPES:
            text = repr(scope)[:64]
            raise ValueError(f"unknown scope {text}, expected some of {', '.join(SCOPES)}")
    return Key(name, bytes.fromhex(digest), frozenset(scopes))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
