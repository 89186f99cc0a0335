"""latency: messages are fast outside fault windows.

Guarantee: outside fault windows, the p99 of show.t - due is within the bound. It is over deliveries to devices other
than the sending one. It counts from the time when the workload wanted the message sent, so a stall of the sender shows.
Anomaly: people wait longer than promised, or a stalled sender hides the wait.
Unknown when one of our own runs has fewer than 100 steady samples. Also when the p99 is over the bound only by what was
on its way as other programs filled the cores.

    {"e":"send","t":900,"due":100,"device":1,"conv":7,"msg":5,..}     the sender hung until 900
    {"e":"show","t":950,"device":2,"conv":7,"msg":5,..}               850 ns, not 50

Decisions. A delivery counts where the device was not away as planned from due to the display, nor on its way back from
that: then `liveness` and `catch_up` say how long it may take. A connection that broke unplanned excuses nothing. A
message is in a fault window if its due lies between injection minus the bound (it was on its way) and healing plus
recovery (see windows). Steady are those due from the start of the steady phase on (without phases: all) and in no
window. Nearest-rank p99; a run of ours with fewer than 100 steady samples is unknown. What is never shown is for
`liveness`. Receivers are told apart by device: the sender's other devices count.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.percentiles import p99_ns, summarise
from chaos.verdict.relations.busy import full_spans
from chaos.verdict.relations.facts import facts_of

NAME = "latency"
RANK = 150
MIN_STEADY = 100
"""Minimum number of samples; with fewer, the p99 is no more than the maximum."""


def steady(history: History) -> pl.DataFrame:
    """Return the samples (see Facts.samples) outside fault windows."""
    samples = facts_of(history).samples
    start = history.phase("steady")
    if start is not None:
        samples = samples.filter(pl.col("due") >= start)
    for first, end in facts_of(history).windows.spans(lead_ns=round(history.bounds.latency_ms * 1e6)):
        samples = samples.filter(~pl.col("due").is_between(first, end))
    return samples


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts steady deliveries later than the bound, if the p99 is."""
    samples = steady(history)
    if (finding := _within(history, samples)) is not None:
        return finding
    if (finding := _but_for_others(history, samples)) is not None:
        return finding
    bound_ms = history.bounds.latency_ms
    late = samples.filter(pl.col("latency_ns") > bound_ms * 1e6)
    words = Words(history)

    def text(row: Row) -> str:
        return (
            f"{words.msg(row)}, {words.place(row)}, was due {words.at(row['due'])} and shown on {words.device(row)} "
            f"{row['latency_ns'] / 1e6:,.1f} ms later"
        )

    slowest = late.sort("latency_ns", "due", "conv", "msg", "device", descending=[True, False, False, False, False])
    detail = _detail(samples, bound_ms)
    return words.invalid(NAME, detail, Evidence(slowest, text), anomalies=late.height, tardy=True)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if the p99 is within the bound."""
    return _within(bulk.rest, steady(bulk.rest))


def _within(history: History, samples: pl.DataFrame) -> Finding | None:
    """Return the finding of steady samples whose p99 is within the bound, or that are too few; else None."""
    least = min(MIN_STEADY, history.bounds.min_deliveries) if history.own else 0
    if samples.height < least:
        detail = f"only {count(samples.height, 'delivery', 'deliveries')} outside fault windows; {least} are needed"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    if not samples.height:
        return nothing(NAME)
    if _is_over(samples, history.bounds.latency_ms):
        return None
    return Finding(name=NAME, verdict="valid", detail=_detail(samples, history.bounds.latency_ms))


def _but_for_others(history: History, samples: pl.DataFrame) -> Finding | None:
    """Return the finding if the p99 is within the bound without what was on its way as others filled the cores.

    A few such seconds are too few for `machine`, and enough for a p99. None if too little is left without them.
    """
    spans, rest = full_spans(history) if history.own else [], samples
    for first, last in spans:
        rest = rest.filter((pl.col("due") > last) | (pl.col("due") + pl.col("latency_ns") < first))
    if rest.height in (0, samples.height) or rest.height < samples.height / 2:
        return None
    bound_ms, without = history.bounds.latency_ms, summarise(rest["latency_ns"])
    if _is_over(rest, bound_ms):
        return None
    detail = (
        f"{_detail(samples, bound_ms)}; {without.p99:g} ms of the {without.n:,} that were not on their way as other"
        f" programs filled the cores ({count(len(spans), 'time')})"
    )
    return Finding(name=NAME, verdict="unknown", detail=detail)


def _is_over(samples: pl.DataFrame, bound_ms: float) -> bool:
    """Return True if the p99 is over the bound, were it by one ns."""
    return (p99_ns(samples["latency_ns"]) or 0) > bound_ms * 1e6


def _detail(samples: pl.DataFrame, bound_ms: float) -> str:
    number = count(samples.height, "steady delivery", "steady deliveries")
    p99 = f"{summarise(samples['latency_ns']).p99:g}"
    if p99 == f"{bound_ms:g}" and _is_over(samples, bound_ms):
        p99 = f"just over {p99}"
    return f"p99 {p99} ms of {number}; the bound is {bound_ms:g} ms"
