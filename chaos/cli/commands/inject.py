"""`petrel inject` and `petrel heal`: break a system that is up, by hand."""

from __future__ import annotations

import argparse

from chaos.cli.command import command, directory
from chaos.cli.say import note

HOLD_S = 5.0


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("fault", metavar="FAULT", help="petrel faults lists them")
    sub.add_argument("target", nargs="?", metavar="TARGET", help="a service or a link; left out: says which")
    sub.add_argument("--for", dest="for_s", type=float, default=HOLD_S, metavar="S", help=f"default: {HOLD_S:g} s")
    sub.add_argument(
        "--set", action="append", default=[], type=_option, metavar="OPTION=NUMBER", help="an option of the fault"
    )


def _option(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"OPTION=NUMBER, such as latency_ms=300, not {text!r}") from None


@command("inject", "break something in a running system, prove it, and heal it after a time", _options, directory)
def inject(options: argparse.Namespace) -> int:
    """Inject one fault and wait until it is healed."""
    from chaos.cli import lifecycle
    from chaos.run import inject as hand

    system = lifecycle.running(options.dir)
    planned = hand.plan(system, options.fault, options.target, for_s=options.for_s, options=dict(options.set))
    return hand.inject(system, planned, say=note)


@command("heal", "heal everything that petrel inject has broken in a running system", directory)
def heal(options: argparse.Namespace) -> int:
    """Heal what is injected now."""
    from chaos.cli import lifecycle
    from chaos.run import inject as hand

    return hand.heal(lifecycle.running(options.dir), say=note)
