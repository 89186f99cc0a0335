"""catch_up: a device that comes back shows what it missed.

Guarantee: after `online`, everything acked before it, at numbers where the device's user is a member, is shown within
the bound. Anomaly: fan-out without catch-up, a page that is never asked for.

    {"e":"ack","t":1000000000,"conv":7,"msg":5,"seq":3,..}
    {"e":"online","t":2000000000,"device":2}
    {"e":"online","t":60000000000,"device":2}                   58 s online, message 5 never shown

Decisions. The bound counts from `online`, or from the end of the last fault window that overlaps the time until the
bound. It binds only if the device stays online that long: an `offline` (or another `online`) ends the duty, and the
next `online` begins a new one; that `online` comes at all is for `liveness`. What the device itself sent is not asked
for, as not every client displays it. Of a device online when the history ends, `liveness` judges. In a history with
holes a removal may have gone unrecorded: there a message counts as missed only if it was shown later or is in the
device's final; else the check is unknown.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Tally, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of

NAME = "catch_up"
RANK = 100


def _duties(history: History) -> pl.DataFrame:
    """device, online, deadline: each coming online that lasted until its bound."""
    bound_ns = round(history.bounds.catch_up_s * 1e9)
    facts, start = facts_of(history), pl.col("start")
    deadline = facts.windows.after(start, start + bound_ns, bound_ns)
    sessions = facts.stays.sessions.with_columns(deadline=deadline)
    return sessions.filter(pl.col("deadline") <= pl.col("end")).select("device", "deadline", online="start")


def check(history: History) -> Finding:
    """Judge; anomalies are messages shown late or never, each device's and each coming online."""
    facts, words = facts_of(history), Words(history)
    duties = _duties(history)
    bound_ns = round(history.bounds.catch_up_s * 1e9)
    due, missing, proven = 0, 0, Tally("online", "device", "conv", "seq", "msg")
    for part in facts.acked_readers():
        others = part.filter(pl.col("reader") != pl.col("device"))
        others = others.select(*MESSAGE, "seq", acked="t", device="reader")
        missed = _missed(others.join(facts.shown_of(part), on=["device", *MESSAGE], how="left"), duties, bound_ns)
        due, missing = due + others.height, missing + missed.height
        proven.add(facts.despite_holes(missed))
    if proven.height:

        def text(row: Row) -> str:
            shown = "never shown there" if row["shown"] is None else f"shown {words.at(row['shown'])}"
            return (
                f"{words.msg(row)}, {words.place(row)}, was acked {words.at(row['acked'])}; {words.device(row)} came "
                f"online {words.at(row['online'])} and had until {words.time(row['deadline'])}: {shown}"
            )

        detail = f"{count(proven.height, 'message')} not shown within {history.bounds.catch_up_s:g} s of coming online"
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=detail,
            counterexamples=words.tell(Evidence(proven.rows, text)),
            anomalies=proven.height,
        )
    if missing:
        detail = f"{count(missing, 'message')} not shown may follow an unrecorded removal"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    if not duties.height or not due:
        return nothing(NAME)
    detail = f"{duties.height:,} times a device came online and caught up within {history.bounds.catch_up_s:g} s"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _missed(due: pl.DataFrame, duties: pl.DataFrame, bound_ns: int) -> pl.DataFrame:
    """What was acked before a device came online, and not shown there by the end of that duty."""
    slow = due.filter(pl.col("shown").is_null() | (pl.col("shown") > pl.col("acked") + bound_ns))
    return slow.join(duties, on="device").filter(
        (pl.col("acked") < pl.col("online")) & (pl.col("shown").is_null() | (pl.col("shown") > pl.col("deadline")))
    )
