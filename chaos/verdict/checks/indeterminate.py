"""indeterminate: an unanswered send was taken everywhere or nowhere.

Guarantee: a send with neither an ack nor a definite refusal is in all finals that an acked message would have to be in,
or in none. Anomaly: a half-delivered message.

    {"e":"send","device":1,"conv":7,"msg":5,..}                 never acked
    {"e":"final","device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"final_done","device":2,"conv":7,"head":2,..}          device 2, a member, does not have it

Decisions. The finals concerned are those of the members at the number that the message took, as the finals tell it;
whether a device has it under that number is for `duplicates` to say. Displays do not count here: what was shown and is
in no final is for `session`. A member device without `final_done` makes the check unknown; when no final has the
message that is any device that ever was a member. With holes in the history, a device whose head is below the number
proves nothing (see acked_lost).
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "indeterminate"
RANK = 20


def check(history: History) -> Finding:
    """Judge; anomalies are distinct messages."""
    facts, words = facts_of(history), Words(history)
    asked = facts.indeterminate.join(facts.deleted, on=MESSAGE, how="anti")
    if not asked.height:
        return nothing(NAME)
    copies = facts.finals.join(asked, on=MESSAGE, how="semi")
    places = copies.select(PLACE).unique()
    due = facts.readers(places).rename({"reader": "device"}).join(facts.heads, on=["device", "conv"], how="left")
    missing = due.join(copies, on=["device", *MESSAGE], how="anti")
    proven = missing.filter(pl.col("head").is_not_null())
    if history.holes:
        proven = proven.filter(pl.col("head") >= pl.col("seq"))
    nowhere = asked.join(places, on=MESSAGE, how="anti")
    taken = asked.height - nowhere.height
    if proven.height:
        holders = copies.group_by(MESSAGE).agg(holder=pl.col("device").unique().sort())
        halves = proven.group_by(PLACE).agg(pl.col("device").sort()).join(holders, on=MESSAGE).sort(PLACE)

        def text(row: Row) -> str:
            return (
                f"{words.msg(row)} was neither acked nor refused; as {words.place(row)} it is in the final of "
                f"{words.devices(row, 'holder')}, and not in that of {words.devices(row)}"
            )

        messages = halves.select(MESSAGE).unique().height
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=f"{count(messages, 'unanswered send')} in some finals only",
            counterexamples=words.tell(Evidence(halves, text, ("device", "holder"))),
            anomalies=messages,
        )
    unread = pl.concat(
        [
            due.filter(pl.col("head").is_null()).select("device", "conv"),
            facts.device_spans.join(nowhere, on="conv", how="semi")
            .join(facts.heads, on=["device", "conv"], how="anti")
            .select("device", "conv"),
        ]
    ).unique()
    stray = places.join(due, on=PLACE, how="anti")
    if unread.height or missing.height or stray.height:
        detail = (
            f"{taken:,} of {count(asked.height, 'unanswered send')} taken, but "
            f"{count(unread.height, 'read-back')} of member devices incomplete, "
            f"{count(missing.height, 'copy', 'copies')} unaccounted for, {stray.height} with no known member device"
        )
        return Finding(name=NAME, verdict="unknown", detail=detail)
    detail = f"{count(asked.height, 'unanswered send')}: {taken} taken everywhere, {nowhere.height} nowhere"
    return Finding(name=NAME, verdict="valid", detail=detail)
