"""The key file: what it may hold, what is said of what it may not, and how it is followed."""

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
    LONGEST_TOKEN,
    MAX_FILE_BYTES,
    MAX_KEYS,
    SCOPES,
    KeyFile,
    append_key,
    new_key,
    open_keys,
    read_keys,
)
from pigeonhole.service.errors import InvalidKeyFile

SOMEWHERE = Path("keys.toml")


def entry(name: str, token: str, *scopes: str) -> str:
    digest = sha256(token.encode()).hexdigest()
    return f'[{name}]\nsha256 = "{digest}"\nscopes = {list(scopes or ["predict"])}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(entry("alice", "first", "predict", "read") + entry("bob", "second"))
    return path


def test_a_token_is_found_by_its_digest(path) -> None:
    ring = KeyFile(path).ring
    alice, bob = ring.find("first"), ring.find("second")
    assert (alice.name, alice.scopes) == ("alice", {"predict", "read"})
    assert (bob.name, bob.scopes) == ("bob", {"predict"})
    for unknown in ("", "third", "First", "first ", sha256(b"first").hexdigest(), "é", "\udc80"):
        assert ring.find(unknown) is None


def test_a_digest_may_have_large_letters_and_the_file_a_byte_order_mark() -> None:
    digest = sha256(b"t").hexdigest().upper()
    content = f'\ufeff[a]\nsha256 = "{digest}"\nscopes = ["read"]'.encode()
    assert read_keys(SOMEWHERE, content).find("t").name == "a"


def test_a_token_that_is_far_too_long_is_not_looked_at() -> None:
    token = "x" * (LONGEST_TOKEN + 1)
    content = entry("a", token).encode()
    assert read_keys(SOMEWHERE, content).find(token) is None


def test_a_file_without_keys_lets_nobody_in() -> None:
    assert read_keys(SOMEWHERE, b"# none yet\n").keys == ()


