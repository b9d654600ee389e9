"""Every setting of a training run in one table: name, default, limits and a line of help.

A value comes from the first of these that has it: flag, settings file, preset, default.
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
from .export.publish import NAME, name_from_file
from .fitting.early_stopping import CRITERIA
from .network.activations import ACTIVATIONS
from .network.optimizers import OPTIMIZERS
from .network.schedules import SCHEDULES
from .presets import PRESETS


def _setting(default: Any, help_text: str, **facts: Any) -> Any:
    """Return a field with its help and limits: ``minimum``, ``maximum``, ``above``, ``choices``."""
    return field(default=default, metadata={"help": help_text, **facts})


def _preset(name: str, help_text: str, **facts: Any) -> Any:
    """Return a field that every preset sets; its default is that of the first preset."""
    first = next(iter(PRESETS.values()))
    return _setting(first[name], help_text, **facts)


@dataclass(frozen=True)
class Settings:
    """The settings of one run; ``pigeonhole fit --help`` explains each."""

    table: str = _setting("", "Table to learn from: CSV (may be gzipped) or Parquet.")
    target: str = _setting("", "Column that holds the class.")
    name: str = _setting("", "Model name; the table's file name if not given.")
    models: str = _setting("models", "Model folder to publish into.")
    drop: tuple[str, ...] = _setting((), "Column to leave out; may be repeated.")
    validation: str = _setting("", "Table of validation rows; a part of TABLE if not given.")
    test: str = _setting("", "Table of test rows; a part of TABLE if not given.")
    validation_share: float = _setting(
        0.2, "Validation share of the rows that are not for test.", above=0, maximum=0.5
    )
    test_share: float = _setting(0.2, "Test share of TABLE.", above=0, maximum=0.5)
    preset: str = _setting(
        "default", "Preset for the settings from --hidden to --ensemble.", choices=tuple(PRESETS)
    )
    hidden: tuple[int, ...] = _preset(
        "hidden",
        "Units of each hidden layer, as in 64,32; empty for none.",
        minimum=1,
        maximum=8192,
    )
    activation: str = _preset(
        "activation", "Activation of the hidden layers.", choices=tuple(ACTIVATIONS)
    )
    periodic_embedding: bool = _preset(
        "periodic_embedding", "Add a learned periodic embedding of each numeric feature."
    )
    input_scaling: bool = _preset("input_scaling", "Learn a scale for each network input.")
    neural_tangent: bool = _preset(
        "neural_tangent",
        "Neural tangent parametrization: scale first weights and steps by layer width.",
    )
    embedding_width: int = _preset(
        "embedding_width",
        "Embedding width: numbers per level of a category with many levels.",
        minimum=1,
        maximum=256,
    )
    dropout: float = _preset(
        "dropout",
        "Dropout rate: share of hidden units zeroed in each step.",
        minimum=0,
        maximum=0.9,
    )
    batch_normalization: bool = _preset(
        "batch_normalization", "Apply batch normalization after each hidden layer."
    )
    optimizer: str = _preset("optimizer", "Optimizer.", choices=tuple(OPTIMIZERS))
    learning_rate: float = _preset(
        "learning_rate", "Learning rate, before the schedule's factor.", above=0, maximum=100
    )
    schedule: str = _preset("schedule", "Learning-rate schedule.", choices=tuple(SCHEDULES))
    beta_2: float = _preset(
        "beta_2",
        "Decay rate of the mean squared gradient, for adam and adamw.",
        minimum=0,
        maximum=0.99999,
    )
    weight_decay: float = _preset("weight_decay", "Weight decay, for adamw.", minimum=0, maximum=10)
    regularization: str = _preset(
        "regularization", "Schedule of dropout and weight decay.", choices=tuple(SCHEDULES)
    )
    label_smoothing: float = _preset(
        "label_smoothing",
        "Label smoothing: share of each label spread over all classes.",
        minimum=0,
        maximum=0.5,
    )
    epochs: int = _preset(
        "epochs",
        "Most passes over the training rows; 0 to choose by the number of rows.",
        minimum=0,
    )
    patience: int = _preset(
        "patience",
        "Early stopping: epochs without improvement; 0 for 60% of the epochs done, from the middle on.",
        minimum=0,
    )
    batch_size: int = _preset(
        "batch_size",
        "Rows per step; 0 to choose by the number of rows.",
        minimum=0,
        maximum=65536,
    )
    select: str = _preset(
        "select", "Validation criterion that chooses the epoch.", choices=tuple(CRITERIA)
    )
    calibrate: bool = _preset("calibrate", "Calibrate the probabilities by temperature scaling.")
    refit: bool = _preset(
        "refit", "Publish a second network, fitted to training and validation rows."
    )
    ensemble: int = _preset(
        "ensemble",
        "Ensemble size: networks with different validation rows, whose mean is the prediction.",
        minimum=1,
        maximum=50,
    )
    cv: int = _setting(
        0, "Cross-validation folds before the fit; 0 for none.", minimum=0, maximum=50
    )
    class_weight: str = _setting("", "Class weights in the loss: balanced, or as in yes=3,no=1.")
    threshold: str = _setting(
        "",
        "Decision threshold for two classes, best for accuracy, f1, or recall at a precision, as in "
        "recall@0.9.",
    )
    positive: str = _setting("", "Class of the threshold; the rarer one if not given.")
    kind: tuple[str, ...] = _setting((), "Kind of a column, as in zip=category; may be repeated.")
    report: bool = _setting(True, "Write report.html beside the model.")
    seed: int = _setting(
        0, "Random seed; the same seed gives the same file.", minimum=0, maximum=2**32
    )

    @classmethod
    def read(cls, flags: Mapping[str, Any], file: Path | None = None) -> Settings:
        """Return the settings from flags, file, preset and defaults.

        Args:
            flags: values as text, lists as sequences of text; None for flags that were not given.
            file: a TOML file; its keys are the settings' names, with ``-`` or ``_``.

        Raises:
            SettingError: a setting is invalid; the error names the first.
        """
        in_file = _read_file(file) if file else {}
        values: dict[str, Any] = {}
        for setting in fields(cls):
            value, source = flags.get(setting.name), flag_of(setting.name)
            if value in (None, ()):
                value, source = in_file.get(setting.name), f"{file}: {setting.name}"
            if value is not None:
                values[setting.name] = _parsed(source, value, setting.default, setting.metadata)
        preset = PRESETS[values.get("preset", cls.preset)]
        settings = cls(**preset | values)
        settings._check()
        if settings.optimizer != "adamw":
            if values.get("weight_decay"):
                raise SettingError(
                    "--weight-decay",
                    f"is for the optimizer adamw, but --optimizer is {settings.optimizer}",
                )
            settings = replace(settings, weight_decay=0.0)  # the preset has one
        return settings

    @property
    def model_name(self) -> str:
        """The model's name: ``name``, otherwise the name made from the table's file name."""
        return self.name or name_from_file(self.table)

    def _check(self) -> None:
        """Raise SettingError for settings that are missing or don't go together."""
        for name in ("table", "target"):
            if not getattr(self, name):
                message = "is required, as an argument or in the settings file"
                raise SettingError(flag_of(name), message)
        if not self.model_name:
            raise SettingError(
                "--name",
                f"is required, because the file name of {self.table!r} has no letter from a to z "
                "and no digit",
            )
        if not NAME.fullmatch(self.model_name):
            raise SettingError(
                "--name",
                f"is {self.name!r}, expected a letter or digit, then letters, digits and ._-, "
                "at most 100 in all",
            )
        column_kinds(self.kind)
        if self.threshold:
            check_metric(self.threshold)
        elif self.positive:
            raise SettingError("--positive", "needs --threshold, whose class it names")
        if self.ensemble > 1 and self.refit:
            raise SettingError("--refit", "is for one network; add --ensemble 1")
        if self.cv == 1:
            raise SettingError("--cv", "is 1, expected 0 for none, or at least 2 folds")


