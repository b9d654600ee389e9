"""The key file: its format, its errors, and how changes take effect."""

from __future__ import annotations

import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeonhole.service.api_keys import (
    MAX_FILE_BYTES,
    MAX_KEYS,
    MAX_TOKEN_LENGTH,
    SCOPES,
    KeyFile,
    append_key,
    new_key,
    open_keys,
    parse_keys,
)
from pigeonhole.service.errors import InvalidKeyFile

KEYS_TOML = Path("keys.toml")


def entry(name: str, token: str, *scopes: str) -> str:
    digest = sha256(token.encode()).hexdigest()
    return f'[{name}]\nsha256 = "{digest}"\nscopes = {list(scopes or ["predict"])}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(entry("alice", "first", "predict", "read") + entry("bob", "second"))
    return path


def test_token_is_found_by_its_digest(path) -> None:
    ring = KeyFile(path).ring
    alice, bob = ring.find("first"), ring.find("second")
    assert (alice.name, alice.scopes) == ("alice", {"predict", "read"})
    assert (bob.name, bob.scopes) == ("bob", {"predict"})
    for unknown in ("", "third", "First", "first ", sha256(b"first").hexdigest(), "é", "\udc80"):
        assert ring.find(unknown) is None


def test_upper_case_digest_and_byte_order_mark_are_accepted() -> None:
    digest = sha256(b"t").hexdigest().upper()
    content = f'\ufeff[a]\nsha256 = "{digest}"\nscopes = ["read"]'.encode()
    assert parse_keys(KEYS_TOML, content).find("t").name == "a"


def test_overlong_token_is_not_found() -> None:
    token = "x" * (MAX_TOKEN_LENGTH + 1)
    content = entry("a", token).encode()
    assert parse_keys(KEYS_TOML, content).find(token) is None


def test_file_without_keys_is_valid() -> None:
    assert parse_keys(KEYS_TOML, b"# none yet\n").keys == ()


GOOD = f'sha256 = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[a]\nsha256 = ", "not TOML: Invalid value (at end of document)"),
        (b"[a]\n[a]\n", "not TOML: "),
        (b"\xff", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not TOML: "),
        (b"a = 1", "[a]: expected a table with sha256 and scopes"),
        (b"[a]\nscopes = ['read']", "[a]: sha256 is missing or invalid, expected 64 hex"),
        (
            b"[a]\nsha256 = 'abc'\nscopes = ['read']",
            "[a]: sha256 is missing or invalid, expected 64 hex",
        ),
        (f"[a]\n{GOOD}".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = []".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = 'read'".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = ['all']".encode(), "[a]: unknown scope 'all', expected some of"),
        (f"[a]\n{GOOD}scopes = [['read']]".encode(), "[a]: unknown scope ['read']"),
        (
            f"[a]\n{GOOD}scope = ['read']".encode(),
            "[a]: unknown field 'scope', expected sha256 and scopes",
        ),
        (b"['a b']\n", "[a b]: invalid name, expected 1 to 64 letters, digits, _ or -"),
        (
            (entry("a", "same") + entry("b", "same")).encode(),
            "[b]: sha256 is the same as in [a]",
        ),
        (
            "".join(f"[k{i}]\n" for i in range(MAX_KEYS + 1)).encode(),
            f"{MAX_KEYS + 1} keys, expected at most {MAX_KEYS}",
        ),
    ],
)
def test_invalid_file_is_reported_with_the_entry_and_the_reason(
    content: bytes, reason: str
) -> None:
    with pytest.raises(InvalidKeyFile) as caught:
        parse_keys(KEYS_TOML, content)
    assert str(caught.value).startswith(f"key file keys.toml: {reason}")


def test_token_in_the_place_of_its_digest_is_not_repeated() -> None:
    token, _ = new_key("a", ["read"])
    with pytest.raises(InvalidKeyFile) as caught:
        parse_keys(KEYS_TOML, f"[a]\nsha256 = '{token}'\nscopes = ['read']".encode())
    assert token not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_content_is_parsed_or_rejected(content: bytes) -> None:
    try:
        parse_keys(KEYS_TOML, content)
    except InvalidKeyFile as error:
        assert error.reason  # noqa: PT017 - most contents fail, and some do not


