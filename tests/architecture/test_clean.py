"""What may never stand in the repository."""

from __future__ import annotations

import re
from pathlib import Path

FORBIDDEN = {
    "a package index's host": r"(files\.)?python" r"hosted\.org|pypi" r"\.org|deb\.debian" r"\.org",
    "a path of one machine": r"/(work|root|home)" r"/[a-z]",
    "a note to do later": r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b",
}


def test_no_file_holds_what_it_may_not(repository: Path, checkout: list[Path]) -> None:
    for name in checkout:
        if name.suffix in (".onnx", ".png", ".webp") or not (repository / name).is_file():
            continue
        text = (repository / name).read_text("utf-8")
        for what, pattern in FORBIDDEN.items():
            found = re.search(pattern, text)
            assert not found, f"{name} holds {what}: {found and found.group()}"
