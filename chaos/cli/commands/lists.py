"""`petrel faults`, `petrel variants` and `petrel checks`: list the available ones."""

from __future__ import annotations

import argparse
from importlib import import_module

from chaos.cli.asked import check_profile
from chaos.cli.command import as_json, command, profile
from chaos.cli.say import print_json
from chaos.errors import VALID


@command("faults", "list the faults and whether they can be injected here", profile, as_json)
def faults(options: argparse.Namespace) -> int:
    """List what each fault breaks, and whether that is possible on this machine. Starts and builds nothing."""
    from rich.text import Text

    from chaos.faults import descriptions
    from chaos.run import sketch
    from chaos.screen.console import for_people, plain_table

    check_profile(options.profile)
    offers = sketch.offers(options.profile)
    docs = {fault.name: fault.summary for fault in descriptions()}
    if options.json:
        return print_json(
            [
                {
                    "name": name,
                    "available": offer.unavailable is None,
                    "why_not": offer.unavailable,
                    "targets": offer.targets,
                    "does": docs[name],
                }
                for name, offer in offers.items()
            ]
        )
    table = plain_table("fault", "available", "targets", "what it does")
    for name, offer in offers.items():
        available = Text("yes", "green") if offer.unavailable is None else Text(f"no: {offer.unavailable}", "yellow")
        if offer.remark:
            available = Text(f"yes, but {offer.remark}", "yellow")
        table.add_row(name, available, str(len(offer.targets)), Text(docs[name]))
    for_people().print(table)
    return VALID


@command("variants", "list the known-bad designs and what catches each", as_json)
def variants(options: argparse.Namespace) -> int:
    """List the values of --variant."""
    from rich.text import Text

    from chaos.screen.console import for_people, plain_table
    from sut.variants import VARIANTS

    if options.json:
        return print_json(
            [
                {
                    "name": variant.name,
                    "wrong": variant.wrong,
                    "caught_by": variant.caught_by,
                    "shown_in": variant.shown_in if variant.caught_by else None,
                    "measured_by": variant.measured_by or None,
                }
                for variant in VARIANTS.values()
            ]
        )
    table = plain_table("variant", "shown by", "in", "what is wrong")
    for variant in VARIANTS.values():
        shown_by = ", ".join(variant.caught_by) or f"petrel bench {variant.measured_by}"
        table.add_row(variant.name, Text(shown_by), variant.shown_in if variant.caught_by else "", Text(variant.wrong))
    for_people().print(table)
    return VALID


@command("checks", "list the checks, the guarantee of each and an example that breaks it", as_json)
def checks(options: argparse.Namespace) -> int:
    """List the checks that judge a run."""
    status: int = import_module("chaos.cli.checks").checks(as_json=options.json)
    return status
