from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pigeonhole.trainer.errors import ExportError
from pigeonhole.trainer.export.publish import (
    FILE,
    NAME,
    check_writable,
    name_from_file,
    publish,
)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("table.csv", "table"),
        ("data/2024/table.csv", "table"),
        ("table.csv.gz", "table"),
        ("table.parquet", "table"),
        ("table", "table"),
        ("My Table (final).csv", "my-table-final"),
        ("sales.2024-05.csv", "sales.2024-05"),
        (".hidden.csv", "hidden"),
        ("..csv", "csv"),
        ("_table_.csv", "table"),
        ("Größe Ångström.csv", "grosse-angstrom"),
        ("売上 sales.csv", "sales"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER A}1.csv", "a1"),
        ("x" * 300 + ".csv", "x" * 100),
        ("x" * 99 + " y.csv", "x" * 99),
        ("---.csv", ""),
        ("売上.csv", ""),
        ("", ""),
    ],
)
def test_name_from_a_file_is_a_valid_model_name(file: str, name: str) -> None:
    assert name_from_file(file) == name
    assert not name or NAME.fullmatch(name)


def test_versions_count_from_one(tmp_path: Path) -> None:
    paths = [publish(content, tmp_path / "models", "m") for content in (b"a", b"b", b"c")]
    assert paths == [tmp_path / "models" / "m" / str(n) / FILE for n in (1, 2, 3)]
    assert [path.read_bytes() for path in paths] == [b"a", b"b", b"c"]


def test_versions_are_compared_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "m" / "9").mkdir(parents=True)
    assert publish(b"a", tmp_path, "m").parent.name == "10"
    assert publish(b"b", tmp_path, "m").parent.name == "11"


def test_same_bytes_again_give_the_same_version(tmp_path: Path) -> None:
    first = publish(b"a", tmp_path, "m")
    assert publish(b"a", tmp_path, "m") == first
    assert names(tmp_path / "m") == {"1"}


def test_missing_extra_files_are_added_to_the_same_version(tmp_path: Path) -> None:
    path = publish(b"a", tmp_path, "m")
    publish(b"a", tmp_path, "m", {"report.html": b"new"})
    publish(b"a", tmp_path, "m", {"report.html": b"newer"})
    assert names(path.parent) == {FILE, f"{FILE}.sha256", "report.html"}
    assert path.with_name("report.html").read_bytes() == b"new"


def test_bytes_of_an_older_version_give_a_new_version(tmp_path: Path) -> None:
    for content in (b"a", b"b"):
        publish(content, tmp_path, "m")
    assert publish(b"a", tmp_path, "m").parent.name == "3"


def test_each_model_has_its_own_version_numbers(tmp_path: Path) -> None:
    publish(b"a", tmp_path, "one")
    assert publish(b"b", tmp_path, "two").parent.name == "1"


def test_version_holds_file_and_digest_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = publish(b"content", tmp_path, "m")
    assert names(tmp_path / "m") == {"1"}
    assert names(path.parent) == {FILE, f"{FILE}.sha256"}


def test_sha256sum_accepts_the_digest(tmp_path: Path) -> None:
    path = publish(b"content", tmp_path, "m")
    digest = path.with_name(f"{FILE}.sha256")
    assert digest.read_text() == f"{hashlib.sha256(b'content').hexdigest()}  {FILE}\n"
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", digest.name],
        cwd=path.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stdout) == (0, f"{FILE}: OK\n")


def test_version_is_readable_by_all_users_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = publish(b"content", tmp_path, "m")
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o755
    assert mode(path) == mode(path.with_name(f"{FILE}.sha256")) == 0o644


def test_leftovers_of_a_killed_run_are_ignored(tmp_path: Path) -> None:
    left = tmp_path / "m" / ".new-abc"
    left.mkdir(parents=True)
    (left / FILE).write_bytes(b"half")
    assert publish(b"complete", tmp_path, "m").parent.name == "1"
    assert names(tmp_path / "m") == {"1", ".new-abc"}


def test_folders_that_are_not_versions_are_ignored(tmp_path: Path) -> None:
    for other in ("0", "007", "latest", "-1", "²", "1.5"):
        (tmp_path / "m" / other).mkdir(parents=True)
    (tmp_path / "m" / "serving.toml").touch()
    assert publish(b"a", tmp_path, "m").parent.name == "1"


def test_version_without_a_model_file_is_not_reused(tmp_path: Path) -> None:
    (tmp_path / "m" / "4").mkdir(parents=True)
    (tmp_path / "m" / "4" / "report.html").touch()
    assert publish(b"a", tmp_path, "m").parent.name == "5"


def test_folder_that_can_not_be_created_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ExportError, match="can't be written: "):
        publish(b"a", tmp_path / "models", "m")
    assert (tmp_path / "models").read_text() == "a file"


def test_read_only_folder_is_rejected(unprivileged: Path) -> None:
    unprivileged.chmod(0o555)
    with pytest.raises(ExportError, match="can't be written: Permission denied"):
        publish(b"a", unprivileged, "m")
    assert names(unprivileged) == set()


def test_check_before_the_fit_rejects_folders_that_can_not_be_written(
    unprivileged: Path,
) -> None:
    check_writable(unprivileged / "models", "m")
    (unprivileged / "file").write_text("")
    with pytest.raises(ExportError, match="file is not a folder"):
        check_writable(unprivileged / "file", "m")
    unprivileged.chmod(0o555)
    with pytest.raises(ExportError, match="Permission denied in"):
        check_writable(unprivileged / "models", "m")
    assert names(unprivileged) == {"file"}


def test_full_disk_leaves_no_files(tmp_path: Path) -> None:
    # A file size limit fails the write half way, as a full disk does.
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from pigeonhole.trainer.errors import ExportError\n"
        "from pigeonhole.trainer.export.publish import publish\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    publish(b'x' * 5000, Path(sys.argv[1]), 'm')\n"
        "except ExportError as error:\n"
        "    print(error)\n"
    )
    run = python(script, tmp_path)
    assert run == f"{tmp_path / 'm'} can't be written: File too large\n"
    assert names(tmp_path / "m") == set()


def python(script: str, *arguments: object) -> str:
    with start_python(script, *arguments) as process:
        output = process.communicate()[0]
    assert process.returncode == 0
    return output


def start_python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python process."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_concurrent_runs_get_different_versions(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pigeonhole.trainer.export.publish import publish\n"
        "for number in range(10):\n"
        "    content = f'{sys.argv[2]} {number}'.encode()\n"
        "    print(publish(content, Path(sys.argv[1]), 'm'))\n"
    )
    publishers = [start_python(script, tmp_path, number) for number in range(3)]
    published = [process.communicate()[0].splitlines() for process in publishers]
    assert sorted(int(Path(path).parent.name) for each in published for path in each) == list(
        range(1, 31)
    )
    assert names(tmp_path / "m") == {str(version) for version in range(1, 31)}
    for publisher, paths in enumerate(published):
        for number, path in enumerate(paths):
            assert Path(path).read_text() == f"{publisher} {number}"
