from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pigeonhole.trainer.errors import ExportError
from pigeonhole.trainer.export.publish import FILE, check_writable, publish


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_versions_count_up_from_one(tmp_path: Path) -> None:
    paths = [publish(content, tmp_path / "models", "m") for content in (b"a", b"b", b"c")]
    assert paths == [tmp_path / "models" / "m" / str(n) / FILE for n in (1, 2, 3)]
    assert [path.read_bytes() for path in paths] == [b"a", b"b", b"c"]


def test_the_number_after_nine_is_ten_and_after_ten_eleven(tmp_path: Path) -> None:
    (tmp_path / "m" / "9").mkdir(parents=True)
    assert publish(b"a", tmp_path, "m").parent.name == "10"
    assert publish(b"b", tmp_path, "m").parent.name == "11"


def test_the_same_file_again_is_the_same_version(tmp_path: Path) -> None:
    first = publish(b"a", tmp_path, "m")
    assert publish(b"a", tmp_path, "m") == first
    assert names(tmp_path / "m") == {"1"}


def test_what_the_same_version_lacks_is_written_beside_it(tmp_path: Path) -> None:
    path = publish(b"a", tmp_path, "m")
    publish(b"a", tmp_path, "m", {"report.html": b"new"})
    publish(b"a", tmp_path, "m", {"report.html": b"newer"})
    assert names(path.parent) == {FILE, f"{FILE}.sha256", "report.html"}
    assert path.with_name("report.html").read_bytes() == b"new"


def test_going_back_to_an_older_file_is_a_new_version(tmp_path: Path) -> None:
    for content in (b"a", b"b"):
        publish(content, tmp_path, "m")
    assert publish(b"a", tmp_path, "m").parent.name == "3"


def test_models_do_not_share_their_numbers(tmp_path: Path) -> None:
    publish(b"a", tmp_path, "one")
    assert publish(b"b", tmp_path, "two").parent.name == "1"


def test_a_version_is_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = publish(b"content", tmp_path, "m")
    assert names(tmp_path / "m") == {"1"}
    assert names(path.parent) == {FILE, f"{FILE}.sha256"}


def test_the_digest_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
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


def test_everybody_may_read_a_version_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = publish(b"content", tmp_path, "m")
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o755
    assert mode(path) == mode(path.with_name(f"{FILE}.sha256")) == 0o644


def test_what_a_killed_publisher_left_is_passed_over(tmp_path: Path) -> None:
    left = tmp_path / "m" / ".new-abc"
    left.mkdir(parents=True)
    (left / FILE).write_bytes(b"half")
    assert publish(b"whole", tmp_path, "m").parent.name == "1"
    assert names(tmp_path / "m") == {"1", ".new-abc"}


def test_folders_that_are_no_versions_are_passed_over(tmp_path: Path) -> None:
    for other in ("0", "007", "latest", "-1", "²", "1.5"):
        (tmp_path / "m" / other).mkdir(parents=True)
    (tmp_path / "m" / "serving.toml").touch()
    assert publish(b"a", tmp_path, "m").parent.name == "1"


def test_a_version_without_a_file_is_not_taken_for_the_same(tmp_path: Path) -> None:
    (tmp_path / "m" / "4").mkdir(parents=True)
    (tmp_path / "m" / "4" / "report.html").touch()
    assert publish(b"a", tmp_path, "m").parent.name == "5"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ExportError, match="can't be written: "):
        publish(b"a", tmp_path / "models", "m")
    assert (tmp_path / "models").read_text() == "a file"


def test_a_folder_that_may_not_be_written_is_refused(unprivileged: Path) -> None:
    unprivileged.chmod(0o555)
    with pytest.raises(ExportError, match="can't be written: Permission denied"):
        publish(b"a", unprivileged, "m")
    assert names(unprivileged) == set()


def test_a_folder_that_could_not_be_written_is_told_before_there_is_anything_to_lose(
    unprivileged: Path,
) -> None:
    check_writable(unprivileged / "models", "m")
    (unprivileged / "file").write_text("")
    with pytest.raises(ExportError, match="file is no folder"):
        check_writable(unprivileged / "file", "m")
    unprivileged.chmod(0o555)
    with pytest.raises(ExportError, match="Permission denied in"):
        check_writable(unprivileged / "models", "m")
    assert names(unprivileged) == {"file"}


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files ends the write half way, as a full disk would.
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
    with started(script, *arguments) as process:
        output = process.communicate()[0]
    assert process.returncode == 0
    return output


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_publishers_at_the_same_time_get_versions_of_their_own(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pigeonhole.trainer.export.publish import publish\n"
        "for number in range(10):\n"
        "    content = f'{sys.argv[2]} {number}'.encode()\n"
        "    print(publish(content, Path(sys.argv[1]), 'm'))\n"
    )
    publishers = [started(script, tmp_path, number) for number in range(3)]
    published = [process.communicate()[0].splitlines() for process in publishers]
    assert sorted(int(Path(path).parent.name) for each in published for path in each) == list(
        range(1, 31)
    )
    assert names(tmp_path / "m") == {str(version) for version in range(1, 31)}
    for publisher, paths in enumerate(published):
        for number, path in enumerate(paths):
            assert Path(path).read_text() == f"{publisher} {number}"
