"""The contrast of the page's colors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SERIES = [f"series-{number}" for number in range(1, 7)]


def schemes(repository: Path) -> dict[str, dict[str, str]]:
    """Return the variables of each color scheme."""
    css = (repository / "trainer" / "report" / "report.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    names = ("light", "dark", "print")
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", block)) for block in blocks]
    return dict(zip(names, found, strict=True))


def rgb(color: str) -> list[float]:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    return [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]


def luminance(color: list[float]) -> float:
    """Return the relative luminance by WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_text_has_enough_contrast_to_its_background(repository: Path, scheme: str) -> None:
    colors = {name: rgb(color) for name, color in schemes(repository)[scheme].items()}
    for text in ("ink", "quiet", "accent"):
        for background in ("paper", "card"):
            assert contrast(colors[text], colors[background]) >= 4.5, (text, background)
    for background in ("right", "wrong"):
        assert contrast(colors["ink"], colors[background]) >= 4.5, background


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_marks_have_enough_contrast_to_the_card(repository: Path, scheme: str) -> None:
    colors = {name: rgb(color) for name, color in schemes(repository)[scheme].items()}
    for mark in (*SERIES, "bad", "quiet"):
        assert contrast(colors[mark], colors["card"]) >= 3, mark


def test_every_scheme_has_the_same_variables(repository: Path) -> None:
    light, dark, printed = (set(colors) for colors in schemes(repository).values())
    assert light == dark == printed
