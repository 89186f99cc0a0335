"""`petrel antipatterns`: wrong choices beside the right ones, both running, measured in one go."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli.command import as_json, command, out
from chaos.cli.say import note, print_json
from chaos.errors import VALID

if TYPE_CHECKING:
    from chaos.bench.antipatterns.pattern import Result
    from chaos.screen.sheets import Table

PAGE: Final = "antipatterns.html"


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--only", action="append", default=[], metavar="NAME", help="only this one; may be repeated")


@command("antipatterns", "measure wrong choices beside the right ones: 12 pairs, minutes", _options, out, as_json)
def antipatterns(options: argparse.Namespace) -> int:
    """Measure, print a table, and write antipatterns.json and a page into a directory."""
    import msgspec

    from chaos.bench.antipatterns import catalogue
    from chaos.run import rundir

    patterns = catalogue.chosen(options.only)
    directory = rundir.make(options.out or rundir.default_path("antipatterns", os.getpid())).path
    results = catalogue.measure_all(patterns, directory, note)
    told = [msgspec.to_builtins(one) | {"verdict": one.verdict} for one in results]
    (directory / "antipatterns.json").write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    page = _page(directory / PAGE, results)
    if options.json:
        return print_json({"antipatterns": told, "page": str(page)})
    _print(results)
    note(f"table and plots in {page}")
    return VALID


def table(results: Sequence[Result]) -> Table:
    """Return a row a figure: what was measured of both choices, and what that says."""
    from chaos.design.magnitude import short
    from chaos.screen.sheets import Table

    rows = []
    for one in results:
        if not one.figures:
            rows.append([one.name, "", "", "", "", f"not run: {one.not_run}"])
        for place, figure in enumerate(one.figures):
            ratio = "" if figure.ratio is None else f"{figure.ratio:.2g}"
            name, verdict = (one.name, one.verdict) if place == 0 else ("", "")
            rows.append([name, figure.name, short(figure.wrong), short(figure.right), ratio, verdict])
    return Table(columns=["anti-pattern", "figure", "wrong", "right", "ratio", "verdict"], rows=rows)


def _page(path: Path, results: Sequence[Result]) -> Path:
    from chaos.screen.sheets import Bars, Section
    from dashboards import sheet

    sections = [
        Section(
            key="all", title="All", tables=[table(results)],
            lead="Both choices ran in the same minutes on this machine. Ratios compare; figures are of this machine.",
        )
    ]  # fmt: skip
    for one in results:
        wins = f" Where the wrong one wins: {one.where_wrong_wins}." if one.where_wrong_wins else ""
        bars = [Bars(title=figure.name, bars={"wrong": figure.wrong, "right": figure.right}) for figure in one.figures]
        lead = f"Wrong: {one.wrong}. Right: {one.right}. Measured: {one.not_run or one.verdict}.{wins}"
        sections.append(Section(key=one.name, title=one.name.replace("_", " "), lead=lead, bars=bars))
    return sheet.render(
        path, title="Anti-patterns, measured", lead="Each wrong choice beside the right one.", sections=sections
    )


def _print(results: Sequence[Result]) -> None:
    from chaos.screen.console import for_people, plain_table

    made = table(results)
    shown = plain_table(*made.columns)
    for row in made.rows:
        shown.add_row(*row)
    for_people().print(shown)
