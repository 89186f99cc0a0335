"""The cost of presence: states told to devices per second, lazy against eager, at the same population and plan.

A point is the number of devices. Each has two runs of the experiment `presence` with one seed: one of the normal
system, one of its known-bad variant `eager_presence`. presence_rates.py defines the counters.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from chaos.bench import presence_rates as presence_bench
from chaos.bench.benches import Bench, Request
from chaos.errors import HarnessError, UsageError
from chaos.run import experiment, whole

DEVICES: Final = (400,)


def run(request: Request) -> Sequence[Mapping[str, float]]:
    """Return a row per number of devices. Raises UsageError, HarnessError."""
    if request.variant:
        raise UsageError(f"this bench has its own variant, {presence_bench.EAGER}")
    whole.share_clock()
    return [_point(request, devices) for devices in request.points or DEVICES]


def _point(request: Request, devices: int) -> Mapping[str, float]:
    from chaos.run import runner

    wanted = experiment.override(experiment.load("presence"), users=devices, duration_s=request.duration_s, rate=None)
    seed = secrets.randbelow(1 << 31)
    modes = []
    for name, variant in (("lazy", None), ("eager", presence_bench.EAGER)):
        # Eager presence pushes states unasked and forgets users lost in a crash, so it does not promise freshness.
        without = wanted.without if variant is None else (*wanted.without, "presence")
        directory = request.directory / f"{devices}-{name}"
        verdict = whole.execute(
            runner.Request(
                experiment=msgspec.structs.replace(wanted, without=without),
                seed=seed,
                profile="embedded",
                variant=variant,
                directory=directory,
            ),
            as_json=True,
        )
        if verdict.verdict != "valid":
            raise HarnessError(f"the {name} run is {verdict.verdict}; see {directory}")
        modes.append(
            presence_bench.measure(directory, name=name, verdict=verdict.verdict, duration_s=wanted.duration_s)
        )
    lazy, eager = modes
    return {
        "devices": devices,
        "lazy: states told/s": lazy.told_per_s,
        "eager: states told/s": eager.told_per_s,
        "eager to lazy": presence_bench.ratio(modes),
        "lazy: questions to the store/s": lazy.looks_per_s,
        "lazy: users asked about/s": lazy.looked_per_s,
    }


BENCH: Final = Bench(summary="presence, lazy and eager", run=run)
