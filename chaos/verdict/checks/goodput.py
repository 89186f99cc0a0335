"""goodput: a fault that is over is over, at any load that was carried before it.

Guarantee: after a fault has healed, the goodput is back at 95 % of what it was before within `back_s` (bounds).
Anomaly: a system that is stuck. What broke it is gone, and its own retries and reconnects hold it down.
Unknown when a fault was not proven healed, or the load was not carried before it. Also when the next fault struck or
the sends ended too soon. Also when too little was sent to tell, or the machine was in the way.

    {"e":"fault","t":9000000000,"name":"crash","phase":"heal",..}
    {"e":"send","t":39000000000,"due":39000000000,"device":1,"conv":7,"msg":5,..}
    {"e":"ack","t":52000000000,"device":1,"conv":7,"msg":5,"seq":3,..}          back_s is 30: 13 s for an ack

Decisions. The goodput of a time is the smaller of two shares: of the sends that were due in it, those that were acked
within a second of that; and of the deliveries that were due in it and came, those shown within a second. What is never
shown is for `liveness`. It is back with the first whole second after the heal from which, for 5 s, it is at 95 % of
that before. A system that holds back its senders gets fewer sends, which may all be good: so the sends that were acked
in time must also be as many a second as before, less two standard deviations. Before is the time up to 10 s before the
injection, without the windows of other faults. If less than 95 % was good there, nothing is known of that load. The
load is the sends that were due a second before the injection. Without `back_s` in its bounds a history is not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, SECOND
from chaos.verdict.relations.busy import lost_s
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.windows import Window

NAME = "goodput"
RANK = 157
GOOD_S: Final = 1.0
BACK: Final = 0.95
STRETCH_S: Final = 5
CALM_S: Final = 10
LEAST: Final = 50
"""Sends of a time below which its share says little: one of them would be 2 %."""
LEAST_PER_S: Final = 5.0
"""Sends a second below which five seconds say little."""
LOST: Final = 0.1
"""The part of the bound in which the machine may have been in the way. More of it can hide a system that is back."""
MAX_TOLD: Final = 4


class _Good(NamedTuple):
    """What was due in some time, and how much of it was good."""

    seconds: float
    sends: int
    acked: int
    """Sends that were acked in time."""
    deliveries: int
    shown: int
    """Deliveries that were shown in time."""

    @property
    def share(self) -> float:
        """The goodput, of 1; 0 if nothing was due."""
        if not self.sends:
            return 0.0
        return min(self.acked / self.sends, self.shown / self.deliveries if self.deliveries else 1.0)


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What became of the goodput after one fault."""

    window: Window
    load_per_s: float = 0.0
    before: float = 0.0
    back_s: float | None = None
    """Seconds from the heal until it was back; None: it was not, or nobody knows."""
    after: float = 0.0
    """The goodput at the end of the bound."""
    doubt: str = ""
    """Why nothing is known; "": it is."""

    @property
    def stuck(self) -> bool:
        return not self.doubt and self.back_s is None


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts the faults after which it was stuck."""
    bound_s = history.bounds.back_s
    windows = facts_of(history).windows.all
    if bound_s is None or not windows:
        return nothing(NAME)
    outcomes = [_outcome(history, _Times(history), window, bound_s) for window in windows]
    if any(one.stuck for one in outcomes):
        return _stuck(history, outcomes, bound_s)
    if doubts := [f"{_of(one)}: {one.doubt}" for one in outcomes if one.doubt]:
        more = f"; and {len(doubts) - MAX_TOLD} more" if len(doubts) > MAX_TOLD else ""
        detail = "; ".join(doubts[:MAX_TOLD]) + more
        return Finding(name=NAME, verdict="unknown", detail=detail, anomalies=len(doubts))
    slowest = max(outcomes, key=lambda one: one.back_s or 0.0)
    highest = max(one.load_per_s for one in outcomes)
    detail = (
        f"back after {count(len(outcomes), 'fault')}, at up to {highest:.0f} sends/s; at the latest"
        f" {slowest.back_s:.0f} s after the heal of {_of(slowest)}; the bound is {bound_s:g} s"
    )
    return Finding(name=NAME, verdict="valid", detail=detail)


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)


class _Times:
    """The sends and the deliveries of a history, to count those that were due between two times."""

    def __init__(self, history: History) -> None:
        facts, good_ns = facts_of(history), round(GOOD_S * SECOND)
        acks = facts.acks.group_by(MESSAGE).agg(acked=pl.col("t").min())
        sends = facts.sends.join(acks, on=MESSAGE, how="left").sort("due")
        in_time = (sends["acked"] - sends["due"] <= good_ns).fill_null(value=False)
        samples = facts.samples.sort("due")
        self._sends, self._acked = _sorted(sends["due"], in_time)
        self._deliveries, self._shown = _sorted(samples["due"], samples["latency_ns"] <= good_ns)
        self.first_ns = int(self._sends[0]) if len(self._sends) else 0
        self.last_ns = int(self._sends[-1]) if len(self._sends) else 0

    def between(self, start_ns: float, end_ns: float) -> _Good:
        """Return what was due from the one time to the other; nothing if that is no time."""
        end_ns = max(start_ns, end_ns)
        sends, deliveries = (np.searchsorted(due, [start_ns, end_ns]) for due in (self._sends, self._deliveries))
        return _Good(
            (end_ns - start_ns) / SECOND,
            int(sends[1] - sends[0]),
            int(self._acked[sends[1]] - self._acked[sends[0]]),
            int(deliveries[1] - deliveries[0]),
            int(self._shown[deliveries[1]] - self._shown[deliveries[0]]),
        )


def _sorted(due: pl.Series, good: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the times, and how many of those before each place are good."""
    counted = np.concatenate([[0], np.cumsum(good.to_numpy().astype(np.int64))])
    return due.to_numpy().astype(np.int64), counted


