"""Builds the documentation site into build/site: `python docs/site.py`, or `make site`. Needs the extra `site`.

The pages are those of docs/ and the README. They are staged into build/site-pages, because the site has no source code:
a link to a file of the repository becomes its path as text there, and a link to a page becomes one to the staged page.
The schema's page is made from schema.cql. llms.txt lists every page with one line, and llms-full.txt has all of them.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
BUILD: Final = ROOT / "build"
LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
PLACES: Final = {
    ROOT / "README.md": "index.md",
    DOCS / "README.md": "pages.md",
    ROOT / "findings/README.md": "findings.md",
}
"""Pages whose staged name is another one."""
FILES: Final = (
    ROOT / "sut/services/api/openapi.json", ROOT / "sut/protocol/asyncapi.json", DOCS / "exchange.schema.json",
)  # fmt: skip
"""Files that the site offers beside its pages."""
SCHEMA: Final = ROOT / "sut/adapters/cassandra/schema.cql"
TABLE: Final = re.compile(r"((?:^--.*\n)*)(CREATE TABLE IF NOT EXISTS (\w+)(?:.|\n)*?;.*\n)", re.MULTILINE)


def staged() -> dict[Path, str]:
    """Return the pages: file of the repository -> its name in the site."""
    pages = {path: path.name for path in sorted(DOCS.glob("*.md"))}
    return pages | PLACES


def page(path: Path, text: str) -> str:
    """Return the text of a page with its links as the site has them."""
    places = staged() | {path: path.name for path in FILES} | {path: f"pictures/{path.name}" for path in pictures()}

    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        name, _, anchor = target.partition("#")
        if not name or "://" in target or target.startswith("mailto:"):
            return found[0]
        place = places.get((path.parent / name).resolve())
        if place is None:
            return words
        return f"{mark}[{words}]({place}{'#' + anchor if anchor else ''})"

    return LINK.sub(link, text)


def pictures() -> list[Path]:
    """Return the pictures of the pages."""
    return sorted((DOCS / "pictures").glob("*.png"))


def schema() -> str:
    """Return the page of the store's tables, from the file that creates them."""
    text = SCHEMA.read_text(encoding="utf-8")
    parts = [
        "# Schema\n",
        "The tables of the store on Cassandra, as `schema.cql` creates them. SQLite has the same rows.\n",
    ]
    for comment, statement, name in TABLE.findall(text):
        said = "\n".join(line.removeprefix("--").strip() for line in comment.splitlines())
        parts.append(f"## {name}\n\n{said}\n\n```sql\n{statement}```\n")
    return "\n".join(parts)


def summaries() -> list[tuple[str, str]]:
    """Return name and line of each page that docs/README.md lists, in its order."""
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^\]]+\]\(([\w.-]+\.md)\): (.+)$", text, re.MULTILINE)
    return [
        *listed,
        ("schema.md", "the tables of the store."),
        ("findings.md", "surprising behaviour of public libraries."),
    ]


def llms(pages: dict[str, str]) -> tuple[str, str]:
    """Return llms.txt, and all pages in one text."""
    (lead,) = re.findall(r"^site_description: (.*)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    titles = {name: text.splitlines()[0].lstrip("# ") for name, text in pages.items()}
    lines = [f"- [{titles[name]}]({Path(name).with_suffix('.html')}): {line}" for name, line in summaries()]
    short = "\n".join(["# Stormpetrel", "", f"> {lead}", "", "## Pages", "", *lines, ""])
    full = "\n\n".join(f"<!-- {name} -->\n{text}" for name, text in pages.items())
    return short, full


def stage(target: Path) -> None:
    """Write the pages into a directory, anew."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "pictures").mkdir(parents=True)
    for path in pictures():
        shutil.copy(path, target / "pictures")
    for path in FILES:
        shutil.copy(path, target)
    pages = {name: page(path, path.read_text(encoding="utf-8")) for path, name in staged().items()}
    pages["schema.md"] = schema()
    for name, text in pages.items():
        (target / name).write_text(text, encoding="utf-8")
    for name, text in zip(("llms.txt", "llms-full.txt"), llms(pages), strict=True):
        (target / name).write_text(text, encoding="utf-8")


def unlisted(menu: str) -> list[str]:
    """Return the pages that the menu of mkdocs.yml does not name: a new page is on the site all the same."""
    return [name for name in staged().values() if f" {name}\n" not in menu]


def build(directory: Path = BUILD) -> Path:
    """Stage and build the site in `directory`; returns that of the site. Raises an error of mkdocs for any warning."""
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    pages = directory / "site-pages"
    stage(pages)
    config = load_config(str(DOCS / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(directory / "site"))
    if rest := unlisted((DOCS / "mkdocs.yml").read_text(encoding="utf-8")):
        config.nav = [*(config.nav or []), {"More": rest}]
    config.plugins.on_startup(command="build", dirty=False)
    mkdocs_build(config)
    config.plugins.on_shutdown()
    return Path(config.site_dir)


def main() -> int:
    """Build, and print where the site is. Returns 64 if the extra `site` is not installed."""
    try:
        import mkdocs  # noqa: F401
    except ModuleNotFoundError:
        print("mkdocs is not installed: .venv/bin/pip install -e '.[site]'", file=sys.stderr)  # noqa: T201
        return 64
    print(build() / "index.html")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
