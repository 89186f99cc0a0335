"""latency: messages are fast outside fault windows.

Guarantee: outside fault windows, the p99 of show.t - due is within the bound. It is over deliveries to devices other
than the sending one. It counts from the time when the workload wanted the message sent, so a stall of the sender shows.
Anomaly: people wait longer than promised, or a stalled sender hides the wait.
Unknown when one of our own runs has fewer than 100 steady samples.

    {"e":"send","t":900,"due":100,"device":1,"conv":7,"msg":5,..}     the sender hung until 900
    {"e":"show","t":950,"device":2,"conv":7,"msg":5,..}               850 ns, not 50

Decisions. A delivery counts if the device was not away as planned from due to the display; an unplanned disconnection
excuses nothing. A fault window extends from the injection minus the bound (the message was on its way) to healing plus
recovery (see windows). A message is in a window if its due is. Steady samples are due from the start of the steady
phase on (without phases: all) and in no window. The p99 is by nearest rank. `liveness` judges what is never shown.
Receivers are distinguished by device: the sender's other devices count.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.percentiles import summarise
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
    least = min(MIN_STEADY, history.bounds.min_deliveries) if history.own else 0
    if samples.height < least:
        detail = f"only {count(samples.height, 'delivery', 'deliveries')} outside fault windows; {least} are needed"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    if not samples.height:
        return nothing(NAME)
    found = summarise(samples["latency_ns"])
    bound_ms = history.bounds.latency_ms
    assert found.p99 is not None
    number = count(found.n, "steady delivery", "steady deliveries")
    detail = f"p99 {found.p99:g} ms of {number}; the bound is {bound_ms:g} ms"
    late = samples.filter(pl.col("latency_ns") > bound_ms * 1e6)
    if found.p99 <= bound_ms:
        return Finding(name=NAME, verdict="valid", detail=detail)
    words = Words(history)

    def text(row: Row) -> str:
        return (
            f"{words.msg(row)}, {words.place(row)}, was due {words.at(row['due'])} and shown on {words.device(row)} "
            f"{row['latency_ns'] / 1e6:,.1f} ms later"
        )

    slowest = late.sort("latency_ns", "due", "conv", "msg", "device", descending=[True, False, False, False, False])
    return words.invalid(NAME, detail, Evidence(slowest, text), anomalies=late.height)
