"""answers: sends are acknowledged in time.

Guarantee: outside fault windows at least 99.9 % of the sends of members are acked, and each ack comes within the bound.
Anomaly: a member whose sends are refused for good, or a sender that never gets an answer.
Unknown when too few sends are acked in a history with holes: a removal may be unrecorded.

    {"e":"send","t":1000000000,"device":1,"conv":7,"msg":5,..}
    {"e":"nack","t":1010000000,"device":1,"conv":7,"msg":5,"definite":true,..}  device 1's user is a member
    {"e":"send","t":2000000000,"device":1,"conv":7,"msg":6,..}                  and 6 is never answered

Decisions. A send is a member's if two conditions hold. Its device's user is a member when it is sent, by the times of
the membership changes. The user is not removed within the bound after it, because near a removal a refusal is right. A
refusal that asks for a retry is not an answer. A send in a fault window is not judged, nor is one that was unanswered
when a window began. The sender must not be away as planned within the bound, and must be watched until its end. A
device that leaves cannot be answered. A late ack is always an anomaly. Sends that are refused or never answered are
anomalies once they are more than one in a thousand. In a history with holes only late acks are proven.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, MESSAGE
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.stays import apart

NAME = "answers"
RANK = 155
ALLOWED: Final = 1000
"""At most one in this many sends may lack an ack."""


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts sends."""
    words, bound_ns = Words(history), round(history.bounds.answer_s * 1e9)
    asked = _judged(history, bound_ns)
    if not asked.height:
        return nothing(NAME)
    late = asked.filter(pl.col("acked") > pl.col("t") + bound_ns)
    unacked = asked.filter(pl.col("acked").is_null()).sort("t", *MESSAGE)
    share = f"{100 * (asked.height - unacked.height) / asked.height:.4g} %"
    detail = f"{share} of {count(asked.height, 'send')} of members acked, {late.height:,} of them late"
    too_few = unacked.height * ALLOWED > asked.height
    if not late.height and not too_few:
        return Finding(name=NAME, verdict="valid", detail=f"{detail}; the bound is {history.bounds.answer_s:g} s")
    if not late.height and history.holes:
        detail += "; a removal may have gone unrecorded"
        return Finding(name=NAME, verdict="unknown", detail=detail)

    def waited(row: Row) -> str:
        wait_s = (row["acked"] - row["t"]) / 1e9
        return f"{words.device(row)} sent {words.msg(row)} {words.at(row['t'])} and got the ack {wait_s:,.3f} s later"

    def refused(row: Row) -> str:
        sent = f"{words.device(row)}, whose user is a member of {words.conv(row)}, sent {words.msg(row)} "
        end = "and was never answered" if row["refused"] is None else "and was refused for good"
        return f"{sent}{words.at(row['t'])} {end}"

    proven = unacked if too_few and not history.holes else unacked.clear()
    return words.invalid(
        NAME,
        detail,
        Evidence(late.sort("t", *MESSAGE), waited),
        Evidence(proven, refused),
        anomalies=late.height + proven.height,
        tardy=not proven["refused"].count(),
    )


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)


def _judged(history: History, bound_ns: int) -> pl.DataFrame:
    """Return the sends that had to be acked in time: conv, msg, device, t, acked, refused.

    `acked` and `refused` are the first such times; null means never.
    """
    facts = facts_of(history)
    acks = facts.acks.group_by(MESSAGE).agg(acked=pl.col("t").min())
    nacks = facts.of("nack").filter(pl.col("arg") == 1).group_by(MESSAGE).agg(refused=pl.col("t").min())
    asked = _of_members(history, bound_ns).join(acks, on=MESSAGE, how="left").join(nacks, on=MESSAGE, how="left")
    until = pl.col("t") + bound_ns
    asked = facts.windows.clear_of(asked.with_columns(until=until), start="t", end="t")
    in_time = pl.col("acked") <= pl.col("until")
    answered = asked.filter(in_time)
    rest = asked.filter(in_time.fill_null(value=False).not_()).join(
        facts.stays.watched.select("device", watched="until"), on="device"
    )
    rest = apart(rest.filter(pl.col("until") <= pl.col("watched")), facts.stays.absences, start="t", end="until")
    upto = pl.min_horizontal("until", "refused")
    rest = facts.windows.clear_of(rest.with_columns(upto=upto), start="t", end="upto")
    columns = [*MESSAGE, "device", "t", "acked", "refused"]
    return pl.concat([answered.select(columns), rest.select(columns)])


def _of_members(history: History, bound_ns: int) -> pl.DataFrame:
    """Return the sends (see Facts.sends) of devices whose user is a member and is not removed within the bound."""
    facts, stay = facts_of(history), ["conv", "user"]
    began = pl.when((pl.col("seq") == 0) & (pl.col("arg") == 1)).then(EVER).otherwise("t")
    changes = facts.of("member").select(*stay, change=began, is_member="arg").sort("change", "is_member")
    sends = facts.sends.join(facts.owners, on="device").sort("t")
    now = sends.join_asof(changes, left_on="t", right_on="change", by=stay, check_sortedness=False)
    removals = changes.filter(pl.col("is_member") == 0).select(*stay, removed="change")
    soon = now.filter(pl.col("is_member") == 1).join_asof(
        removals, left_on="t", right_on="removed", by=stay, strategy="forward", check_sortedness=False
    )
    kept = soon.filter(pl.col("removed").is_null() | (pl.col("removed") > pl.col("t") + bound_ns))
    return kept.select(*MESSAGE, "device", "t").unique(MESSAGE, maintain_order=True)
