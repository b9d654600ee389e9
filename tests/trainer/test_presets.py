from __future__ import annotations

from dataclasses import fields

import pytest

from pigeonhole.trainer.presets import PRESETS
from pigeonhole.trainer.settings import Settings

REQUIRED = {"table": "t.csv", "target": "y", "name": "m"}


def test_every_preset_sets_the_same_settings() -> None:
    first, *others = PRESETS.values()
    for other in others:
        assert list(other) == list(first)
        assert [type(value) for value in other.values()] == [type(v) for v in first.values()]


@pytest.mark.parametrize("name", PRESETS)
def test_values_of_a_preset_are_valid_as_flags(name: str) -> None:
    preset = PRESETS[name]
    flags = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in preset.items()
    }
    stated = Settings.read({**REQUIRED, **flags, "preset": name})
    assert stated == Settings.read({**REQUIRED, "preset": name})
    assert {key: getattr(stated, key) for key in preset} == preset


@pytest.mark.parametrize("name", PRESETS)
def test_preset_does_not_change_other_settings(name: str) -> None:
    read = Settings.read({**REQUIRED, "preset": name})
    for setting in fields(Settings):
        if setting.name not in {*PRESETS[name], *REQUIRED, "preset"}:
            assert getattr(read, setting.name) == setting.default


def test_defaults_are_those_of_the_default_preset() -> None:
    default = PRESETS[Settings.preset]
    assert {key: getattr(Settings, key) for key in default} == default
