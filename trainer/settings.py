"""Every setting of a training run in one table: name with unit, default, limits, one line of help.

A setting comes from its flag, else from the settings file, else from the preset, else it has its
default.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .data.schema import Kind
from .errors import SettingError
from .evaluation.threshold import check_metric
from .export.publish import NAME
from .fitting.early_stopping import CRITERIA
from .network.activations import ACTIVATIONS
from .network.optimizers import OPTIMIZERS
from .network.schedules import SCHEDULES
from .presets import PRESETS


def _setting(default: Any, help_text: str, **facts: Any) -> Any:
    """A field with its help; ``minimum``, ``maximum``, ``above`` and ``choices`` are its limits."""
    return field(default=default, metadata={"help": help_text, **facts})


def _preset(name: str, help_text: str, **facts: Any) -> Any:
    """A field that the preset has a value for; without one, that of the first preset."""
    first = next(iter(PRESETS.values()))
    return _setting(first[name], help_text, **facts)


@dataclass(frozen=True)
class Settings:
    """The settings of one run; see each one's help in ``pigeonhole fit --help``."""

    table: str = _setting("", "Table to learn from: CSV (may be gzipped) or Parquet.")
    target: str = _setting("", "Column that holds the class.")
    name: str = _setting("", "Name of the model.")
    models: str = _setting("models", "Model folder to publish into.")
    drop: tuple[str, ...] = _setting((), "Column to leave out; may be repeated.")
    validation: str = _setting("", "Table to stop by; a part of TABLE where none is given.")
    test: str = _setting("", "Table to score on; a part of TABLE where none is given.")
    validation_share: float = _setting(
        0.2, "Share of the rows not tested on to stop by.", above=0, maximum=0.5
    )
    test_share: float = _setting(0.2, "Share of TABLE to score on.", above=0, maximum=0.5)
    preset: str = _setting(
        "default", "Set of values for the settings that follow.", choices=tuple(PRESETS)
    )
    hidden: tuple[int, ...] = _preset(
        "hidden", "Units of each hidden layer; empty for none.", minimum=1, maximum=8192
    )
    activation: str = _preset(
        "activation", "Activation of the hidden layers.", choices=tuple(ACTIVATIONS)
    )
    periodic_embedding: bool = _preset(
        "periodic_embedding", "Give the network learned waves of each number beside the number."
    )
    input_scaling: bool = _preset("input_scaling", "Learn a factor for each input.")
    neural_tangent: bool = _preset(
        "neural_tangent", "Scale first weights and steps by each layer's width."
    )
    embedding_width: int = _preset(
        "embedding_width",
        "Numbers that stand for a category in a column of many.",
        minimum=1,
        maximum=256,
    )
    dropout: float = _preset(
        "dropout", "Share of hidden units left out in each step.", minimum=0, maximum=0.9
    )
    batch_normalization: bool = _preset(
        "batch_normalization", "Normalize each hidden layer over the batch."
    )
    optimizer: str = _preset("optimizer", "Optimizer.", choices=tuple(OPTIMIZERS))
    learning_rate: float = _preset(
        "learning_rate", "Learning rate; the schedule multiplies it.", above=0, maximum=100
    )
    schedule: str = _preset(
        "schedule", "How the learning rate goes on from there.", choices=tuple(SCHEDULES)
    )
    beta_2: float = _preset(
        "beta_2",
        "What a step of adam or adamw keeps of the mean square of gradients.",
        minimum=0,
        maximum=0.99999,
    )
    weight_decay: float = _preset(
        "weight_decay", "Weight decay; for the optimizer adamw.", minimum=0, maximum=10
    )
    regularization: str = _preset(
        "regularization", "How dropout and weight decay go on.", choices=tuple(SCHEDULES)
    )
    label_smoothing: float = _preset(
        "label_smoothing", "Share of each label spread over all classes.", minimum=0, maximum=0.5
    )
    epochs: int = _preset(
        "epochs",
        "Passes over the training rows at most; 0 for a number that suits the table.",
        minimum=0,
    )
    patience: int = _preset(
        "patience",
        "Epochs without a better validation figure before stopping; 0 for three fifths of those done, "
        "from the middle on.",
        minimum=0,
    )
    batch_size: int = _preset(
        "batch_size",
        "Rows in a step; 0 for a number that suits the table.",
        minimum=0,
        maximum=65536,
    )
    select: str = _preset(
        "select", "Validation figure by which the epoch is chosen.", choices=tuple(CRITERIA)
    )
    calibrate: bool = _preset(
        "calibrate", "Make the probabilities as sure as they are right on validation rows."
    )
    refit: bool = _preset(
        "refit", "Publish a second network, fitted to training and validation rows as long."
    )
    ensemble: int = _preset(
        "ensemble",
        "Networks that leave different rows out to stop by, and whose mean answers.",
        minimum=1,
        maximum=50,
    )
    cv: int = _setting(
        0, "Folds of a cross-validation before the fit; 0 for none.", minimum=0, maximum=50
    )
    class_weight: str = _setting(
        "", "Weight of each class in the fit: balanced, or as in yes=3,no=1."
    )
    threshold: str = _setting(
        "",
        "Of two classes: choose the probability from which POSITIVE is answered for the best "
        "accuracy, f1, or recall at a precision, as in recall@0.9.",
    )
    positive: str = _setting("", "The class that the threshold is for; the rarer one if not given.")
    kind: tuple[str, ...] = _setting((), "A column's kind, as in zip=category; may be repeated.")
    report: bool = _setting(True, "Write report.html beside the model.")
    seed: int = _setting(0, "Seed: the same seed gives the same file.", minimum=0, maximum=2**32)

    @classmethod
    def read(cls, flags: Mapping[str, Any], file: Path | None = None) -> Settings:
        """The settings from flags, file and defaults, in that order.

        Args:
            flags: values as text (lists as sequences of text); None where a flag was not given.
            file: a TOML file of settings under their names, with ``-`` or ``_``.

        Raises:
            SettingError: naming the first one that can't be used.
        """
        stated = _read_file(file) if file else {}
        values: dict[str, Any] = {}
        for setting in fields(cls):
            flag = flags.get(setting.name)
            given, source = (
                (flag, flag_of(setting.name))
                if flag not in (None, ())
                else (stated.get(setting.name), f"{file}: {setting.name}")
            )
            if given is not None:
                values[setting.name] = _parsed(source, given, setting.default, setting.metadata)
        preset = PRESETS[values.get("preset", cls.preset)]
        settings = cls(**preset | values)
        settings._check()
        if settings.optimizer != "adamw":
            if values.get("weight_decay"):
                raise SettingError(
                    "--weight-decay", f"is for the optimizer adamw; {settings.optimizer} has none"
                )
            settings = replace(settings, weight_decay=0.0)  # the preset's
        return settings

    def _check(self) -> None:
        """Refuse settings that are missing, or don't go together."""
        for name in ("table", "target", "name"):
            if not getattr(self, name):
                raise SettingError(flag_of(name), "is needed, as a flag or in the settings file")
        if not NAME.fullmatch(self.name):
            raise SettingError(
                "--name",
                f"is {self.name!r}, expected a letter or digit, then letters, digits and ._-, "
                "at most 100 in all",
            )
        column_kinds(self.kind)
        if self.threshold:
            check_metric(self.threshold)
        elif self.positive:
            raise SettingError("--positive", "is for a threshold; there is no --threshold")
        if self.ensemble > 1 and self.refit:
            raise SettingError("--refit", "is for one network; say --ensemble 1 as well")
        if self.cv == 1:
            raise SettingError("--cv", "is 1, expected 0 for none, or at least 2 folds")


