"""Every link in README and docs leads to a file and a heading that are there. Nothing is fetched."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links


def broken(path: Path, text: str) -> list[str]:
    """One line for each link of a page that leads nowhere."""
    found = []
    for line, target in links(text):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        if other != path and not (other.is_relative_to(ROOT) and other.exists()):
            found.append(f"{path.relative_to(ROOT)}:{line}: {target}: no such file")
        elif anchor and (other.suffix != ".md" or anchor not in anchors(text if other == path else other.read_text())):
            found.append(f"{path.relative_to(ROOT)}:{line}: {target}: no such heading")
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert not broken(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](nowhere.md)", "nowhere.md: no such file"),
        ("![a](pictures/nowhere.png)", "no such file"),
        ("[a](../../outside.md)", "no such file"),
        ("# Here\n[a](#there)", "#there: no such heading"),
        ("[a](architecture.md#nowhere)", "no such heading"),
        ("[a\nb](nowhere.md)", "nowhere.md: no such file"),
    ],
)
def test_a_broken_link_is_found(text: str, expected: str) -> None:
    (line,) = broken(ROOT / "docs/x.md", text)
    assert line.endswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "# A `b` c, d\n[a](#a-b-c-d)",
        "# Twice\n# Twice\n[a](#twice-1)",
        "[a](architecture.md#profiles)",
        "`[a](nowhere.md)`",
        "```\n[a](nowhere.md)\n```",
        "[a](https://example.com/x)",
    ],
)
def test_a_good_link_is_not(text: str) -> None:
    assert not broken(ROOT / "docs/x.md", text)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        ahead += [(path.parent / target.partition("#")[0]).resolve() for _, target in links(path.read_text())
                  if not target.startswith(("https://", "mailto:", "#"))]  # fmt: skip
    assert not sorted(path.name for path in set(PAGES) - reached)


def test_the_index_has_a_line_for_each_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    listed = [target for line in index.splitlines() if line.startswith("- ") for _, target in links(line)]
    assert sorted(name for name in listed if "/" not in name) == sorted(
        path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"
    )