def column_kinds(stated: Sequence[str]) -> dict[str, Kind]:
    """Return the kinds that ``--kind`` sets, by column.

    Args:
        stated: texts such as ``zip=category``.

    Raises:
        SettingError: a text is not COLUMN=KIND.
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
    """Return a setting's flag: ``--batch-size`` for ``batch_size``, TABLE for the table."""
    return "TABLE" if name == "table" else "--" + name.replace("_", "-")


def _read_file(file: Path) -> dict[str, Any]:
    """Return the values of a TOML file by the settings' names."""
    try:
        entries = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingError("--settings", f"{file} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError("--settings", f"{file} is not TOML: {error}") from None
    known = [setting.name for setting in fields(Settings)]
    named = {key.replace("-", "_"): value for key, value in entries.items()}
    for key in named:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SettingError("--settings", f"{file}: unknown setting {key!r}{hint}")
    return named


def _parsed(source: str, value: Any, default: Any, limits: Mapping[str, Any]) -> Any:
    """Return the value in the default's type, checked against its limits."""
    if not isinstance(default, tuple):
        return _parsed_one(source, value, type(default), limits)
    kind = type(default[0]) if default else str
    if not isinstance(value, str):
        parts = list(value) if isinstance(value, Sequence) else [value]
    elif kind is str:
        parts = [value]  # a column's name may have commas
    else:
        parts = value.split(",") if value.strip() else []
    return tuple(_parsed_one(source, part, kind, limits) for part in parts)


def _parsed_one(source: str, value: Any, kind: type[Any], limits: Mapping[str, Any]) -> Any:
    if kind is bool:
        return _parsed_switch(source, value)
    if kind is str:
        return _parsed_text(source, value, limits.get("choices"))
    return _parsed_number(source, value, kind, limits)


def _parsed_text(source: str, value: Any, choices: Sequence[str] | None) -> str:
    if not isinstance(value, str):
        raise SettingError(source, f"is {value!r}, expected text")
    if choices and value not in choices:
        raise SettingError(source, f"is {value!r}, expected one of {', '.join(choices)}")
    return value


def _parsed_number(source: str, value: Any, kind: type[Any], limits: Mapping[str, Any]) -> Any:
    # TOML has types, flags are text: neither `true` for a number nor 1.0 for an integer is valid.
    has_type = not isinstance(value, bool) and not (kind is int and isinstance(value, float))
    try:
        number = kind(value) if has_type else float("nan")
    except (TypeError, ValueError):
        number = float("nan")
    if not (
        limits.get("minimum", number) <= number <= limits.get("maximum", number)
        and number > limits.get("above", float("-inf"))
    ):
        noun = "an integer" if kind is int else "a number"
        raise SettingError(source, f"is {value!r}, expected {noun}{_limits_text(limits)}")
    return number


def _parsed_switch(source: str, value: Any) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in words:
        raise SettingError(source, f"is {value!r}, expected on or off")
    return words[str(value).lower()]


def _limits_text(limits: Mapping[str, Any]) -> str:
    """Return text such as " of at least 0 and at most 0.9"."""
    words = {"above": "above", "minimum": "of at least", "maximum": "at most"}
    parts = [f"{words[limit]} {limits[limit]}" for limit in words if limit in limits]
    return " " + " and ".join(parts) if parts else ""
