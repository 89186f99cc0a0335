"""`petrel simulate`: the fleet at full scale in faults and peaks, and the model beside the system that runs here."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.cli.command import a_path, as_json, command, inputs
from chaos.cli.say import note, print_json
from chaos.errors import VALID, UsageError

if TYPE_CHECKING:
    from chaos.design.fleet.against import Compared
    from chaos.design.fleet.simulation import Simulation

PAGE: Final = Path("simulation.html")


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--scenario", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    sub.add_argument("--seed", type=int, default=1, metavar="N", help="of what is drawn; default: 1")
    sub.add_argument(
        "--against", type=a_path, metavar="FILE", help="bench.json of petrel bench calibrate: costs and comparison"
    )
    sub.add_argument("--page", type=a_path, default=PAGE, metavar="FILE", help=f"where the plots go; default: {PAGE}")


@command(
    "simulate",
    "simulate the fleet at full scale: deaths, storms, peaks, repeats that never end",
    inputs,
    _options,
    as_json,
)
def simulate(options: argparse.Namespace) -> int:
    """Simulate, print a table and write a page."""
    from chaos.cli import simulated
    from chaos.design import costs
    from chaos.design.fleet import against, simulation, size

    if not options.page.absolute().parent.is_dir():
        raise UsageError(f"{options.page}: no such directory")
    rows = costs.read(options.against) if options.against is not None else None
    unit = size.costs_of(rows[0], str(options.against)) if rows is not None else size.RECORDED
    fleet = size.full_scale(unit, dict(options.given))
    found = simulation.simulate(fleet, unit, seed=options.seed, names=options.scenario, say=note)
    compared = against.compare(rows, str(options.against), cores=os.cpu_count() or 1) if rows is not None else ()
    simulated.write(options.page, found, compared)
    if options.json:
        return print_json({"simulation": found, "against": compared, "page": str(options.page)})
    _print(found, compared)
    note(f"plots in {options.page}")
    return VALID


def _print(found: Simulation, compared: Sequence[Compared]) -> None:
    from chaos.cli import simulated
    from chaos.screen.console import for_people, plain_table

    console = for_people()
    for sheet in simulated.tables(found, compared):
        table = plain_table(*sheet.columns, title=sheet.caption or None)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
        console.print()