GOOD = f'sha256 = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[a]\nsha256 = ", "it is not TOML: Invalid value (at end of document)"),
        (b"[a]\n[a]\n", "it is not TOML: "),
        (b"\xff", "it is not UTF-8"),
        (b"a = " + b"[" * 100_000, "it is nested too deeply"),
        (b"a = " + b"9" * 5000, "it is not TOML: "),
        (b"a = 1", "[a]: expected a table with sha256 and scopes"),
        (b"[a]\nscopes = ['read']", "[a]: sha256 is missing or no digest"),
        (b"[a]\nsha256 = 'abc'\nscopes = ['read']", "[a]: sha256 is missing or no digest"),
        (f"[a]\n{GOOD}".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = []".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = 'read'".encode(), "[a]: scopes is missing or empty"),
        (f"[a]\n{GOOD}scopes = ['all']".encode(), "[a]: 'all' is no scope, expected some of"),
        (f"[a]\n{GOOD}scopes = [['read']]".encode(), "[a]: ['read'] is no scope"),
        (f"[a]\n{GOOD}scope = ['read']".encode(), "[a]: 'scope' is not known"),
        (b"['a b']\n", "[a b]: a name is 1 to 64 letters, digits, _ or -"),
        (
            (entry("a", "same") + entry("b", "same")).encode(),
            "[b]: sha256 is the same as that of [a]",
        ),
        (
            "".join(f"[k{i}]\n" for i in range(MAX_KEYS + 1)).encode(),
            f"it has {MAX_KEYS + 1} keys, at most {MAX_KEYS} are taken",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(content: bytes, told: str) -> None:
    with pytest.raises(InvalidKeyFile) as caught:
        read_keys(SOMEWHERE, content)
    assert str(caught.value).startswith(f"key file keys.toml: {told}")


def test_a_token_that_stands_in_the_place_of_its_digest_is_not_repeated() -> None:
    token, _ = new_key("a", ["read"])
    with pytest.raises(InvalidKeyFile) as caught:
        read_keys(SOMEWHERE, f"[a]\nsha256 = '{token}'\nscopes = ['read']".encode())
    assert token not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_content_fails_in_another_way(content: bytes) -> None:
    try:
        read_keys(SOMEWHERE, content)
    except InvalidKeyFile as error:
        assert error.reason  # noqa: PT017 - most contents fail, and some do not


def test_a_file_that_can_not_be_read_is_named(tmp_path, path) -> None:
    with pytest.raises(InvalidKeyFile, match=r"none: it can't be read: No such file"):
        KeyFile(tmp_path / "none")
    with pytest.raises(InvalidKeyFile, match="Is a directory"):
        KeyFile(tmp_path)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(InvalidKeyFile, match=f"at most {MAX_FILE_BYTES} are taken"):
        KeyFile(path)
    assert open_keys("") is None


def test_a_change_is_taken_over_and_told_without_digests(path, caplog) -> None:
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


def test_a_change_of_the_same_length_in_the_same_instant_is_taken_over_too(path) -> None:
    keys = KeyFile(path)
    then = path.stat()
    path.write_text(path.read_text().replace("alice", "clara"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    keys.refresh()
    assert keys.ring.find("first").name == "clara"


def test_of_a_file_that_turns_bad_the_last_good_keys_stay_and_it_is_said_once(path, caplog) -> None:
    keys = KeyFile(path)
    good = path.read_text()
    path.write_text("[alice")
    keys.refresh()
    keys.refresh()
    path.unlink()
    keys.refresh()
    assert keys.ring.find("first").name == "alice"
    bad, gone = (record.getMessage() for record in caplog.records)
    assert "it is not TOML" in bad
    assert "No such file" in gone
    path.write_text(good.replace("alice", "clara"))
    keys.refresh()
    assert keys.ring.find("first").name == "clara"
    path.write_text("[alice")
    keys.refresh()
    assert len(caplog.records) == 3


def test_a_new_key_opens_what_it_was_made_for() -> None:
    token, text = new_key("alice", SCOPES)
    found = read_keys(SOMEWHERE, text.encode()).find(token)
    assert (found.name, found.scopes) == ("alice", set(SCOPES))
    assert token not in text
    assert token != new_key("alice", SCOPES)[0]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "é", "a\n", "x" * 65, "[a]"])
def test_a_key_needs_a_name_that_is_safe_everywhere(name: str) -> None:
    with pytest.raises(ValueError, match="a name is 1 to 64"):
        new_key(name, ["read"])


@pytest.mark.parametrize("scopes", [[], [""], ["read", "write"]])
def test_a_key_needs_scopes_that_there_are(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="expected some of predict, read, metrics, admin"):
        new_key("alice", scopes)


def test_a_key_is_added_behind_what_stands_there_as_it_stands(path) -> None:
    path.write_text("# ours\n" + path.read_text().rstrip("\n"))
    path.chmod(0o640)
    before = path.read_text()
    token, text = new_key("carol", ["metrics"])
    append_key(path, "carol", text)
    assert path.read_text() == before + "\n\n" + text
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert KeyFile(path).ring.find(token).name == "carol"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_not_there_is_made(tmp_path) -> None:
    _, text = new_key("carol", ["metrics"])
    append_key(tmp_path / "new.toml", "carol", text)
    assert (tmp_path / "new.toml").read_text() == text


def test_a_link_to_a_file_stays_one(path, tmp_path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    append_key(link, "carol", new_key("carol", ["read"])[1])
    assert link.is_symlink()
    assert len(KeyFile(path).ring.keys) == 3


def test_a_name_that_is_there_and_a_file_that_is_wrong_are_left_as_they_are(path) -> None:
    before = path.read_text()
    with pytest.raises(InvalidKeyFile, match=r"\[alice\] is there already"):
        append_key(path, "alice", new_key("alice", ["read"])[1])
    assert path.read_text() == before
    path.write_text("[carol")
    with pytest.raises(InvalidKeyFile, match="it is not TOML"):
        append_key(path, "alice", new_key("alice", ["read"])[1])
    assert path.read_text() == "[carol"


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InvalidKeyFile, match="its folder can't be used: No such file"):
        append_key(tmp_path / "none" / "keys.toml", "alice", new_key("alice", ["read"])[1])


def test_of_many_who_add_keys_at_once_nobody_loses_one(path) -> None:
    def add(number: int) -> str:
        token, text = new_key(f"k{number}", ["read"])
        append_key(path, f"k{number}", text)
        return token

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(add, range(40)))
    ring = KeyFile(path).ring
    assert [ring.find(token).name for token in tokens] == [f"k{i}" for i in range(40)]
