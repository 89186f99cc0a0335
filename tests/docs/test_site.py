"""The documentation site: builds without a warning, no link of it is broken, and nothing is loaded from elsewhere."""

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT


def script() -> ModuleType:
    """docs/site.py, which is no package."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "docs/site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE = script()


class Page(HTMLParser):
    """The links, resources and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.anchors |= {named[key] for key in ("id", "name") if key in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        if tag in ("link", "script", "img", "iframe", "source") and named.get("rel") not in (
            "canonical",
            "next",
            "prev",
        ):
            self.loaded += [named[key] for key in ("href", "src") if key in named]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages of the site, built."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: pip install -e '.[site]'")
    directory = SITE.build(tmp_path_factory.mktemp("site"))
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(directory.rglob("*.html"))}


def test_every_page_is_there(built: dict[Path, Page]) -> None:
    names = {path.name for path in built}
    assert {Path(name).with_suffix(".html").name for name in SITE.staged().values()} | {"schema.html"} <= names


def broken(built: dict[Path, Page]) -> list[str]:
    """One line for each link or resource that leads nowhere."""
    found = []
    for path, page in built.items():
        for target in [*page.links, *page.loaded]:
            name, _, anchor = target.partition("#")
            if name.startswith(("https://", "mailto:", "data:")):
                continue
            other = (path.parent / unquote(name)).resolve() if name else path
            other = other / "index.html" if other.is_dir() else other
            if path.name == "404.html" or target == "#":
                continue
            lacks = (
                anchor and other.suffix == ".html" and other.exists() and unquote(anchor) not in built[other].anchors
            )
            if lacks or not other.exists():
                found.append(f"{path.name}: {target}")
    return found


def test_no_link_is_broken(built: dict[Path, Page]) -> None:
    assert not broken(built)
    path = next(path for path in built if path.name == "index.html")
    planted = broken({**built, path: Page('<a href="nowhere.html">x</a><a href="#nowhere">x</a>')})
    assert {"index.html: nowhere.html", "index.html: #nowhere"} <= set(planted)


def test_nothing_is_loaded_from_elsewhere(built: dict[Path, Page]) -> None:
    assert not [
        (path.name, target)
        for path, page in built.items()
        for target in page.loaded
        if target.startswith(("http", "//")) and "rel=canonical" not in target
    ]
    for path in next(iter(built)).parent.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", path.read_text(encoding="utf-8")), path


def test_llms_txt_lists_the_pages(built: dict[Path, Page]) -> None:
    directory = next(path.parent for path in built if path.name == "capacity.html")
    text = (directory / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# Stormpetrel\n\n> A chat system")
    for name in re.findall(r"\]\(([^)]+)\)", text):
        assert (directory / name).exists()
    assert "# Capacity" in (directory / "llms-full.txt").read_text(encoding="utf-8")


def test_a_link_to_source_becomes_text_and_one_to_a_page_stays() -> None:
    readme = ROOT / "README.md"
    assert SITE.page(readme, "[a](sut/x.py) [b](docs/system.md#x) ![c](docs/pictures/live.png)") == (
        "a [b](system.md#x) ![c](pictures/live.png)"
    )
    assert (
        SITE.page(ROOT / "docs/x.md", "[a](../findings/README.md) [b](README.md)") == "[a](findings.md) [b](pages.md)"
    )


def test_the_schema_has_every_table() -> None:
    text = SITE.schema()
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SITE.SCHEMA.read_text(encoding="utf-8"))
    assert len(tables) > 5
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == tables


def test_the_menu_names_pages_that_are_there_and_others_are_added() -> None:
    menu = (ROOT / "docs/mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w.-]+\.md)$", menu, re.MULTILINE))
    assert named <= {*SITE.staged().values(), "schema.md"}
    assert {*SITE.unlisted(menu.replace(" capacity.md\n", " x.md\n"))} == {*SITE.unlisted(menu), "capacity.md"}
