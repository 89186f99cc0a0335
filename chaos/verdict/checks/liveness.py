"""liveness: every message arrives in time.

Guarantee: each message that took its place is shown on every present member device within the bound. The bound counts
from the ack, or from the heal of a fault that was active meanwhile.
Anomaly: a lost notification that nothing makes up for.
Unknown when the history ends before the bound has passed, a fault was never proven healed, or nothing tells whether a
device was present.

    {"e":"fault","t":1000000000,"phase":"heal",..}
    {"e":"ack","t":2000000000,"device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"online","t":60000000000,"device":3}                   58 s later device 2 still has not shown message 5

Decisions. Due is what was acked, and what was not but arrived or was displayed anywhere, from the first such event on;
a message that only finals know took its place at an unknown time and is not due, nor is one that nobody sent. A device
is there while it is not away as planned (see stays): a connection that breaks and does not come back excuses nothing,
nor does a device that begins to come back (`due_online`) and is not let in. In a history without any connection event
nothing tells whether a device that never did anything was there: what it did not show makes the check unknown. It must
be there for the whole bound, counted again from each return, and from the heal of a fault that was on within it. What
is not shown when the history ends before the bound has passed makes the check unknown, and so does a fault that was
never proven healed; a device that leaves as planned before the quiesce phase (without phases: before the end) owes
nothing more. What was never shown because everything was slow, until less than the bound before its device's end,
counts as late (see machine). The sending device is not asked to display its own message. In a history with holes a
removal may have gone unrecorded: there a message counts as missed only if it was shown later or is in the device's
final. A message that is deleted before its bound has passed is due no more.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Tally, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, not_gone_by, not_shown_by
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.pace import had_no_time, slow_until

NAME = "liveness"
RANK = 110


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts messages shown late or never, per device."""
    facts, words = facts_of(history), Words(history)
    unhealed = facts.windows.unhealed
    if unhealed:
        detail = f"{count(len(unhealed), 'fault')} never proven healed: {unhealed[0].name} on {unhealed[0].target}"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    bound_ns = round(history.bounds.liveness_s * 1e9)
    due = away = silent = late = gone = excused = 0
    proven = Tally("deadline", "device", "conv", "seq", "msg")
    at_the_end = _at_the_end(history)
    for part in facts.parts(_known(history)):
        here = _due(history, part)
        never, tardy, too_short = _slow(history, here, at_the_end, bound_ns)
        certain = facts.despite_holes(tardy)
        proven.add(certain)
        gone += certain["shown"].null_count()
        excused += _excused(history, certain, bound_ns)
        due, away, late = due + here.height, away + never.height, late + tardy.height + too_short.height
        silent += _silent(history, never)
    if not due:
        return nothing(NAME)
    if proven.height:

        def text(row: Row) -> str:
            shown = "never shown" if row["shown"] is None else f"shown {words.at(row['shown'])}"
            return (
                f"{words.msg(row)}, {words.place(row)}, was due on {words.device(row)} since "
                f"{words.time(row['since'])} and had until {words.time(row['deadline'])}: {shown}"
            )

        detail = f"{count(gone, 'delivery', 'deliveries')} never shown, {proven.height - gone:,} shown too late"
        return words.invalid(NAME, detail, Evidence(proven.rows, text), anomalies=proven.height, tardy=gone == excused)
    if late:
        detail = f"{count(late, 'delivery', 'deliveries')} not shown, but " + (
            "the history is incomplete"
            if history.holes
            else f"it ends before {history.bounds.liveness_s:g} s have passed"
        )
        return Finding(name=NAME, verdict="unknown", detail=detail)
    if silent and not facts.stays.told:
        detail = f"{count(silent, 'delivery', 'deliveries')} not shown on devices that may have been there or not"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _in_time(due, away)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if everything was shown in time."""
    history, facts = bulk.rest, bulk.facts
    if facts.windows.unhealed:
        return check(history)  # reads no more than that
    if not bulk.totals.owed:
        return nothing(NAME)
    never, tardy, too_short = _slow(history, bulk.slow, _at_the_end(history), round(history.bounds.liveness_s * 1e9))
    if tardy.height or too_short.height or (_silent(history, never) and not facts.stays.told):
        return None
    return _in_time(bulk.totals.owed, never.height)


def _in_time(due: int, away: int) -> Finding:
    detail = f"{count(due - away, 'delivery', 'deliveries')} shown, {away:,} not due on devices that were away"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _slow(
    history: History, here: pl.DataFrame, at_the_end: pl.DataFrame, bound_ns: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the rows of `here` (see _due) that were never shown; those too late; those whose time ended before."""
    slow = here.filter(not_shown_by(pl.col("known") + bound_ns))
    slow = slow.join(facts_of(history).deleted, on=MESSAGE, how="left")
    judged = _judged(history, slow, bound_ns)
    tardy = slow.join(judged, on=["device", *MESSAGE])
    tardy = tardy.filter(not_shown_by(pl.col("deadline")), not_gone_by(pl.col("deadline")))
    never = slow.filter(pl.col("shown").is_null())
    too_short = (
        never.join(judged, on=["device", *MESSAGE], how="anti")
        .filter(pl.col("gone").is_null())
        .join(at_the_end, on="device")
        .filter((pl.col("end") >= pl.col("known")) | pl.lit(bool(history.holes)))
    )
    return never, tardy, too_short


