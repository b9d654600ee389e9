"""The metadata of a model file: format version, signature and golden rows.

The key ``pigeonhole`` holds the format version. A key that changes an answer raises the version;
keys for people do not, so unknown keys are ignored. The service reads every version that it ever
wrote and rejects newer ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import ModelRejected
from .signature import Signature

FORMAT_KEY = "pigeonhole"

FORMAT_VERSIONS = (1,)
"""The format versions that this service reads: every one that a trainer ever wrote."""


class GoldenRow(msgspec.Struct, frozen=True):
    """A row with the answer that the exported file gave to the trainer.

    Attributes:
        row: values by feature name, without the missing ones.
        label: the expected label.
        probabilities: the expected probability by class.
    """

    row: dict[str, Any]
    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Metadata:
    """The metadata that the service needs.

    Attributes:
        signature: features and classes.
        golden_rows: at least one.
    """

    signature: Signature
    golden_rows: tuple[GoldenRow, ...]


def read_metadata(entries: Mapping[str, str]) -> Metadata | None:
    """Return the metadata of a model file; None if the file has no format version.

    Args:
        entries: the file's ``metadata_props``.

    Raises:
        ModelRejected: the format is newer than this service, or an entry is missing or invalid.
    """
    if FORMAT_KEY not in entries:
        return None
    _check_format_version(entries[FORMAT_KEY])
    return Metadata(
        Signature.from_metadata(_entry(entries, "signature")),
        _golden_rows(_entry(entries, "golden")),
    )


def _check_format_version(text: str) -> None:
    try:
        version = msgspec.json.decode(text, type=int)
    except msgspec.MsgspecError:
        version = 0
    if version < 1:
        raise ModelRejected(
            f"metadata '{FORMAT_KEY}' is {text[:40]!r}, expected a format version such as "
            f"{max(FORMAT_VERSIONS)}"
        )
    if version not in FORMAT_VERSIONS:
        raise ModelRejected(
            f"the file has format {version}; this service reads format "
            f"{', '.join(map(str, FORMAT_VERSIONS))}: "
            "upgrade the service, or fit the model again"
        )


def _entry(entries: Mapping[str, str], key: str) -> str:
    try:
        return entries[key]
    except KeyError:
        raise ModelRejected(
            f"the file has metadata '{FORMAT_KEY}' but not '{key}', expected both"
        ) from None


def _golden_rows(text: str) -> tuple[GoldenRow, ...]:
    try:
        rows = msgspec.json.decode(text, type=list[GoldenRow])
    except msgspec.MsgspecError as error:
        raise ModelRejected(f"metadata 'golden': {error}") from None
    if not rows:
        raise ModelRejected("metadata 'golden' is an empty list, expected at least one row")
    return tuple(rows)
