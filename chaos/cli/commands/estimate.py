"""`petrel estimate`: what the design needs at a given size."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from chaos.cli.command import as_json, command
from chaos.cli.say import print_json
from chaos.errors import VALID

if TYPE_CHECKING:
    from chaos.design.estimate import Estimate


_SIZES: Final = ((1e15, "quadrillion"), (1e12, "trillion"), (1e9, "billion"), (1e6, "million"))


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "given", nargs="*", type=_pair, metavar="INPUT=NUMBER", help="inputs instead of the design's: users=1e6"
    )


def _pair(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    try:
        if equals:
            return name, float(number.replace("_", ""))
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"INPUT=NUMBER, such as users=1e6, not {text!r}")


@command("estimate", "compute what the design needs: servers, storage, memory, rates, cost", _options, as_json)
def estimate(options: argparse.Namespace) -> int:
    """Print inputs and requirements."""
    from chaos.design import estimate as design

    found = design.estimate(dict(options.given))
    if options.json:
        return print_json(found)
    _print(found)
    return VALID


def _print(found: Estimate) -> None:
    from rich.text import Text

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


def short(value: float) -> str:
    """Return a number with a word for its size: 231,481, 16.67 million, 3 trillion."""
    for size, word in _SIZES:
        if value >= size:
            return f"{value / size:.4g} {word}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
