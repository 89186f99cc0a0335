"""`petrel estimate`: what the design needs at a given size."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from chaos.cli.command import a_path, as_json, command, inputs
from chaos.cli.say import print_json
from chaos.errors import VALID

if TYPE_CHECKING:
    from chaos.design.estimate import Estimate


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--costs", type=a_path, metavar="FILE", help="bench.json of petrel bench calibrate: costs measured here"
    )


@command("estimate", "compute what the design needs: servers, storage, memory, rates, cost", inputs, _options, as_json)
def estimate(options: argparse.Namespace) -> int:
    """Print inputs and requirements."""
    from chaos.design import costs
    from chaos.design import estimate as design

    measured = costs.inputs(costs.read(options.costs), str(options.costs)) if options.costs is not None else {}
    found = design.estimate(dict(options.given), measured=measured)
    if options.json:
        return print_json(found)
    _print(found)
    return VALID


def _print(found: Estimate) -> None:
    from rich.text import Text

    from chaos.design.magnitude import short
    from chaos.screen.console import for_people, plain_table

    console = for_people()
    inputs = plain_table("input", "value", "unit", "source")
    for given in found.inputs:
        inputs.add_row(given.name, f"{given.value:,.10g}", Text(given.unit), Text(given.source))
    needs = plain_table("requirement", "value", "unit", "design page", "formula", "what it is")
    for need in found.requirements:
        page = "" if need.page is None else short(need.page)
        needs.add_row(need.name, short(need.value), Text(need.unit), page, Text(need.formula), Text(need.what))
    console.print(inputs)
    console.print()
    console.print(needs)
