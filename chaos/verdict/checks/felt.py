"""felt: while something is broken, people wait no longer than agreed.

Guarantee: in the window of a fault with a bound (`felt_s` of its plan), the p99 of every second is within that bound.
Anomaly: a fault that the system survives, and that people feel for longer than promised.
Unknown when a fault with a bound was not proven healed, nothing was due in its window, or the machine was in the way.

    {"e":"plan","fault":"f1","name":"crash","target":"server-1","at_s":5,"for_s":2,"felt_s":1.5,..}
    {"e":"send","t":6100000000,"due":6100000000,"device":1,"conv":7,"msg":5,..}         while it is on
    {"e":"show","t":9100000000,"device":2,"conv":7,"msg":5,..}                          3 s later, not 1.5

Decisions. A delivery belongs to the second in which it was due, counted from the injection; the samples are those of
`latency`. The window ends at the heal plus the recovery (see windows), or when the next fault strikes. A second that
lies in the windows of several faults is judged by the largest of their bounds, and not at all if one of them has none.
Nearest-rank p99: with fewer than 100 deliveries in a second it is the slowest of them. What is never shown is for
`liveness`. From the begin of a late second until its p99 was shown, others may have filled the cores, or the swarm
itself may have stood still (see busy). If that explains why it is late, it proves nothing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import SECOND
from chaos.verdict.relations.busy import lost_s
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.felt import p99_of
from chaos.verdict.relations.windows import Window

NAME = "felt"
RANK = 155
MAX_TOLD: Final = 4


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts the seconds whose p99 is above the bound."""
    judged = _judged(history)
    late = [_late_seconds(history, window) for window in judged]
    if not any(rows.height for rows in late):
        return _within(history, judged)
    certain = [rows.filter(~pl.col("doubtful")) for rows in late]
    found = certain if any(rows.height for rows in certain) else late
    seconds = sum(rows["second"].n_unique() for rows in found)
    worst = [f"{_of(window)} {_worst(rows)}" for window, rows in zip(judged, found, strict=True) if rows.height]
    more = f"; and {len(worst) - MAX_TOLD} more" if len(worst) > MAX_TOLD else ""
    detail = "; ".join(worst[:MAX_TOLD]) + more
    if found is late:
        detail += "; but others had filled the cores just then, or the swarm stood still"
        return Finding(name=NAME, verdict="unknown", detail=detail, anomalies=seconds)
    return _invalid(history, pl.concat(found), detail, seconds)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if no second is above its bound."""
    judged = _judged(bulk.rest)
    late = any(_late_seconds(bulk.rest, window).height for window in judged)
    return None if late else _within(bulk.rest, judged)


def _judged(history: History) -> list[Window]:
    """The windows of the faults that have a bound."""
    windows = facts_of(history).windows
    return [window for window in windows.all if window.key in windows.felt_bounds]


def _within(history: History, judged: list[Window]) -> Finding:
    """Return the finding of windows in which no second is above its bound."""
    if not judged:
        return nothing(NAME)
    windows = facts_of(history).windows
    doubts = [f"{_of(window)} was not proven healed" for window in judged if not window.healed]
    doubts += [
        f"nothing was due by which to judge {_of(window)}"
        for window in judged
        if window.healed and not windows.felt(window).height
    ]
    if doubts:
        return Finding(name=NAME, verdict="unknown", detail="; ".join(doubts[:MAX_TOLD]), anomalies=len(doubts))
    detail = f"{count(len(judged), 'fault')} with a bound; the p99 of every second was within it"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _late_seconds(history: History, window: Window) -> pl.DataFrame:
    """Return the deliveries of the window's late seconds, with p99, bound and whether that is doubtful."""
    windows = facts_of(history).windows
    rows = windows.felt(window)
    assert window.inject_ns is not None
    late = p99_of(rows).filter(pl.col("p99") > windows.felt_bounds[window.key] * SECOND)
    bounds = [_bound_s(history, window.inject_ns + second * SECOND) for second in late["second"]]
    late = late.with_columns(bound_s=pl.Series(bounds, dtype=pl.Float64), fault=pl.lit(_of(window)))
    late = late.filter(pl.col("p99") > pl.col("bound_s") * SECOND)  # not where the bound is null
    doubtful = [
        _is_doubtful(history, window.inject_ns + second * SECOND, p99_ns, bound_s)
        for second, p99_ns, bound_s in late.select("second", "p99", "bound_s").iter_rows()
    ]
    return rows.join(late.with_columns(doubtful=pl.Series(doubtful, dtype=pl.Boolean)), on="second")


def _is_doubtful(history: History, start_ns: int, p99_ns: int, bound_s: float) -> bool:
    """Return True if this second would be within its bound without the time that the machine took."""
    return p99_ns / SECOND - lost_s(history, start_ns, start_ns + SECOND + p99_ns) <= bound_s


def _bound_s(history: History, start_ns: int) -> float | None:
    """Return the largest bound of the faults whose windows overlap this second; None if one of them has none."""
    windows = facts_of(history).windows
    found = [
        windows.felt_bounds.get(other.key)
        for other in windows.all
        if other.inject_ns is not None and other.inject_ns < start_ns + SECOND and start_ns < windows.felt_end_ns(other)
    ]
    known = [bound for bound in found if bound is not None]
    return max(known) if known and len(known) == len(found) else None


def _of(window: Window) -> str:
    return f"{window.name} on {window.target}"


def _worst(late: pl.DataFrame) -> str:
    worst = late.sort("p99", "second", descending=[True, False]).row(0, named=True)
    p99_s, second, bound_s = worst["p99"] / 1e9, worst["second"], worst["bound_s"]
    return f"was felt for {p99_s:.1f} s (p99 of its second {second}; the bound is {bound_s:g} s)"


def _invalid(history: History, late: pl.DataFrame, detail: str, seconds: int) -> Finding:
    words = Words(history)

    def text(row: Row) -> str:
        return (
            f"{words.msg(row)}, {words.place(row)}, was due {words.at(row['due'])}, in second {row['second']} of "
            f"{row['fault']}, and shown on {words.device(row)} {row['latency_ns'] / 1e9:.1f} s later"
        )

    order = ["latency_ns", "due", "conv", "msg", "device"]
    slowest = late.sort(*order, descending=[True, False, False, False, False])
    return words.invalid(NAME, detail, Evidence(slowest, text), anomalies=seconds, tardy=True)