def column_kinds(stated: Sequence[str]) -> dict[str, Kind]:
    """The kinds that ``--kind`` states, by column.

    Args:
        stated: as in ``zip=category``.

    Raises:
        SettingError: for what is no such statement.
    """
    kinds = {}
    for text in stated:
        column, _, kind = text.rpartition("=")
        if not column or kind not in tuple(Kind):
            raise SettingError(
                "--kind", f"is {text!r}, expected COLUMN=KIND with one of {', '.join(Kind)}"
            )
        kinds[column] = Kind(kind)
    return kinds


def flag_of(name: str) -> str:
    """A setting's flag: ``batch_size`` is ``--batch-size``; the table needs none."""
    return "TABLE" if name == "table" else "--" + name.replace("_", "-")


def _read_file(file: Path) -> dict[str, Any]:
    try:
        stated = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingError("--settings", f"{file} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError("--settings", f"{file} is not TOML: {error}") from None
    known = [setting.name for setting in fields(Settings)]
    named = {key.replace("-", "_"): value for key, value in stated.items()}
    for key in named:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SettingError("--settings", f"{file}: no setting is called {key!r}{hint}")
    return named


def _parsed(source: str, given: Any, default: Any, facts: Mapping[str, Any]) -> Any:
    """A value of the default's type, within its limits."""
    if not isinstance(default, tuple):
        return _single(source, given, type(default), facts)
    kind = type(default[0]) if default else str
    if not isinstance(given, str):
        parts = list(given) if isinstance(given, Sequence) else [given]
    elif kind is str:
        parts = [given]  # a column's name may have commas
    else:
        parts = given.split(",") if given.strip() else []
    return tuple(_single(source, part, kind, facts) for part in parts)


def _single(source: str, given: Any, kind: type[Any], facts: Mapping[str, Any]) -> Any:
    if kind is bool:
        return _switch(source, given)
    if kind is str:
        if not isinstance(given, str):
            raise SettingError(source, f"is {given!r}, expected text")
        choices = facts.get("choices")
        if choices and given not in choices:
            raise SettingError(source, f"is {given!r}, expected one of {', '.join(choices)}")
        return given
    # TOML knows types, flags are text: true is no number, and 1.5 no whole one.
    fits = not isinstance(given, bool) and not (kind is int and isinstance(given, float))
    try:
        value = kind(given) if fits else float("nan")
    except (TypeError, ValueError):
        value = float("nan")
    if not (
        facts.get("minimum", value) <= value <= facts.get("maximum", value)
        and value > facts.get("above", float("-inf"))
    ):
        noun = "a whole number" if kind is int else "a number"
        raise SettingError(source, f"is {given!r}, expected {noun}{_limits(facts)}")
    return value


def _switch(source: str, given: Any) -> bool:
    known = {"on": True, "true": True, "off": False, "false": False}
    if isinstance(given, bool):
        return given
    if str(given).lower() not in known:
        raise SettingError(source, f"is {given!r}, expected on or off")
    return known[str(given).lower()]


def _limits(facts: Mapping[str, Any]) -> str:
    words = {"above": "above", "minimum": "of at least", "maximum": "at most"}
    limits = [f"{words[fact]} {facts[fact]}" for fact in words if fact in facts]
    return " " + " and ".join(limits) if limits else ""