def _outcome(history: History, times: _Times, window: Window, bound_s: float) -> _Outcome:
    if window.inject_ns is None or window.heal_ns is None or not window.healed:
        return _Outcome(window=window, doubt="it was not proven healed")
    calm = times.between(_calm_from_ns(history, times, window), window.inject_ns - GOOD_S * SECOND)
    before = _Outcome(window=window, load_per_s=calm.sends / calm.seconds if calm.seconds else 0.0, before=calm.share)
    if calm.sends < LEAST or before.load_per_s < LEAST_PER_S:
        return _doubted(before, f"only {count(calm.sends, 'send')} in the {calm.seconds:.0f} s before it")
    if calm.share < BACK:
        return _doubted(before, f"only {100 * calm.share:.0f} % was good before it: that load was not carried")
    if other := next((one for one in facts_of(history).windows.all if _covers(one, window)), None):
        return _doubted(before, f"{other.name} on {other.target} was still on when it healed")
    until_ns, why = _observed_until(history, times, window)
    for second, good in _stretches(times, window.heal_ns, bound_s, until_ns):
        if _is_back(good, calm):
            return _Outcome(
                window=window, load_per_s=before.load_per_s, before=calm.share, back_s=float(second), after=good.share
            )
    end_ns = window.heal_ns + (bound_s + STRETCH_S) * SECOND
    last = times.between(end_ns - STRETCH_S * SECOND, end_ns)
    if until_ns < end_ns:
        return _doubted(before, f"{why} {(until_ns - window.heal_ns) / SECOND:.0f} s after the heal")
    lost = lost_s(history, window.heal_ns, end_ns)
    if lost > LOST * bound_s:
        return _doubted(before, f"not back, but the machine was in the way for {lost:.0f} s")
    return _Outcome(window=window, load_per_s=before.load_per_s, before=calm.share, after=last.share)


def _doubted(known: _Outcome, doubt: str) -> _Outcome:
    return _Outcome(window=known.window, load_per_s=known.load_per_s, before=known.before, doubt=doubt)


def _calm_from_ns(history: History, times: _Times, window: Window) -> float:
    """Return when the calm before an injection begins: after the windows of the faults before it."""
    assert window.inject_ns is not None
    ends = [start for start in (history.phase("steady"), times.first_ns) if start is not None]
    cap_s = history.bounds.recovery_s
    before = [
        one
        for one in facts_of(history).windows.all
        if one is not window and one.inject_ns is not None and one.inject_ns <= window.inject_ns
    ]
    ends += [min(one.end_ns(cap_s), window.inject_ns) for one in before]
    return max(*ends, window.inject_ns - CALM_S * SECOND)


def _covers(other: Window, window: Window) -> bool:
    """Return True if another fault was on when this one healed."""
    if other is window or other.inject_ns is None or window.heal_ns is None:
        return False
    return other.inject_ns <= window.heal_ns and (other.heal_ns is None or other.heal_ns > window.heal_ns)


def _observed_until(history: History, times: _Times, window: Window) -> tuple[int, str]:
    """Return when what follows the heal is no longer seen, and why."""
    assert window.heal_ns is not None
    later = [
        one.inject_ns
        for one in facts_of(history).windows.all
        if one.inject_ns is not None and one.inject_ns > window.heal_ns
    ]
    if later and min(later) <= times.last_ns:
        return min(later), "not back when the next fault struck,"
    return times.last_ns, "not back when the sends ended,"


def _stretches(times: _Times, heal_ns: int, bound_s: float, until_ns: int) -> Iterator[tuple[int, _Good]]:
    """Yield each whole second after the heal within the bound, and what was due in the stretch that begins with it."""
    for second in range(math.floor(bound_s) + 1):
        start_ns = heal_ns + second * SECOND
        end_ns = start_ns + STRETCH_S * SECOND
        if end_ns <= until_ns:
            yield second, times.between(start_ns, end_ns)


def _is_back(good: _Good, calm: _Good) -> bool:
    due = BACK * calm.acked / calm.seconds * good.seconds
    return good.share >= BACK * calm.share and good.acked >= due - 2 * math.sqrt(due)


def _stuck(history: History, outcomes: list[_Outcome], bound_s: float) -> Finding:
    stuck = sorted((one for one in outcomes if one.stuck), key=lambda one: one.load_per_s)
    from_per_s = stuck[0].load_per_s
    detail = f"stuck from {from_per_s:.0f} sends/s on"
    back = [one.load_per_s for one in outcomes if one.back_s is not None]
    if lower := [load for load in back if load < from_per_s]:
        detail += f"; back at up to {max(lower):.0f}/s"
    if higher := [load for load in back if load >= from_per_s]:
        detail += f"; and yet back at {max(higher):.0f}/s"
    words = Words(history)
    rows = pl.DataFrame(
        {
            "what": [_of(one) for one in stuck],
            "load": [one.load_per_s for one in stuck],
            "heal": [one.window.heal_ns for one in stuck],
            "before": [one.before for one in stuck],
            "after": [one.after for one in stuck],
        }
    )

    def text(row: Row) -> str:
        return (
            f"{row['what']} healed {words.at(row['heal'])}, at {row['load']:.0f} sends/s; {bound_s:g} s later"
            f" {100 * row['after']:.0f} % of what was due was good, and {100 * row['before']:.0f} % before it"
        )

    return words.invalid(NAME, detail, Evidence(rows, text, devices=()), anomalies=len(stuck), tardy=True)


def _of(outcome: _Outcome) -> str:
    return f"{outcome.window.name} on {outcome.window.target}"
