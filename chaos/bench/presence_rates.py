"""The cost of presence: states told to devices per second, lazy against eager, at the same population and plan.

Two runs of the experiment `presence` share one seed: one of the normal system, one of its known-bad variant
`eager_presence`. The variant tells every change to all contacts at once. The gateways' counters count between the first
planned send and the last; a ramp or an end would favour the lazy one.
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
    """The cost of presence in one run, per second between the first planned send and the last."""

    name: str
    verdict: str
    told_per_s: float
    """States that gateways told devices."""
    looks_per_s: float
    """Queries to the presence store."""
    looked_per_s: float
    """Users that those queries covered."""
    run_dir: str


class _Sample(msgspec.Struct, frozen=True):
    t: int
    service: str
    pid: int
    stats: dict[str, float] = {}


def rates(lines: Iterable[bytes], *, start_ns: int, end_ns: int) -> dict[str, float]:
    """Return each counter's growth per second over all processes, from samples (chaos/run/sampler.py) between these
    times.

    A restarted process begins at 0 under another pid. Raises HarnessError if no process has two samples.
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
    """Return the rates from a run directory's samples. Raises HarnessError."""
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
    """Return the ratio of eager to lazy; 0 if the lazy one told nothing."""
    told = {mode.name: mode.told_per_s for mode in modes}
    return round(told["eager"] / told["lazy"], 1) if told.get("lazy") else 0.0
