"""`petrel bench NAME`: measures one cost of the design."""

from __future__ import annotations

import argparse

from chaos.bench import NAMES
from chaos.cli.asked import check_profile, check_redis, check_variant
from chaos.cli.command import as_json, command, out, profile, variant
from chaos.errors import UsageError


def _options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("--duration", type=float, metavar="S", help="seconds a point, instead of the bench's own")
    sub.add_argument("--points", type=_points, default=(), metavar="N,N", help="what it varies, instead of its own")


def _points(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers with commas between, not {text!r}") from None


@command(
    "bench",
    f"measure one cost: {', '.join(NAMES)}",
    _options,
    profile,
    variant,
    out,
    as_json,
)
def bench(options: argparse.Namespace) -> int:
    """Run the bench and print a table."""
    from chaos.bench import benches

    benches.find(options.name)
    check_variant(options.variant)
    check_profile(options.profile)
    if options.duration is not None and not 1 <= options.duration <= 3600:
        raise UsageError(f"--duration is from 1 to 3600, not {options.duration:g}")
    if not all(0 <= point <= 20_000 for point in options.points):
        raise UsageError("--points are from 0 to 20000")
    check_redis()
    return benches.run(
        options.name,
        variant=options.variant,
        profile=options.profile,
        duration_s=options.duration,
        points=options.points,
        out=options.out,
        as_json=options.json,
    )
