"""Texts for people avoid words that make a reader stop: see the rules in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

AVOIDED = {
    "anew": "again",
    "whoever": "name the actor: the client, the caller",
    "whatever it is": "name the thing",
    "that there (is|are)": "leave it out",
    "(?<!there )(is|are|was|were) no (?!longer|more |later|less|greater|sooner)": "is not a",
    "but for": "except",
    ", for (it|they|he|she|there|nobody|what|which) ": "because",
    "nobody": "name the actor: no client, no worker",
    "one that (is|has|was)": "repeat the noun",
    "those that (are|have|were)": "repeat the noun",
    "(is|are|was|were) told(?! to)": "receives, reports, logs",
}
"""Regular expressions, each with what to write instead."""

PATTERN = re.compile(
    "|".join(
        rf"(?P<_{i}>\b{words})" if words[0] != "," else rf"(?P<_{i}>{words})"
        for i, words in enumerate(AVOIDED)
    ),
    re.IGNORECASE,
)

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file that people read, each with its line."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        yield from python_texts(text)
    else:
        yield 1, CODE.sub(lambda found: "\n" * found[0].count("\n"), text)


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield string literals (docstrings, messages, help) and comments with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, CODE.sub("", node.value)
    for number, line in enumerate(source.splitlines(), 1):
        if (found := re.search(r"(?:^|\s)# (.*)", line)) and "noqa" not in found[1]:
            yield number, found[1]


def problems(path: Path) -> list[str]:
    found = []
    for line, text in prose(path):
        for match in PATTERN.finditer(text.replace("\n", " ")):
            words = list(AVOIDED)[int(str(match.lastgroup)[1:])] if match.lastgroup else ""
            found.append(f"{path.name}:{line}: {match[0].strip()!r}; write: {AVOIDED[words]}")
    return found


def texts(repository: Path, checkout: list[Path]) -> list[Path]:
    """Return the files whose texts users and contributors read."""
    kept = []
    for name in checkout:
        top = name.parts[0]
        is_document = name.suffix == ".md" and top != "benchmarks"
        is_code = name.suffix == ".py" and top in ("service", "trainer", "pigeonhole", "deploy")
        is_page = name.suffix == ".html" and top in ("service", "trainer")
        is_alert = name.suffix in (".yml", ".yaml") and top == "deploy"
        if is_document or is_code or is_page or is_alert:
            kept.append(repository / name)
    return kept


def test_texts_use_plain_words(repository: Path, checkout: list[Path]) -> None:
    found = [problem for path in texts(repository, checkout) for problem in problems(path)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "The map is made anew.",
        "This is no number.",
        "All but for one.",
        "It waits, for it has no keys.",
        "Whoever asks is told so.",
    ],
)
def test_avoided_words_are_found(tmp_path: Path, sentence: str) -> None:
    (tmp_path / "page.md").write_text(sentence)
    assert problems(tmp_path / "page.md")


def test_code_in_documents_is_not_prose(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "Send `is no ` here.\n```\nanew\n```\nThat is no longer so.\n"
    )
    assert not problems(tmp_path / "page.md")
