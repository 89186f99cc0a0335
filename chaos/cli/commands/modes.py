"""`petrel modes`: the catalogue of failure modes, and the proof that their alerts fire."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from chaos.cli.asked import check_profile, check_redis
from chaos.cli.command import as_json, command, out, profile
from chaos.cli.say import print_json
from chaos.errors import INVALID, VALID

if TYPE_CHECKING:
    from rich.table import Table

    from chaos.modes.catalogue import Mode
    from chaos.modes.prove import Outcome


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--run", metavar="NAME", help="prove this mode, several with commas between, or all")
    sub.add_argument("--seed", type=int, default=1, metavar="N", help="makes what is drawn; default: 1")


@command("modes", "list the failure modes; with --run, prove that their alerts fire", _options, profile, out, as_json)
def modes(options: argparse.Namespace) -> int:
    """List the modes, or prove them. Returns 1 if an alert did not do what the catalogue says."""
    from chaos.modes import catalogue

    check_profile(options.profile)
    chosen = catalogue.named(options.run or "all")
    return _prove(options, chosen) if options.run else _list(options, chosen)


def _list(options: argparse.Namespace, chosen: dict[str, Mode]) -> int:
    import msgspec
    from rich.text import Text

    from chaos.modes import prove
    from chaos.screen.console import for_people, plain_table

    can, cannot = prove.split(chosen, options.profile)
    shown = {item.mode.name for item in can}
    if options.json:
        return print_json(
            [
                msgspec.to_builtins(mode) | {"can": name in shown, "why_not": cannot.get(name)}
                for name, mode in chosen.items()
            ]
        )
    table = plain_table("mode", "severity", "alert", "within", "can be shown here", "what users feel")
    for name, mode in chosen.items():
        here = Text("yes", "green") if name in shown else Text(f"no: {cannot[name]}", "yellow")
        within = f"{mode.detection.fires_within_s:g} s"
        table.add_row(name, mode.severity, mode.detection.alert, within, here, Text(mode.felt))
    for_people().print(table)
    return VALID


def _prove(options: argparse.Namespace, chosen: dict[str, Mode]) -> int:
    import msgspec
    from rich.text import Text

    from chaos.run import rundir, whole

    check_redis(None)
    whole.share_clock()
    from chaos.errors import UsageError
    from chaos.modes import prove
    from chaos.screen.console import for_people

    console = for_people(stderr=options.json)
    can, cannot = prove.split(chosen, options.profile)
    if options.run != "all" and cannot:
        raise UsageError("; ".join(f"{name} cannot be shown here: {why}" for name, why in cannot.items()))
    directory = options.out or rundir.default_path("modes", os.getpid())
    rundir.check_new(directory)
    outcomes: list[Outcome] = []
    for outcome in prove.prove(
        can, profile=options.profile, seed=options.seed, directory=directory, say=lambda text: console.print(Text(text))
    ):
        outcomes.append(outcome)
        (directory / "modes.json").write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)))
    console.print(_table(outcomes))
    for name, why in cannot.items():
        console.print(Text(f"{name}: not shown: {why}", "dim"), soft_wrap=True)
    console.print(Text(f"in {directory / 'modes.json'}"))
    if options.json:
        shown = [msgspec.to_builtins(outcome) for outcome in outcomes]
        print_json(shown + [{"mode": name, "proven": None, "why": why} for name, why in cannot.items()])
    return VALID if all(outcome.proven for outcome in outcomes) else INVALID


def _table(outcomes: list[Outcome]) -> Table:
    from rich.text import Text

    from chaos.screen.console import plain_table

    table = plain_table("mode", "proven", "alert", "fired after", "ended after", "recovery", "lost", "run")
    for one in outcomes:
        proven = Text("yes", "green") if one.proven else Text(f"no: {one.why}", "bold red")
        table.add_row(
            one.mode,
            proven,
            one.alert,
            "never" if one.fired_s is None else f"{one.fired_s:g} of {one.within_s:g} s",
            "" if one.cleared_s is None else f"{one.cleared_s:g} of {one.clear_within_s:g} s",
            "" if one.recovery_s is None else f"{one.recovery_s:g} s",
            str(one.lost),
            one.verdict,
        )
    return table