def test_unreadable_file_is_named(tmp_path, path) -> None:
    with pytest.raises(InvalidKeyFile, match=r"none: can't be read: No such file"):
        KeyFile(tmp_path / "none")
    with pytest.raises(InvalidKeyFile, match="Is a directory"):
        KeyFile(tmp_path)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(InvalidKeyFile, match=f"the limit is {MAX_FILE_BYTES}"):
        KeyFile(path)
    assert open_keys("") is None


def test_change_takes_effect_and_is_logged_without_digests(path, caplog) -> None:
    caplog.set_level(logging.INFO)
    keys = KeyFile(path)
    keys.refresh()
    assert caplog.records == []
    path.write_text(entry("bob", "second") + entry("carol", "third"))
    keys.refresh()
    assert keys.ring.find("first") is None
    assert keys.ring.find("third").name == "carol"
    (record,) = caplog.records
    assert record.keys == ["bob", "carol"]
    assert sha256(b"third").hexdigest() not in str(vars(record))


def test_change_with_equal_size_and_time_takes_effect(path) -> None:
    keys = KeyFile(path)
    then = path.stat()
    path.write_text(path.read_text().replace("alice", "clara"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    keys.refresh()
    assert keys.ring.find("first").name == "clara"


def test_last_valid_keys_stay_when_the_file_becomes_invalid_and_it_is_logged_once(
    path, caplog
) -> None:
    keys = KeyFile(path)
    good = path.read_text()
    path.write_text("[alice")
    keys.refresh()
    keys.refresh()
    path.unlink()
    keys.refresh()
    assert keys.ring.find("first").name == "alice"
    bad, gone = (record.getMessage() for record in caplog.records)
    assert "not TOML" in bad
    assert "No such file" in gone
    path.write_text(good.replace("alice", "clara"))
    keys.refresh()
    assert keys.ring.find("first").name == "clara"
    path.write_text("[alice")
    keys.refresh()
    assert len(caplog.records) == 3


def test_new_key_has_its_scopes() -> None:
    token, text = new_key("alice", SCOPES)
    found = parse_keys(KEYS_TOML, text.encode()).find(token)
    assert (found.name, found.scopes) == ("alice", set(SCOPES))
    assert token not in text
    assert token != new_key("alice", SCOPES)[0]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "a\n", "x" * 65, "[a]"])
def test_unsafe_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="invalid name, expected 1 to 64"):
        new_key(name, ["read"])


@pytest.mark.parametrize("scopes", [[], [""], ["read", "write"]])
def test_unknown_scope_is_rejected(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="expected some of predict, read, metrics, admin"):
        new_key("alice", scopes)


def test_key_is_appended_and_the_rest_of_the_file_unchanged(path) -> None:
    path.write_text("# ours\n" + path.read_text().rstrip("\n"))
    path.chmod(0o640)
    before = path.read_text()
    token, text = new_key("carol", ["metrics"])
    append_key(path, "carol", text)
    assert path.read_text() == before + "\n\n" + text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert KeyFile(path).ring.find(token).name == "carol"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_missing_file_is_made(tmp_path) -> None:
    _, text = new_key("carol", ["metrics"])
    append_key(tmp_path / "new.toml", "carol", text)
    assert (tmp_path / "new.toml").read_text() == text


def test_link_to_a_file_stays_a_link(path, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    append_key(link, "carol", new_key("carol", ["read"])[1])
    assert link.is_symlink()
    assert len(KeyFile(path).ring.keys) == 3


def test_existing_name_and_invalid_file_leave_the_file_unchanged(path) -> None:
    before = path.read_text()
    with pytest.raises(InvalidKeyFile, match=r"\[alice\] exists already"):
        append_key(path, "alice", new_key("alice", ["read"])[1])
    assert path.read_text() == before
    path.write_text("[carol")
    with pytest.raises(InvalidKeyFile, match="not TOML"):
        append_key(path, "alice", new_key("alice", ["read"])[1])
    assert path.read_text() == "[carol"


def test_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(InvalidKeyFile, match="its folder can't be opened: No such file"):
        append_key(tmp_path / "none" / "keys.toml", "alice", new_key("alice", ["read"])[1])


def test_keys_added_at_once_are_all_kept(path) -> None:
    def add(number: int) -> str:
        token, text = new_key(f"k{number}", ["read"])
        append_key(path, f"k{number}", text)
        return token

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(add, range(40)))
    ring = KeyFile(path).ring
    assert [ring.find(token).name for token in tokens] == [f"k{i}" for i in range(40)]
