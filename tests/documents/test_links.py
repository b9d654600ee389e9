"""Every relative link in the documents leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")

HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    names = HEADING.findall(FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def test_links_lead_somewhere(repository: Path, checkout: list[Path]) -> None:
    broken = []
    for name in checkout:
        if name.suffix != ".md":
            continue
        page = repository / name
        for groups in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
            target, _, anchor = (groups[0] or groups[1]).partition("#")
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            path = (page.parent / target).resolve() if target else page
            if not path.exists():
                broken.append(f"{name}: {target}")
            elif anchor and anchor not in anchors(path.read_text("utf-8")):
                broken.append(f"{name}: {target}#{anchor}")
    assert not broken, broken
