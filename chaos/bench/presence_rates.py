"""What presence costs: states told to devices a second, lazy against eager, at the same population and the same plan.

Two runs of the experiment `presence`, with one seed: one of the system as it is, one of its known-bad variant
`eager_presence`, which tells each coming and going to all contacts at once. Counted is what the gateways wrote, between
the first planned send and the last; a ramp or an end would flatter the lazy one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chaos.errors import HarnessError

COUNTERS: Final = ("presence_told", "presence_looks", "presence_looked")
EAGER: Final = "eager_presence"


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """What presence cost in one run, per second between the first planned send and the last."""

    name: str
    verdict: str
    told_per_s: float
    """States that gateways told devices."""
    looks_per_s: float
    """Questions to the presence store."""
    looked_per_s: float
    """Users that those were about."""
    run_dir: str


class _Sample(msgspec.Struct, frozen=True):
    t: int
    service: str
    pid: int
    stats: dict[str, float] = {}


def rates(lines: Iterable[bytes], *, start_ns: int, end_ns: int) -> dict[str, float]:
    """Each counter's growth a second over all processes, from samples (chaos/run/sampler.py) between these times.

    A process that was restarted begins at 0 under another pid. Raises HarnessError without two samples of any.
    """
    decoder = msgspec.json.Decoder(_Sample)
    first: dict[tuple[str, int], _Sample] = {}
    last: dict[tuple[str, int], _Sample] = {}
    for line in lines:
        sample = decoder.decode(line)
        if start_ns <= sample.t <= end_ns and COUNTERS[0] in sample.stats:
            first.setdefault((sample.service, sample.pid), sample)
            last[sample.service, sample.pid] = sample
    spans = {key: last[key].t - first[key].t for key in last}
    longest_s = max(spans.values(), default=0) / 1e9
    if not longest_s:
        raise HarnessError("no samples of gateways between the first send and the last")
    return {
        name: sum(last[key].stats.get(name, 0.0) - first[key].stats.get(name, 0.0) for key in last) / longest_s
        for name in COUNTERS
    }


def measure(run_dir: Path, *, name: str, verdict: str, duration_s: float) -> Mode:
    """What a run directory's samples say. Raises HarnessError."""
    from chaos.verdict.history.history import load_run

    start_ns = load_run(run_dir).start_ns
    path = run_dir / "metrics" / "processes.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise HarnessError(f"{path}: {error.strerror}") from None
    found = rates(lines, start_ns=start_ns, end_ns=start_ns + round(duration_s * 1e9))
    told, looks, looked = (round(found[counter], 2) for counter in COUNTERS)
    return Mode(
        name=name, verdict=verdict, told_per_s=told, looks_per_s=looks, looked_per_s=looked, run_dir=str(run_dir)
    )


def ratio(modes: Sequence[Mode]) -> float:
    """Eager to lazy; 0 when the lazy one told nothing."""
    told = {mode.name: mode.told_per_s for mode in modes}
    return round(told["eager"] / told["lazy"], 1) if told.get("lazy") else 0.0
