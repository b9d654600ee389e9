"""The settings of the service: sources, limits and errors."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from pigeonhole.service.cores import granted_cores
from pigeonhole.service.errors import InvalidSetting
from pigeonhole.service.settings import (
    PREFIX,
    Settings,
    flag_of,
    unknown_variables,
)

NAMES = [setting.name for setting in fields(Settings)]


def test_settings_without_flags_and_variables_are_the_defaults() -> None:
    assert Settings.read({}) == Settings()
    assert Settings.read({}, dict.fromkeys(NAMES)) == Settings()


def test_flag_takes_precedence_over_variable_and_variable_over_default() -> None:
    environment = {"PIGEONHOLE_MAX_ROWS": "7", "PIGEONHOLE_PORT": "70"}
    settings = Settings.read(environment, {"max_rows": "8", "port": None})
    assert (settings.max_rows, settings.port, settings.host) == (8, 70, Settings().host)


def test_invalid_variable_is_ignored_beside_a_valid_flag() -> None:
    assert Settings.read({"PIGEONHOLE_PORT": "http"}, {"port": "80"}).port == 80


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("a.b", "a.b:80")]
)
def test_address_is_written_as_in_a_url(host: str, address: str) -> None:
    assert Settings(host=host, port=80).address == address


def test_values_have_the_type_of_their_default() -> None:
    environment = {
        "PIGEONHOLE_MODELS": "/srv/models",
        "PIGEONHOLE_DEFAULT_MODEL": "bodymass",
        "PIGEONHOLE_WORKERS": "3",
        "PIGEONHOLE_RELOAD_SECONDS": "2",
        "PIGEONHOLE_LOG_LEVEL": "debug",
        "PIGEONHOLE_ACCESS_LOG": "ON",
    }
    settings = Settings.read(environment)
    assert settings.models == Path("/srv/models")
    assert settings.default_model == "bodymass"
    assert settings.workers == 3
    assert isinstance(settings.reload_seconds, float)
    assert settings.log_level == "debug"
    assert settings.access_log is True


@pytest.mark.parametrize(
    ("text", "value"),
    [("on", True), ("True", True), ("1", True), ("off", False), ("FALSE", False), ("0", False)],
)
def test_switch_has_several_spellings(text, value) -> None:
    assert Settings.read({}, {"access_log": text}).access_log is value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "http", "a whole number from 0 to 65535"),
        ("port", "80.0", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "", "a whole number from 0 to 65535"),
        ("workers", "0", "a whole number from 1 to 60"),
        ("workers", "61", "a whole number from 1 to 60"),
        ("max_rows", "0", "a whole number of at least 1"),
        ("max_rows", "9" * 5000, "a whole number of at least 1"),
        ("reload_seconds", "0.01", "a number from 0.05 to 3600"),
        ("reload_seconds", "nan", "a number from 0.05 to 3600"),
        ("reload_seconds", "inf", "a number from 0.05 to 3600"),
        ("reload_seconds", "1s", "a number from 0.05 to 3600"),
        ("log_level", "loud", "one of debug, info, warning, error"),
        ("access_log", "yes", "on or off"),
        ("model_name", "a/b", "text of the form [A-Za-z0-9][A-Za-z0-9._-]{0,99}"),
        ("model_name", "-a", "text of the form [A-Za-z0-9][A-Za-z0-9._-]{0,99}"),
        ("stuck_seconds", "-1", "a number from 0 to 86400"),
    ],
)
@pytest.mark.parametrize("by_flag", [True, False])
def test_invalid_value_is_reported_with_source_and_expectation(
    name, value, expected, by_flag
) -> None:
    variable, flag = PREFIX + name.upper(), "--" + name.replace("_", "-")
    environment, flags = ({}, {name: value}) if by_flag else ({variable: value}, {})
    with pytest.raises(InvalidSetting) as caught:
        Settings.read(environment, flags)
    source = flag if by_flag else variable
    assert (caught.value.name, caught.value.value) == (source, value)
    assert str(caught.value) == f"{source} is {value!r}, expected {expected}"


@pytest.mark.parametrize("name", NAMES)
def test_setting_has_one_line_of_help(name) -> None:
    text = next(setting.metadata["help"] for setting in fields(Settings) if setting.name == name)
    assert text[0].isupper()
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("name", NAMES)
def test_default_is_a_valid_value(name) -> None:
    default = getattr(Settings(), name)
    text = {True: "on", False: "off"}.get(default) if isinstance(default, bool) else str(default)
    assert getattr(Settings.read({PREFIX + name.upper(): text}), name) == default
    assert getattr(Settings.read({}, {name: text}), name) == default


@pytest.mark.parametrize("name", NAMES)
def test_limit_of_a_number_is_a_valid_value(name) -> None:
    facts = next(setting.metadata for setting in fields(Settings) if setting.name == name)
    default = getattr(Settings(), name)
    if isinstance(default, bool) or not isinstance(default, int | float):
        assert facts["minimum"] is facts["maximum"] is None
        return
    assert facts["minimum"] is not None
    for limit in (facts["minimum"], facts["maximum"]):
        if limit is not None:
            assert getattr(Settings.read({}, {name: str(limit)}), name) == limit


@pytest.mark.parametrize(
    ("values", "model"),
    [
        ({}, None),
        ({"default_model": "a"}, "a"),
        ({"model_name": "b"}, "b"),
        ({"default_model": "b", "model_name": "b"}, "b"),
    ],
)
def test_single_model_is_the_effective_default(values: dict[str, str], model: str | None) -> None:
    assert Settings.read({}, values).effective_default_model == model


def test_default_model_must_be_the_single_model() -> None:
    with pytest.raises(InvalidSetting) as caught:
        Settings.read({"PIGEONHOLE_DEFAULT_MODEL": "a"}, {"model_name": "b"})
    assert str(caught.value) == ("PIGEONHOLE_DEFAULT_MODEL is 'a', expected 'b', the only model")


def test_flag_is_written_with_dashes() -> None:
    assert flag_of("max_body_bytes") == "--max-body-bytes"


def test_unknown_variables_are_listed() -> None:
    environment = {
        "PIGEONHOLE_MAX_ROW": "7",
        "PIGEONHOLE_PORT": "80",
        "PIGEONHOLE_SERVICE_HOST": "10.0.0.1",
        "PATH": "/bin",
    }
    assert unknown_variables(environment) == ["PIGEONHOLE_MAX_ROW", "PIGEONHOLE_SERVICE_HOST"]


def test_settings_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 80  # type: ignore[misc]


def test_default_is_one_worker_per_granted_core() -> None:
    assert Settings().workers == granted_cores()
