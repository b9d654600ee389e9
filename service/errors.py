"""The errors of the service, in its own terms. ``web/errors.py`` maps them to HTTP statuses.

PigeonholeError
├── InvalidSetting         a setting is invalid, which stops the start
├── InvalidKeyFile         a key file can't be read or written, or has an invalid entry
├── ModelRejected          a model file failed a check at load time
├── RequestError           the client can correct the request:
│   ├── KeyRequired          it has no key, or an unknown one
│   ├── ScopeRequired        its key lacks the scope
│   ├── UnreadableBody       the body is not valid text, JSON, CSV, npy or Arrow
│   ├── InvalidRequest       the body is readable but has the wrong structure
│   ├── InvalidRows          rows don't fit the model's signature
│   ├── TooManyRows          it has more rows than the limit
│   ├── UnknownModel         the model folder has no model of that name
│   ├── UnknownVersion       that version of the model is not live
│   ├── UnknownLabel         it asks for a version by a label, and versions have only numbers
│   ├── UnsupportedAction    it asks a classifier for another task, such as regression
│   ├── NoDefaultModel       it does not name a model, and there is no default
│   └── LoadFailed           the model that it asks to load is missing or was rejected
├── ModelNotReady          no version of the model is loaded yet
├── WorkersBehind          some workers have not followed a command in time
├── Overloaded             the queue is full
├── DeadlineExceeded       the deadline passed before the call ran
└── PredictionFailed       the runtime failed on rows that fit the signature
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PigeonholeError(Exception):
    """Base class of the service's errors. The message is a sentence."""


class InvalidSetting(PigeonholeError):
    """A setting is invalid, which stops the start.

    Attributes:
        name: the variable or option that sets it.
        value: the invalid value.
        expected: valid values, in words.
    """

    def __init__(self, name: str, value: str, expected: str) -> None:
        self.name, self.value, self.expected = name, value, expected
        super().__init__(f"{name} is {value!r}, expected {expected}")


class InvalidKeyFile(PigeonholeError):
    """A key file can't be read or written, or has an invalid entry.

    Attributes:
        path: the key file.
        reason: the problem.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"key file {path}: {reason}")


class ModelRejected(PigeonholeError):
    """A model file failed a check at load time.

    Attributes:
        reason: the failed check. It is for the operator: clients never see it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RequestError(PigeonholeError):
    """Base class of errors that the client can correct."""


class KeyRequired(RequestError):
    """The request has no key, or an unknown one."""

    def __init__(self, *, is_sent: bool) -> None:
        problem = "the key of the request is unknown" if is_sent else "the request has no key"
        super().__init__(
            f"{problem}; send one as 'Authorization: Bearer TOKEN', or as a password (Basic)"
        )


class ScopeRequired(RequestError):
    """The request's key lacks a scope.

    Attributes:
        scope: the missing scope.
        reason: why the request lacks it.
        key: the name of the request's key; empty without one.
    """

    def __init__(self, scope: str, reason: str, key: str = "") -> None:
        self.scope, self.reason, self.key = scope, reason, key
        super().__init__(f"this request needs a key with the scope '{scope}'; {reason}")


class UnreadableBody(RequestError):
    """The body is not valid UTF-8, JSON, CSV, npy or Arrow, or it is nested too deeply."""


class InvalidRequest(RequestError):
    """The body is readable but has the wrong structure.

    Attributes:
        pointer: JSON pointer (RFC 6901) to the problem; empty for the whole body.
    """

    def __init__(self, message: str, pointer: str = "") -> None:
        self.pointer = pointer
        super().__init__(message)


@dataclass(frozen=True)
class Problem:
    """A problem of one value or one row.

    Attributes:
        row: index of the row in the request, from 0.
        feature: name of the feature, or the unknown name in the request; None for a whole row.
        pointer: JSON pointer (RFC 6901) to the value; None if the body is not JSON.
        expected: valid values, in words.
        got: the value in the request, in words and truncated.
        did_you_mean: the known name that resembles an unknown one.
    """

    row: int
    feature: str | None
    pointer: str | None
    expected: str
    got: str
    did_you_mean: str | None = None


