from __future__ import annotations

from dataclasses import fields

import pytest

from pigeonhole.trainer.presets import PRESETS
from pigeonhole.trainer.settings import Settings

NEEDED = {"table": "t.csv", "target": "y", "name": "m"}


def test_every_preset_sets_the_same_settings() -> None:
    first, *others = PRESETS.values()
    for other in others:
        assert list(other) == list(first)
        assert [type(value) for value in other.values()] == [type(v) for v in first.values()]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_values_that_could_be_given_as_flags(name: str) -> None:
    preset = PRESETS[name]
    flags = {
        key: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for key, value in preset.items()
    }
    stated = Settings.read({**NEEDED, **flags, "preset": name})
    assert stated == Settings.read({**NEEDED, "preset": name})
    assert {key: getattr(stated, key) for key in preset} == preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_alone_what_is_not_of_the_network(name: str) -> None:
    read = Settings.read({**NEEDED, "preset": name})
    for setting in fields(Settings):
        if setting.name not in {*PRESETS[name], *NEEDED, "preset"}:
            assert getattr(read, setting.name) == setting.default


def test_the_default_preset_is_what_the_settings_have_by_default() -> None:
    default = PRESETS[Settings.preset]
    assert {key: getattr(Settings, key) for key in default} == default