def _silent(history: History, never: pl.DataFrame) -> int:
    """Return how many were never shown on devices that never did anything."""
    silent = never.join(facts_of(history).stays.watched, on="device", how="anti")
    return silent.filter(pl.col("gone").is_null()).height


def _excused(history: History, tardy: pl.DataFrame, bound_ns: int) -> int:
    """Return how many were never shown because everything was slow until the end, or nearly."""
    if not tardy["shown"].null_count():
        return 0
    facts = facts_of(history)
    last = facts.stays.presences.group_by("device").agg(pl.col("end").max())
    return had_no_time(tardy.join(last, on="device"), slow_until(facts.samples, bound_ns), bound_ns, since="since")


def _at_the_end(history: History) -> pl.DataFrame:
    """Return device, end: devices present when sends stop or the watched time ends, and the end of their presence."""
    stays, stop = facts_of(history).stays, history.phase("quiesce")
    last = stays.presences.group_by("device").agg(pl.col("end").max()).join(stays.watched, on="device")
    return last.filter(pl.col("end") >= pl.min_horizontal("until", pl.lit(stop))).select("device", "end")


def _judged(history: History, slow: pl.DataFrame, bound_ns: int) -> pl.DataFrame:
    """Return device, conv, msg, deadline, since: the deadlines of devices that were present until then."""
    facts = facts_of(history)
    chances = slow.join(facts.stays.presences, on="device").with_columns(since=pl.max_horizontal("start", "known"))
    chances = chances.with_columns(deadline=facts.windows.deadline(pl.col("since"), bound_ns))
    chances = chances.filter(pl.col("end") >= pl.col("deadline")).sort("deadline", "since")
    return chances.group_by("device", *MESSAGE).agg(pl.col("deadline", "since").first())


def _known(history: History) -> pl.DataFrame:
    """Return conv, msg, seq, sender, known: messages that took their place, and when they were acked or first seen."""
    facts = facts_of(history)
    return (
        facts.places.filter(pl.col("t").is_not_null())
        .join(facts.acks.group_by(MESSAGE).agg(acked=pl.col("t").min()), on=MESSAGE, how="left")
        .join(facts.sends.select(*MESSAGE, sender="device"), on=MESSAGE, how="left")
        .filter(pl.col("acked").is_not_null() | pl.col("sender").is_not_null())
        .with_columns(known=pl.coalesce("acked", "t"))
    )


def _due(history: History, known: pl.DataFrame) -> pl.DataFrame:
    """Return device, conv, msg, seq, known, shown: each required display, and when it happened (null: never)."""
    facts = facts_of(history)
    at_readers = facts.readers(known).rename({"reader": "device"})
    others = at_readers.filter(pl.col("device").ne_missing(pl.col("sender")))
    others = others.sort("seq").unique(["device", *MESSAGE], keep="first", maintain_order=True)
    found = others.join(facts.shown_of(known), on=["device", *MESSAGE], how="left")
    return found.select("device", *MESSAGE, "seq", "known", "shown")
