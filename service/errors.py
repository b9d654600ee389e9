"""What can go wrong, in the words of the domain. HTTP statuses stand in ``web.errors``.

The tree, each with when it is raised:

    PigeonholeError
      InvalidSetting       a setting that stops the start
      InvalidKeyFile       a key file that can't be used
      ModelRejected        a model file that the service will not serve, and why
      RequestError         the caller can mend it
        KeyRequired          no key, or one that is not known
        ScopeRequired        the key is not good for what was asked for
        UnreadableBody       the body is not what it says it is: text, JSON, CSV, an array, Arrow
        InvalidRequest       readable, but not of the form that was asked for
        InvalidRows          rows that don't fit the model's signature, with every problem found
        TooManyRows          more rows in one request than the service takes
        UnknownModel         no model of that name is in the model folder
        UnknownVersion       the model is known, that version of it is not live
        UnknownLabel         a version is named by a label, and there are no labels
        UnsupportedAction    a protocol asks of a model what no classifier does
        NoDefaultModel       the request names no model and there is not just one to mean
        LoadFailed           a model that was to be loaded now is not there, or is refused
      ModelNotReady        the model is known, but none of its versions could be loaded
      WorkersBehind        not every worker has loaded or unloaded a model in time
      Overloaded           more calls wait for the model than are taken in
      DeadlineExceeded     the caller's time was over before its turn came
      PredictionFailed     the runtime failed on rows that fit the signature: our fault
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class PigeonholeError(Exception):
    """Anything the service itself raises; the message is one sentence."""


class InvalidSetting(PigeonholeError):
    """A setting that can't be used: ``name``, the ``value`` given, what was ``expected``."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        self.name, self.value, self.expected = name, value, expected
        super().__init__(f"{name} is {value!r}, expected {expected}")


class InvalidKeyFile(PigeonholeError):
    """A key file that can't be used: its ``path``, and the ``reason``."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"key file {path}: {reason}")


class ModelRejected(PigeonholeError):
    """A model file that will not be served; ``reason`` is for the operator, never for callers."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RequestError(PigeonholeError):
    """A request that can't be answered as it stands; the caller can mend it."""


class KeyRequired(RequestError):
    """No key was sent, or one that is not known."""

    def __init__(self, *, is_sent: bool) -> None:
        told = "the key that was sent is not known" if is_sent else "no key was sent"
        super().__init__(
            f"{told}; send one as 'Authorization: Bearer TOKEN', or as a password (Basic)"
        )


class ScopeRequired(RequestError):
    """What was asked for needs a key with this ``scope``.

    Args:
        scope: the scope.
        told: why it is missing.
        key: name of the key that was sent, if any.
    """

    def __init__(self, scope: str, told: str, key: str = "") -> None:
        self.scope, self.told, self.key = scope, told, key
        super().__init__(f"this needs a key with the scope '{scope}'; {told}")


class UnreadableBody(RequestError):
    """A body that is not UTF-8, nested too deeply, or no JSON, CSV, array or Arrow as it says."""


class InvalidRequest(RequestError):
    """A readable body that is not of the form asked for; ``pointer`` says where (RFC 6901)."""

    def __init__(self, message: str, pointer: str = "") -> None:
        self.pointer = pointer
        super().__init__(message)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one value.

    Attributes:
        row: index of the row in the request, from 0.
        feature: the feature's name, or the unknown name that was sent; None for a whole row.
        pointer: where it stands in the JSON body (RFC 6901); None where the body is no JSON.
        expected: what the signature asks for, in words.
        got: what was sent, in words, shortened.
        did_you_mean: the known name that an unknown one resembles.
    """

    row: int
    feature: str | None
    pointer: str | None
    expected: str
    got: str
    did_you_mean: str | None = None


class InvalidRows(RequestError):
    """Rows that don't fit the signature.

    Args:
        problems: those found, in row order, at most as many as the cap.
        truncated: whether the cap was reached and there may be more.
    """

    def __init__(self, problems: Sequence[Problem], *, truncated: bool = False) -> None:
        self.problems, self.truncated = tuple(problems), truncated
        rows = len({problem.row for problem in problems})
        least = "at least " if truncated else ""
        super().__init__(
            f"{least}{_count(len(self.problems), 'problem')} in {least}{_count(rows, 'row')}"
        )


class TooManyRows(RequestError):
    """More rows than one request may hold: ``limit`` and how many were ``got``."""

    def __init__(self, limit: int, got: int) -> None:
        self.limit, self.got = limit, got
        super().__init__(
            f"{got} rows in one request, at most {limit} are taken; send them in parts"
        )


class UnknownModel(RequestError):
    """No such model; ``known`` are the names that there are."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"Request for unknown model: '{name}' is not found; there are: {_listed(known)}"
        )


class UnknownVersion(RequestError):
    """The model is known, but that version is not live; ``live`` are those that are."""

    def __init__(self, name: str, version: str, live: Sequence[int]) -> None:
        self.name, self.version, self.live = name, version, tuple(live)
        super().__init__(
            f"Request for unknown version: '{version}' of model '{name}' is not live; "
            f"live versions: {_listed([str(v) for v in live])}"
        )


class UnknownLabel(RequestError):
    """A version of model ``name`` is asked for by a ``label``; versions have numbers alone."""

    def __init__(self, name: str, label: str) -> None:
        self.name, self.label = name, label
        super().__init__(
            f"Request for unknown label: '{label}' of model '{name}' is assigned to no version; "
            "versions are named by their numbers here"
        )


class UnsupportedAction(RequestError):
    """Model ``name`` is asked to do what it can't: ``action`` is the protocol's word for it."""

    def __init__(self, name: str, action: str) -> None:
        self.name, self.action = name, action
        super().__init__(
            f"Model '{name}' is a classifier and does not {action}; use :predict or :classify"
        )


class NoDefaultModel(RequestError):
    """The request names no model, and it isn't clear which is meant; ``known`` are the names."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)
        which = (
            f"several are served, name one in the path or set a default: {_listed(known)}"
            if known
            else "no model is served"
        )
        super().__init__(f"The request names no model, and {which}")


class LoadFailed(RequestError):
    """A model that an operator wanted loaded now could not be; what was live is live as before."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"failed to load '{name}': {reason}")


class ModelNotReady(PigeonholeError):
    """The model is known but no version of it could be loaded (yet)."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Model '{name}' has no version that is ready")


class WorkersBehind(PigeonholeError):
    """Not every worker has done in time what was to be done with model ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"not every worker has done in time what was to be done with '{name}'; ask again to "
            "wait for the others"
        )


class Overloaded(PigeonholeError):
    """More waits, or is held, than is taken in; ``limit`` is how much may. Nothing was begun."""

    def __init__(self, limit: int, what: str = "calls wait for their turn") -> None:
        self.limit = limit
        super().__init__(f"{limit} {what} already; ask again in a moment")


class DeadlineExceeded(PigeonholeError):
    """The caller's time was over before its turn came; nothing was run for it."""

    def __init__(self) -> None:
        super().__init__("the time given for this request was over before its turn came")


class PredictionFailed(PigeonholeError):
    """The runtime failed on rows that fit the signature."""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
