"""Text on the page is readable in light, dark and on paper: WCAG AA contrast, computed from the style sheet itself."""

import re
from importlib.resources import files

import pytest

CSS = files("dashboards.report").joinpath("templates", "report.css").read_text()
TEXT_ON = [
    ("ink", "card"), ("ink", "page"), ("soft", "card"), ("soft", "page"), ("link", "card"), ("ink", "code"),
    ("good", "good-bg"), ("bad", "bad-bg"), ("open", "open-bg"), ("ink", "good-bg"), ("ink", "bad-bg"),
    ("ink", "open-bg"), ("rule", "card"),
    ("ink", "hop-even"), ("ink", "hop-odd"),
]  # fmt: skip
DRAWN_ON = [("line-1", "card"), ("line-2", "card"), ("line-3", "card"), ("rule", "card")]


def palettes() -> dict[str, dict[str, str]]:
    """Colour variables by medium; each block of :root in the order light, dark, paper."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})\b", block)) for block in blocks]
    return dict(zip(("light", "dark", "paper"), found, strict=True))


def luminance(colour: str) -> float:
    digits = colour[1:]
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_the_standards() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("medium", ["light", "dark", "paper"])
def test_text_has_contrast(medium: str) -> None:
    palette = palettes()[medium]
    weak = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in TEXT_ON}
    assert {pair: round(ratio, 2) for pair, ratio in weak.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("medium", ["light", "dark", "paper"])
def test_lines_stand_out(medium: str) -> None:
    palette = palettes()[medium]
    weak = {pair: contrast(palette[pair[0]], palette[pair[1]]) for pair in DRAWN_ON}
    assert {pair: round(ratio, 2) for pair, ratio in weak.items() if ratio < 3} == {}
