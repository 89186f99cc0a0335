"""catch_up: a device that comes back shows what it missed.

Guarantee: after `online`, everything acked before it is shown within the bound, at numbers where the device's user is a
member.
Anomaly: fan-out without catch-up, or a page that is never asked for.
Unknown when messages are not shown in a history with holes: a removal may be unrecorded.

    {"e":"ack","t":1000000000,"conv":7,"msg":5,"seq":3,..}
    {"e":"online","t":2000000000,"device":2}
    {"e":"online","t":60000000000,"device":2}                   58 s online, message 5 never shown

Decisions. The bound counts from `online`, or from the end of the last fault window that overlaps the time until the
bound. It binds only if the device stays online that long: an `offline` (or another `online`) ends the duty, and the
next `online` begins a new one; that `online` comes at all is for `liveness`. A deletion after the bound excuses
nothing. What the device itself sent is not asked for, as not every client displays it. Of a device online when the
history ends, `liveness` judges. What was never shown because everything was slow, until less than the bound before the
device left, counts as late (see machine). In a history with holes a removal may have gone unrecorded: there a message
counts as missed only if it was shown later or is in the device's final; else the check is unknown.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Tally, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, not_gone_by, not_shown_by
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.pace import had_no_time, slow_until

NAME = "catch_up"
RANK = 100


def _duties(history: History) -> pl.DataFrame:
    """Return device, online, deadline, end: each `online` after which the device stayed until its bound."""
    bound_ns = round(history.bounds.catch_up_s * 1e9)
    facts = facts_of(history)
    sessions = facts.windows.with_deadline(facts.stays.sessions, bound_ns, since="start")
    return sessions.filter(pl.col("deadline") <= pl.col("end")).select("device", "deadline", "end", online="start")


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts messages shown late or never, per device and `online`."""
    facts, words = facts_of(history), Words(history)
    duties = _duties(history)
    bound_ns = round(history.bounds.catch_up_s * 1e9)
    due = missing = never = excused = 0
    proven = Tally("online", "device", "conv", "seq", "msg")
    for part in facts.acked_readers():
        others = part.filter(pl.col("reader") != pl.col("device"))
        others = others.select(*MESSAGE, "seq", "gone", acked="t", device="reader")
        missed = _missed(others.join(facts.shown_of(part), on=["device", *MESSAGE], how="left"), duties, bound_ns)
        missed = missed.filter(not_gone_by(pl.col("deadline")))
        due, missing = due + others.height, missing + missed.height
        certain = facts.despite_holes(missed)
        proven.add(certain)
        never += certain["shown"].null_count()
        if never:
            excused += had_no_time(certain, slow_until(facts.samples, bound_ns), bound_ns, since="online")
    if proven.height:

        def text(row: Row) -> str:
            shown = "never shown there" if row["shown"] is None else f"shown {words.at(row['shown'])}"
            return (
                f"{words.msg(row)}, {words.place(row)}, was acked {words.at(row['acked'])}; {words.device(row)} came "
                f"online {words.at(row['online'])} and had until {words.time(row['deadline'])}: {shown}"
            )

        detail = f"{count(proven.height, 'message')} not shown within {history.bounds.catch_up_s:g} s of coming online"
        return words.invalid(NAME, detail, Evidence(proven.rows, text), anomalies=proven.height, tardy=never == excused)
    if missing:
        detail = f"{count(missing, 'message')} not shown may follow an unrecorded removal"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _caught_up(history, duties, due)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if nothing was missed."""
    duties, bound_ns = _duties(bulk.rest), round(bulk.rest.bounds.catch_up_s * 1e9)
    slow = bulk.slow.filter("acked").drop("acked").rename({"known": "acked"})
    return None if _missed(slow, duties, bound_ns).height else _caught_up(bulk.rest, duties, bulk.totals.expected)


def _caught_up(history: History, duties: pl.DataFrame, due: int) -> Finding:
    if not duties.height or not due:
        return nothing(NAME)
    detail = f"{duties.height:,} times a device came online and caught up within {history.bounds.catch_up_s:g} s"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _missed(due: pl.DataFrame, duties: pl.DataFrame, bound_ns: int) -> pl.DataFrame:
    """Return the messages acked before a device's `online` and not shown on it by that duty's deadline."""
    slow = due.filter(not_shown_by(pl.col("acked") + bound_ns))
    return slow.join(duties, on="device").filter(pl.col("acked") < pl.col("online"), not_shown_by(pl.col("deadline")))
