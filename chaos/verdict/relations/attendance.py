"""How many devices were online in the steady phase, outside fault windows, of those that the plan wants online."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, FOREVER, SECOND
from chaos.verdict.relations.facts import facts_of

CONNECTING_NS: Final = 5 * SECOND
"""A device that is not online for up to 5 s is connecting. The swarm gives one attempt as long."""


class Attendance(NamedTuple):
    """Means over the time looked at."""

    online: float
    """Devices that were online, or not for CONNECTING_NS at most."""
    wanted: float
    """Devices that were wanted online."""

    @property
    def share(self) -> float:
        """The share of the devices that were wanted online and are, from 0 to 1."""
        return self.online / self.wanted

    def __str__(self) -> str:
        return f"{self.online:,.1f} of {self.wanted:,.1f} devices online on average ({100 * self.share:.4g} %)"


def attendance(history: History) -> Attendance | None:
    """The attendance of one of our runs; None: no calm steady time, or nobody was wanted in it."""
    calm, wanted = _calm(history), _wanted(history)
    length = sum(end - start for start, end in calm)
    missing = _missing(history, wanted)
    due_ns = sum(_length(_cut(wanted, start, end)) for start, end in calm)
    if not due_ns:
        return None
    away = pl.col("end") - pl.col("start") > CONNECTING_NS
    missing_ns = sum(_length(_cut(missing, start, end).filter(away)) for start, end in calm)
    return Attendance((due_ns - missing_ns) / length, due_ns / length)


def _calm(history: History) -> list[tuple[int, int]]:
    """(start, end) of each stretch of the steady phase that no fault window covers."""
    start, stop = history.phase("steady"), history.phase("quiesce")
    if start is None:
        return []
    end = history.end_ns if stop is None else stop
    found = []
    for first, last in facts_of(history).windows.spans():
        if start < min(first, end):
            found.append((start, min(first, end)))
        start = max(start, last)
    return [*found, (start, end)] if start < end else found


def _wanted(history: History) -> pl.DataFrame:
    """Return device, start, end: when the plan wants each device online.

    A device that never did anything is wanted throughout, unless it may have had no user.
    """
    facts = facts_of(history)
    if history.holes or history.meta.elastic:
        return facts.stays.presences
    silent = facts.owners.select("device").unique().join(facts.stays.watched, on="device", how="anti")
    throughout = silent.with_columns(start=pl.lit(EVER), end=pl.lit(history.end_ns, dtype=pl.Int64))
    return pl.concat([facts.stays.presences, throughout])


def _missing(history: History, wanted: pl.DataFrame) -> pl.DataFrame:
    """device, start, end: the stretches of `wanted` in which a device is known not to be in a session."""
    stays, devices = facts_of(history).stays, wanted.select("device").unique()
    there = pl.concat([stays.sessions, stays.untold]).sort("device", "start", "end")
    between = there.select("device", start=pl.col("end").shift(1, fill_value=EVER).over("device"), end="start")
    after = devices.join(there.group_by("device").agg(start=pl.col("end").max()), on="device", how="left")
    after = after.select("device", pl.col("start").fill_null(EVER), end=pl.lit(FOREVER))
    gaps = pl.concat([between, after]).rename({"start": "gone", "end": "back"})
    both = wanted.join(gaps, on="device")
    cut = both.select("device", start=pl.max_horizontal("start", "gone"), end=pl.min_horizontal("end", "back"))
    return cut.filter(pl.col("start") < pl.col("end"))


def _cut(spans: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """The parts of the spans between `start` and `end`."""
    cut = spans.select("device", start=pl.col("start").clip(lower_bound=start), end=pl.col("end").clip(upper_bound=end))
    return cut.filter(pl.col("start") < pl.col("end"))


def _length(spans: pl.DataFrame) -> int:
    return int((spans["end"] - spans["start"]).sum())
