from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pigeonhole.trainer.data.schema import Kind
from pigeonhole.trainer.errors import SettingError
from pigeonhole.trainer.presets import PRESETS
from pigeonhole.trainer.settings import Settings, column_kinds, flag_of

REQUIRED = {"table": "t.csv", "target": "y", "name": "m"}


@pytest.fixture
def write(tmp_path: Path):
    """Writes a settings file and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "settings.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(file: Path | None = None, **flags: Any) -> Settings:
    return Settings.read({**REQUIRED, **flags}, file)


def test_flag_overrides_file_and_file_overrides_default(write) -> None:
    file = write("epochs = 7\npatience = 3\nhidden = [5]")
    settings = read(file, epochs="9", hidden=None, drop=())
    assert (settings.epochs, settings.patience, settings.hidden) == (9, 3, (5,))
    assert settings.seed == Settings.seed == 0


def test_file_and_flag_override_the_preset(write) -> None:
    classic = PRESETS["classic"]
    file = write('preset = "classic"\nhidden = [5]\nlearning-rate = 0.5')
    settings = read(file, learning_rate="0.25")
    assert (settings.hidden, settings.learning_rate) == ((5,), 0.25)
    assert (settings.optimizer, settings.activation) == (classic["optimizer"], "relu")
    assert read(file, preset="default").activation == PRESETS["default"]["activation"]
    assert read(preset="classic").hidden == classic["hidden"] != read().hidden


def test_unknown_preset_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(SettingError, match="--preset: is 'modern', expected one of default, class"):
        read(preset="modern")


def test_file_may_hold_all_settings(write) -> None:
    file = write('table = "a.csv"\ntarget = "y"\nname = "m"\ndrop = ["id", "a, b"]')
    settings = Settings.read({"table": None, "drop": ()}, file)
    assert (settings.table, settings.drop) == ("a.csv", ("id", "a, b"))


def test_toml_types_are_accepted(write) -> None:
    settings = read(
        write(
            "hidden = [64, 32]\nbatch-normalization = true\nlearning_rate = 1\n"
            'dropout = 0.25\noptimizer = "adamw"\nweight-decay = 1e-2\ndrop = "a, b"'
        )
    )
    assert settings.hidden == (64, 32)
    assert settings.batch_normalization is True
    assert settings.learning_rate == 1.0
    assert isinstance(settings.learning_rate, float)
    assert (settings.dropout, settings.optimizer, settings.weight_decay) == (0.25, "adamw", 0.01)
    assert settings.drop == ("a, b",)


@pytest.mark.parametrize(
    ("text", "units"), [("64,64", (64, 64)), ("3", (3,)), (" 6, 4 ", (6, 4)), ("", ()), (" ", ())]
)
def test_hidden_layers_are_comma_separated_units(text: str, units) -> None:
    assert read(hidden=text).hidden == units


@pytest.mark.parametrize(
    ("stated", "units"), [("[]", ()), ('""', ()), ('"8,4"', (8, 4)), ("8", (8,))]
)
def test_hidden_layers_in_a_file_may_be_list_text_or_number(write, stated: str, units) -> None:
    assert read(write(f"hidden = {stated}")).hidden == units


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("TRUE", True), ("off", False), ("False", False)]
)
def test_switch_is_on_or_off(text: str, value: bool) -> None:
    assert read(batch_normalization=text).batch_normalization is value


@pytest.mark.parametrize(
    ("setting", "text", "expected"),
    [
        ("epochs", "-1", "an integer of at least 0"),
        ("epochs", "1.5", "an integer of at least 0"),
        ("epochs", "many", "an integer of at least 0"),
        ("epochs", "", "an integer of at least 0"),
        ("patience", "-1", "an integer of at least 0"),
        ("ensemble", "0", "an integer of at least 1 and at most 50"),
        ("ensemble", "51", "an integer of at least 1 and at most 50"),
        ("cv", "51", "an integer of at least 0 and at most 50"),
        ("embedding_width", "0", "an integer of at least 1 and at most 256"),
        ("beta_2", "1", "a number of at least 0 and at most 0.99999"),
        ("select", "accuracy", "one of loss, error, calibrated_loss"),
        ("regularization", "linear", "one of constant, cosine"),
        ("refit", "maybe", "on or off"),
        ("kind", ["zip"], "expected COLUMN=KIND with one of number, "),
        ("kind", ["zip=text"], "expected COLUMN=KIND with one of number, "),
        ("kind", ["=number"], "expected COLUMN=KIND with one of number, "),
        ("threshold", "F1", "accuracy, f1, or recall at a precision"),
        ("batch_size", "65537", "an integer of at least 0 and at most 65536"),
        ("seed", "-1", "an integer of at least 0 and at most 4294967296"),
        ("hidden", "64,0", "an integer of at least 1 and at most 8192"),
        ("hidden", "64,,64", "an integer of at least 1 and at most 8192"),
        ("hidden", "64x64", "an integer of at least 1 and at most 8192"),
        ("learning_rate", "0", "a number above 0 and at most 100"),
        ("learning_rate", "nan", "a number above 0 and at most 100"),
        ("learning_rate", "inf", "a number above 0 and at most 100"),
        ("learning_rate", "1e-400", "a number above 0 and at most 100"),
        ("dropout", "1", "a number of at least 0 and at most 0.9"),
        ("dropout", "-0.1", "a number of at least 0 and at most 0.9"),
        ("weight_decay", "1e999", "a number of at least 0 and at most 10"),
        ("label_smoothing", "0.6", "a number of at least 0 and at most 0.5"),
        ("test_share", "0", "a number above 0 and at most 0.5"),
        ("validation_share", "0.51", "a number above 0 and at most 0.5"),
        ("activation", "Relu", "one of "),
        ("optimizer", "newton", "one of "),
        ("schedule", "linear", "one of constant, cosine"),
        ("batch_normalization", "yes", "on or off"),
        ("name", "a b", "a letter or digit"),
        ("name", "../up", "a letter or digit"),
        ("name", "n" * 101, "at most 100 in all"),
    ],
)
def test_invalid_flag_is_rejected_with_the_expected_value(
    setting: str, text: str, expected: str
) -> None:
    with pytest.raises(SettingError) as caught:
        read(**{setting: text})
    assert caught.value.setting == flag_of(setting)
    assert str(caught.value).startswith(f"{flag_of(setting)}: is ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("line", "got", "expected"),
    [
        ("epochs = 1.0", "1.0", "an integer"),
        ("epochs = true", "True", "an integer"),
        ("epochs = [1]", "[1]", "an integer"),
        ("hidden = [64, 1.5]", "1.5", "an integer"),
        ("hidden = [true]", "True", "an integer"),
        ("hidden = 0.5", "0.5", "an integer"),
        ("hidden = {a = 1}", "{'a': 1}", "an integer"),
        ("dropout = nan", "nan", "a number"),
        ("dropout = 2024-01-01", "datetime.date(2024, 1, 1)", "a number"),
        ("batch_normalization = 1", "1", "on or off"),
        ("target = 3", "3", "text"),
        ("drop = [3]", "3", "text"),
        ("activation = 1", "1", "text"),
    ],
)
def test_invalid_value_in_a_file_is_rejected_with_the_file(
    write, line: str, got: str, expected: str
) -> None:
    file = write(line)
    with pytest.raises(SettingError) as caught:
        Settings.read({"table": "t.csv", "name": "m"}, file)
    name = line.partition(" ")[0]
    assert str(caught.value).startswith(f"{file}: {name}: is {got}, expected {expected}")


@pytest.mark.parametrize(
    ("key", "meant"),
    [("epoch", "epochs"), ("learning-rat", "learning_rate"), ("batchsize", "batch_size")],
)
def test_unknown_key_is_rejected_with_the_nearest_one(write, key: str, meant: str) -> None:
    with pytest.raises(SettingError, match=f"unknown setting .*did you mean '{meant}'"):
        read(write(f"{key} = 1"))


def test_unknown_key_without_a_near_one_is_rejected(write) -> None:
    with pytest.raises(SettingError, match=r"unknown setting 'zzz'$"):
        read(write("zzz = 1"))


@pytest.mark.parametrize("content", ["epochs = ", "= 1", b"name = '\xff'", "a = 1\na = 2"])
def test_file_that_is_not_toml_is_rejected(write, content: str | bytes) -> None:
    with pytest.raises(SettingError, match="is not TOML"):
        read(write(content))


def test_unreadable_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="can't be read: No such file"):
        read(tmp_path / "none.toml")
    with pytest.raises(SettingError, match="can't be read: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("missing", ["table", "target"])
def test_table_and_target_are_required(missing: str) -> None:
    with pytest.raises(
        SettingError, match="is required, as an argument or in the settings file"
    ) as caught:
        Settings.read({**REQUIRED, missing: None})
    assert caught.value.setting == flag_of(missing)


def test_weight_decay_of_an_optimizer_without_it_is_rejected(write) -> None:
    with pytest.raises(
        SettingError, match="--weight-decay: is for the optimizer adamw, but --optimizer is adam"
    ):
        read(weight_decay="0.1", optimizer="adam")
    with pytest.raises(
        SettingError, match="--weight-decay: is for the optimizer adamw, but --optimizer is adam"
    ):
        read(write("weight-decay = 0.1"), preset="classic")
    assert read(weight_decay="0", optimizer="sgd").weight_decay == 0
    assert read(weight_decay="0.1", optimizer="adamw").weight_decay == 0.1


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_optimizer_without_weight_decay_ignores_that_of_the_preset(optimizer: str) -> None:
    assert PRESETS["default"]["weight_decay"] > 0
    assert read(optimizer=optimizer).weight_decay == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"refit": "on", "ensemble": "2"}, "--refit: is for one network; add --ensemble 1"),
        ({"positive": "yes"}, "--positive: needs --threshold, whose class it names"),
        ({"cv": "1"}, "--cv: is 1, expected 0 for none, or at least 2 folds"),
    ],
)
def test_contradicting_settings_are_rejected(flags, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read(**flags)


def test_column_of_a_kind_may_contain_an_equals_sign() -> None:
    settings = read(kind=("zip=category", "a=b=number"))
    assert column_kinds(settings.kind) == {"zip": Kind.CATEGORY, "a=b": Kind.NUMBER}


def test_kinds_in_a_file_are_a_list(write) -> None:
    assert read(write('kind = ["zip=category"]')).kind == ("zip=category",)


def test_every_default_is_within_its_own_limits() -> None:
    defaults = {
        setting.name: ",".join(map(str, setting.default))
        if isinstance(setting.default, tuple)
        else str(setting.default)
        for setting in fields(Settings)
        if setting.name not in {*REQUIRED, "drop", "kind"}
    }
    assert read(**defaults) == read()


@pytest.mark.parametrize("name", ["a", "0", "bodymass", "v1.2_final-B", "n" * 100])
def test_valid_model_names_are_accepted(name: str) -> None:
    assert read(name=name).name == name


@pytest.mark.parametrize("name", [None, ""])
def test_model_name_is_made_from_the_tables_file_name(name: str | None) -> None:
    assert read(table="data/My Sales.csv.gz", name=name).model_name == "my-sales"


def test_stated_model_name_overrides_the_file_name() -> None:
    assert read(table="sales.csv", name="mine").model_name == "mine"


@pytest.mark.parametrize("table", ["---.csv", "表.csv"])
def test_file_name_without_a_valid_character_requires_a_name(table: str) -> None:
    with pytest.raises(SettingError, match=r"--name: is required, because the file name of"):
        read(table=table, name=None)
