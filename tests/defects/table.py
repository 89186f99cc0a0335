"""Make the table of found defects from the folders beside this file.

    python tests/defects/table.py

Each folder is one defect. Its README.md begins with YAML between two lines `---`: title, found_by, check, test, and
where it applies fixed_in and why_no_run. A test is a file, or one function of it: `tests/x/test_y.py::test_z`. The
table goes to docs/defects.md. Its first rows go to README.md, between the lines `<!-- defects -->` and
`<!-- /defects -->`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs/defects.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- defects -->", "<!-- /defects -->"
REQUIRED = {"title", "found_by", "check", "test"}
OPTIONAL = {"fixed_in", "why_no_run"}
README_ROWS = 14
HEAD = """\
# Defects found in the chat system

The harness, its fuzzers and attacks found these. Each row is a folder in `tests/defects/`, which says what was wrong,
how it showed, and what holds now. `python tests/defects/table.py` makes this page.

A check in the last column says `invalid` in a run with the old piece, and not in a run without it. Where the folder has
`trigger.py`, both runs have its conditions. To see one:

```sh
petrel run tests/defects/tls_ended_push/experiment.yaml --variant tests.defects.tls_ended_push.old_piece
```

`make test-defects` makes both runs of each. Where the column names a test instead, no run shows the defect. The folder
says why.

"""


class BadFolder(Exception):
    """The README.md of a folder has not the form that the table needs; the text names the folder."""


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One folder."""

    folder: Path
    title: str
    found_by: str
    check: str
    """Name of the check that says invalid with the old piece; "" where no run can show the defect."""
    tests: tuple[str, ...]
    """Regression tests, as paths from the root; behind "::" the one function of the file."""
    fixed_in: str
    why_no_run: str
    text: str

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def old_piece(self) -> str | None:
        """Dotted path of the old piece as a variant."""
        return self._module("old_piece")

    @property
    def trigger(self) -> str | None:
        """Dotted path of the variant that makes the conditions alone; None: the experiment's faults are enough."""
        return self._module("trigger")

    @property
    def experiment(self) -> Path | None:
        """The experiment that shows the defect, where a run can."""
        path = self.folder / "experiment.yaml"
        return path if path.is_file() else None

    def _module(self, name: str) -> str | None:
        return f"tests.defects.{self.name}.{name}" if (self.folder / f"{name}.py").is_file() else None


def read(folder: Path) -> Defect:
    """Return the defect of a folder. Raises BadFolder."""
    path = folder / "README.md"
    if not path.is_file():
        raise BadFolder(f"{folder.name}: there is no README.md")
    begin, front, text = [*path.read_text(encoding="utf-8").split("---\n", 2), "", ""][:3]
    try:
        fields = yaml.safe_load(front)
    except yaml.YAMLError as error:
        raise BadFolder(f"{folder.name}: README.md: {error}") from None
    if begin or not isinstance(fields, dict):
        raise BadFolder(f"{folder.name}: README.md must begin with YAML between two lines ---")
    if missing := sorted(REQUIRED - fields.keys()):
        raise BadFolder(f"{folder.name}: README.md has no {', '.join(missing)}")
    if unknown := sorted(fields.keys() - REQUIRED - OPTIONAL):
        raise BadFolder(f"{folder.name}: README.md: unknown field {', '.join(unknown)}")
    said = {name: _text(fields.get(name)) for name in REQUIRED | OPTIONAL}
    tests = tuple(one.strip() for one in said.pop("test").split(",") if one.strip())
    return Defect(folder=folder, tests=tests, text=text.strip(), **said)


def _text(value: object) -> str:
    """Return a field as text; a list, as YAML may have it, with commas."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def defects() -> list[Defect]:
    """Return all, by title. Raises BadFolder."""
    folders = [path for path in HERE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))]
    return sorted((read(folder) for folder in folders), key=lambda defect: defect.title)


def table(found: list[Defect], *, base: str) -> str:
    """Return the table in Markdown. `base`: where links from the page to the root begin, such as "../"."""
    rows = ["| Defect | Found by | Check or test |", "|---|---|---|"]
    for defect in found:
        title = f"[{defect.title}]({base}tests/defects/{defect.name}/README.md)"
        rows.append(f"| {title} | {defect.found_by} | {_shown_by(defect, base)} |")
    return "\n".join(rows) + "\n"


def _shown_by(defect: Defect, base: str) -> str:
    if defect.check and defect.experiment:
        return f"`{defect.check}`"
    files = [test.partition("::")[0] for test in defect.tests]
    links = [f"[{Path(file).name}]({base}{file})" for file in files]
    if (defect.folder / "test_old_piece.py").is_file():
        links.insert(0, f"[old piece]({base}tests/defects/{defect.name}/test_old_piece.py)")
    return ", ".join(links)


def page() -> str:
    """Return docs/defects.md as it should be. Raises BadFolder."""
    return HEAD + table(defects(), base="../")


def short_table(found: list[Defect]) -> str:
    """Return the table of README.md: README_ROWS rows without links, those that a check shows first."""
    first = sorted(found, key=lambda defect: not (defect.check and defect.experiment))[:README_ROWS]
    rows = ["| defect | found by | check |", "|---|---|---|", *map(short_row, first)]
    return "\n".join(rows) + f"\n\nAll {len(found)} are in [docs/defects.md](docs/defects.md).\n"


def short_row(defect: Defect) -> str:
    """Return the row of README.md."""
    check = f"`{defect.check}`" if defect.check and defect.experiment else "a test"
    return f"| {defect.title} | {defect.found_by} | {check} |"


def readme(text: str) -> str:
    """Return README.md with the table between its marks; without marks, as it is. Raises BadFolder."""
    before, begin, rest = text.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        return text
    return f"{before}{begin}{short_table(defects())}{end}{after}"


def main() -> None:
    """Write the page, and the part of README.md."""
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
