"""What `petrel bench NAME` does: runs of one experiment that differ in one thing, and what that costs."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from chaos import commands
from chaos.errors import UNKNOWN, VALID


def presence(options: argparse.Namespace) -> int:
    """`petrel bench presence`, see presence_bench.py. 0 when both runs are valid, else 2. Raises ChaosError."""
    from chaos import experiment, presence_bench, rundir

    commands.check_profile(options.profile)
    commands.check_redis()
    wanted = experiment.override(
        experiment.for_profile(experiment.load("presence"), options.profile),
        users=options.users,
        duration_s=options.duration,
        rate=None,
    )
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    out: Path = options.out or rundir.default_path("bench-presence", seed)
    rundir.check_new(out)
    commands.share_clock()
    from chaos.runner import Request

    console = Console(stderr=options.json)
    modes = []
    for name, variant in (("lazy", None), ("eager", presence_bench.EAGER)):
        # Eager presence tells without being asked and forgets whoever a crash took: staleness is not its claim.
        checks = wanted.checks if variant is None else tuple(c for c in wanted.checks or () if c != "presence")
        verdict = commands.execute(
            Request(
                experiment=msgspec.structs.replace(wanted, checks=checks),
                seed=seed,
                profile=options.profile,
                variant=variant,
                directory=out / name,
            ),
            as_json=options.json,
        )
        modes.append(
            presence_bench.measure(out / name, name=name, verdict=verdict.verdict, duration_s=wanted.duration_s)
        )
    result = presence_bench.Bench(
        profile=options.profile,
        users=wanted.users,
        seed=seed,
        duration_s=wanted.duration_s,
        modes=tuple(modes),
        ratio=presence_bench.ratio(modes),
    )
    (out / "bench.json").write_bytes(msgspec.json.encode(result) + b"\n")
    console.print(presence_bench.table(modes))
    told = f"{wanted.users} devices: eager presence tells {result.ratio:g} times as many states as lazy"
    console.print(Text(told), soft_wrap=True)
    if options.json:
        print(msgspec.json.encode(result).decode(), flush=True)  # noqa: T201
    return VALID if all(mode.verdict == "valid" for mode in modes) else UNKNOWN