class InvalidRows(RequestError):
    """Rows don't fit the model's signature.

    Attributes:
        problems: the problems in row order, up to a limit.
        truncated: whether there may be more problems.
    """

    def __init__(self, problems: Sequence[Problem], *, truncated: bool = False) -> None:
        self.problems, self.truncated = tuple(problems), truncated
        rows = len({problem.row for problem in problems})
        prefix = "at least " if truncated else ""
        super().__init__(
            f"{prefix}{_count(len(self.problems), 'problem')} in {prefix}{_count(rows, 'row')}"
        )


class TooManyRows(RequestError):
    """The request has more rows than the limit.

    Attributes:
        limit: rows allowed in one request.
        got: rows in the request.
    """

    def __init__(self, limit: int, got: int) -> None:
        self.limit, self.got = limit, got
        super().__init__(
            f"the request has {got} rows, the limit is {limit}; split it into smaller requests"
        )


class UnknownModel(RequestError):
    """The model folder has no model of that name.

    Attributes:
        name: the name in the request.
        known: the names of all models.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"Request for unknown model: '{name}' is not found; known models: {_join(known)}"
        )


class UnknownVersion(RequestError):
    """That version of the model is not live.

    Attributes:
        name: the model.
        version: the version in the request.
        live: the versions that are live.
    """

    def __init__(self, name: str, version: str, live: Sequence[int]) -> None:
        self.name, self.version, self.live = name, version, tuple(live)
        super().__init__(
            f"Request for unknown version: '{version}' of model '{name}' is not live; "
            f"live versions: {_join([str(number) for number in live])}"
        )


class UnknownLabel(RequestError):
    """The request asks for a version by a label, and versions have only numbers.

    Attributes:
        name: the model.
        label: the label in the request.
    """

    def __init__(self, name: str, label: str) -> None:
        self.name, self.label = name, label
        super().__init__(
            f"Request for unknown label: '{label}' of model '{name}' is not assigned to a version; "
            "ask for a version by its number"
        )


class UnsupportedAction(RequestError):
    """The request asks a classifier for another task.

    Attributes:
        name: the model.
        action: the protocol's word for the task, such as ``regress``.
    """

    def __init__(self, name: str, action: str) -> None:
        self.name, self.action = name, action
        super().__init__(
            f"Model '{name}' is a classifier and can't {action}; use :predict or :classify"
        )


class NoDefaultModel(RequestError):
    """The request does not name a model, and there is no default.

    Attributes:
        known: the names of all models.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)
        super().__init__(
            "The request does not name a model; "
            + (
                f"name one in the path, or set a default model: {_join(known)}"
                if known
                else "the service has no models"
            )
        )


class LoadFailed(RequestError):
    """The model that the request asks to load is missing or was rejected.

    Live versions stay live.

    Attributes:
        name: the model.
        reason: the problem.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"failed to load '{name}': {reason}")


class ModelNotReady(PigeonholeError):
    """No version of the model is loaded yet.

    Attributes:
        name: the model.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"Model '{name}' is not ready, because no version of it is loaded; try again later"
        )


class WorkersBehind(PigeonholeError):
    """Some workers have not followed a command in time.

    Attributes:
        name: the model that the command loads or unloads.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"some workers have not loaded or unloaded '{name}' in time; send the request again "
            "to wait for them"
        )


class Overloaded(PigeonholeError):
    """The queue is full, or the call waited in it too long. Nothing was run.

    Args:
        limit: the limit that was reached.
        load: what reached it, with a verb.

    Attributes:
        limit: the same.
    """

    def __init__(self, limit: int, load: str = "calls are queued") -> None:
        self.limit = limit
        super().__init__(f"{limit} {load} already; nothing was run, try again later")


class DeadlineExceeded(PigeonholeError):
    """The deadline passed before the call ran. Nothing was run."""

    def __init__(self) -> None:
        super().__init__("the deadline passed before the request could run")


class PredictionFailed(PigeonholeError):
    """The runtime failed on rows that fit the signature."""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
