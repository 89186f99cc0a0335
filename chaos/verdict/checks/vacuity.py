"""vacuity: the history holds enough evidence.

Guarantee: every planned fault took effect and was healed, every phase had operations, the devices were online as
planned, and the history is whole.
Anomaly: a "valid" from a fault without effect, from a swarm that did not send or did not connect, or from a truncated
history. This check never says `invalid`.
Unknown when any of these fails, or the history holds fewer acked sends or deliveries than the experiment asks for.

    {"e":"plan","fault":"f1","name":"gateway-kill","target":"gateway-1",..}
    {"e":"fault","fault":"f1","phase":"inject","ok":false,..}    it is still running
    {"e":"hole","process":"worker-2",..}                         worker 2 died: what its devices saw is not known

Decisions. Only ever valid or unknown. Every history needs `min_acked` acked sends and `min_deliveries` deliveries; one
without a meta line needs only one acked send. A message that several devices sent is several messages of one name: what
became of each cannot be told. Phases that others told must hold sends, and none may follow the final one. The number 1
and the text "1" are two ids, which is nearly always a recorder's mistake. One of ours must have a steady phase with
sends, and for each fault that was planned sends from its injection to the end of its window; with faults, also acked
sends before the first one and after the last was healed.

In the steady phase of one of ours, outside fault windows, devices must be online for 95 % of the time for which the
plan wants them online. A device is wanted except in its planned absences; one that never did anything is wanted
throughout. Up to 5 s without a connection do not count as missing, for to connect takes time. Time in which nothing
tells whether a device was connected does not count as missing either.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Finding, count
from chaos.verdict.history.history import History
from chaos.verdict.relations.attendance import attendance
from chaos.verdict.relations.base import EVER, FOREVER, MESSAGE
from chaos.verdict.relations.facts import facts_of

NAME = "vacuity"
RANK = 900
MAX_TOLD = 5
LEAST_ONLINE: Final = 0.95
"""Lowest share of the planned online time in which devices are online."""


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts the reasons for doubt."""
    facts = facts_of(history)
    acked = facts.sends.join(facts.acks, on=MESSAGE, how="semi")
    doubts = _holes(history) + _volume(history, acked) + _names(history)
    doubts += _faults(history)
    if history.own or history.plans:
        doubts += _phases(history, acked)
    elif history.phases:
        doubts += _narrow(history)
    there = attendance(history) if history.own else None
    if there is not None and there.share < LEAST_ONLINE:
        doubts.append(f"{there} in calm, less than {LEAST_ONLINE:.0%}")
    if doubts:
        more = f"; and {len(doubts) - MAX_TOLD} more" if len(doubts) > MAX_TOLD else ""
        detail = "; ".join(doubts[:MAX_TOLD]) + more
        return Finding(name=NAME, verdict="unknown", detail=detail, anomalies=len(doubts))
    detail = f"{count(acked.height, 'acked send')}"
    if history.faults:
        detail += f", {count(len(facts.windows.all), 'fault')} that took effect and healed"
    if there is not None:
        detail += f", {there} in calm"
    return Finding(name=NAME, verdict="valid", detail=detail)


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)


def _holes(history: History) -> list[str]:
    return [f"hole in the history of {hole.process}: {hole.detail}" for hole in history.holes]


def _volume(history: History, acked: pl.DataFrame) -> list[str]:
    bounds = history.bounds
    doubts = []
    if acked.height < bounds.min_acked:
        doubts.append(f"{count(acked.height, 'acked send')}; {bounds.min_acked:,} are needed")
    deliveries = facts_of(history).delivered
    if deliveries < bounds.min_deliveries:
        doubts.append(f"{count(deliveries, 'delivery', 'deliveries')}; {bounds.min_deliveries:,} are needed")
    return doubts


def _names(history: History) -> list[str]:
    first = facts_of(history).sends.select(*MESSAGE, sender="device")
    others = facts_of(history).of("send").join(first, on=MESSAGE).filter(pl.col("device") != pl.col("sender"))
    shared = others.select(MESSAGE).unique().height
    doubts = [f"{count(shared, 'message')} sent by several devices"] if shared else []
    twins = history.twins.items()
    return doubts + [f'{what} {ids[0]} and "{ids[0]}" are two; write an id alike everywhere' for what, ids in twins]


def _faults(history: History) -> list[str]:
    windows = facts_of(history).windows
    doubts = [f"{window.name} on {window.target} was {window.evidence[0]}" for window in windows.missing]
    for window in windows.all:
        what = f"{window.name} on {window.target}"
        if not window.effective:
            doubts.append(f"{what} was not proven to take effect")
        if not window.healed:
            doubts.append(f"{what} was not proven healed")
    return doubts


def _narrow(history: History) -> list[str]:
    """Return why the phases that others told leave too little to judge."""
    sends, start, end = facts_of(history).sends["t"], history.start_ns, history.end_ns
    unwatched = int((sends > end).sum())
    doubts = [f"{count(unwatched, 'send')} after the final phase began"] if unwatched else []
    if not sends.is_between(start, end).any():
        doubts.append("no sends in the steady phase")
    return doubts


def _phases(history: History, acked: pl.DataFrame) -> list[str]:
    facts = facts_of(history)
    sends = facts.sends["t"]

    def any_in(times: pl.Series, start: int, end: int) -> bool:
        return bool(times.is_between(start, end, closed="left").any())

    doubts = []
    steady, quiesce = history.phase("steady"), history.phase("quiesce")
    if steady is None:
        doubts.append("the steady phase was never reached")
    elif not any_in(sends, steady, FOREVER if quiesce is None else quiesce):
        doubts.append("no sends in the steady phase")
    windows = facts.windows.all
    if not windows:
        return doubts
    cap_s = history.bounds.recovery_s
    doubts += [
        f"no sends while {window.name} on {window.target} was on"
        for window in windows
        if window.inject_ns is not None and not any_in(sends, window.inject_ns, window.end_ns(cap_s))
    ]
    first = min(window.inject_ns for window in windows if window.inject_ns is not None)
    if not any_in(acked["t"], EVER, first):
        doubts.append("no acked sends before the first fault")
    last = facts.windows.last_heal_ns
    if last is not None and not any_in(acked["t"], last, FOREVER):
        doubts.append("no acked sends after the last fault was healed")
    return doubts
