"""What the numbers of a page do not say by themselves: which deliveries are not timed, what the slowest steady one is.

Pure: the values come from the history, the sentences are for people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from chaos.verdict.checks.latency import steady
from chaos.verdict.history.history import History
from chaos.verdict.model import Percentiles, Verdict
from chaos.verdict.percentiles import summarise
from chaos.verdict.relations.facts import facts_of
from dashboards.report.lanes import Lane
from dashboards.report.wording import milliseconds, thousands

NEAR_S = 5.0
"""Seconds within which a fault window or a stall is told beside the slowest delivery."""


def in_windows(history: History) -> Percentiles:
    """Return the latencies of the timed deliveries that were due in a fault window."""
    samples = facts_of(history).samples
    inside = pl.lit(False)
    for first, end in facts_of(history).windows.spans(lead_ns=round(history.bounds.latency_ms * 1e6)):
        inside = inside | pl.col("due").is_between(first, end)
    return summarise(samples.filter(inside)["latency_ns"])


def reconnects(history: History, lane: Lane) -> int:
    """Return how many connections were lost from the injection until the end of a fault's window."""
    until_s = lane.stop_s if lane.recovered_s is None else lane.recovered_s
    start, stop = (history.start_ns + round(at_s * 1e9) for at_s in (lane.start_s, until_s))
    lost = history.events.filter(
        (pl.col("e") == "offline") & (pl.col("arg").fill_null(0) == 0) & pl.col("t").is_between(start, stop)
    )
    return lost.height


def notes(verdict: Verdict, history: History, lanes: Sequence[Lane]) -> list[str]:
    """Return the sentences under the table of latencies."""
    return [*_untimed(verdict), *_before(verdict, history), *_slowest(history, lanes)]


def _untimed(verdict: Verdict) -> Iterator[str]:
    deliveries, timed = verdict.counts.deliveries, verdict.latency_ms.all.n
    if deliveries > timed:
        yield (
            f"{thousands(deliveries)} deliveries, of which {thousands(timed)} are timed. The other "
            f"{thousands(deliveries - timed)} waited for a device that was away as planned, or had just come back: "
            "they tell of its user and not of the system. The checks catch_up and liveness judge them."
        )


def _before(verdict: Verdict, history: History) -> Iterator[str]:
    steady_n, all_n, inside = verdict.latency_ms.steady.n, verdict.latency_ms.all.n, in_windows(history).n
    if rest := all_n - steady_n - inside:
        yield f"{thousands(rest)} timed deliveries were due before the steady phase and are in the last row only."


def _slowest(history: History, lanes: Sequence[Lane]) -> Iterator[str]:
    """Say when the slowest steady delivery was due, how many like it there are, and what was near."""
    samples = steady(history)
    if not samples.height:
        return
    bound_ns = history.bounds.latency_ms * 1e6
    slowest = samples.sort("latency_ns").row(-1, named=True)
    due_s = (slowest["due"] - history.start_ns) / 1e9
    late = samples.filter(pl.col("latency_ns") > bound_ns)
    text = (
        f"The slowest steady delivery took {milliseconds(slowest['latency_ns'] / 1e6)} ms and was due at {due_s:.1f} s"
    )
    if near := _near(history, lanes, due_s, slowest["t"]):
        text += f", {near}"
    yield f"{text}."
    if late.height:
        seconds = late.select((pl.col("due") - history.start_ns) // 10**9).to_series()
        few = late.height * 1000 < samples.height
        rare = ": fewer than one in a thousand, so they are in the maximum and not in p99.9" if few else ""
        yield (
            f"{thousands(late.height)} of {thousands(samples.height)} steady deliveries took more than "
            f"{history.bounds.latency_ms:g} ms, all due in {seconds.n_unique()} "
            f"second{'s' if seconds.n_unique() > 1 else ''} of the run{rare}."
        )


def _near(history: History, lanes: Sequence[Lane], due_s: float, shown_ns: int) -> str:
    stalls = [
        (max(seen.stalls_s), seen.process)
        for seen in history.machine
        if seen.stalls_s and abs(seen.t - shown_ns) <= (NEAR_S + seen.span_s) * 1e9 / 2
    ]
    parts = []
    if stalls and max(stalls)[0] >= 0.1:
        parts.append(f"when {max(stalls)[1]} itself woke {max(stalls)[0] * 1000:.0f} ms late")
    for lane in lanes:
        end_s = lane.stop_s if lane.recovered_s is None else lane.recovered_s
        if 0 <= due_s - end_s <= NEAR_S:
            parts.append(f"{due_s - end_s:.1f} s after the window of {lane.label}")
        elif 0 <= lane.start_s - due_s <= NEAR_S:
            parts.append(f"{lane.start_s - due_s:.1f} s before {lane.label}")
    return ", ".join(parts)
