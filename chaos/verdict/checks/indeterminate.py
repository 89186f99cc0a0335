"""indeterminate: an unanswered send was taken everywhere or nowhere.

Guarantee: a send with neither an ack nor a definite refusal is in the finals of all member devices, or in none.
Anomaly: a half-delivered message.
Unknown when a member device has no `final_done`; if no final has the message, that is any device that was ever a
member.

    {"e":"send","device":1,"conv":7,"msg":5,..}                 never acked
    {"e":"final","device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"final_done","device":2,"conv":7,"head":2,..}          device 2, a member, does not have it

Decisions. The finals concerned are those of the members at the number that the finals give the message. `duplicates`
judges whether a device has it under that number. Displays do not count here: `session` judges what was shown and is in
no final. With holes in the history, a device whose head is below the number proves nothing (see acked_lost).
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "indeterminate"
RANK = 20


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts distinct messages."""
    facts, words = facts_of(history), Words(history)
    asked = facts.indeterminate.join(facts.deleted, on=MESSAGE, how="anti")
    if not asked.height:
        return nothing(NAME)
    copies = facts.finals.join(asked, on=MESSAGE, how="semi")
    places = copies.select(PLACE).unique()
    halves, unread, lacking, stray = [], [], 0, 0
    for part in facts.parts(places):
        due = facts.readers(part).rename({"reader": "device"}).join(facts.heads, on=["device", "conv"], how="left")
        missing = due.join(copies, on=["device", *MESSAGE], how="anti")
        known = pl.col("head") >= pl.col("seq") if history.holes else pl.col("head").is_not_null()
        halves.append(missing.filter(known).group_by(PLACE).agg(pl.col("device").sort()))
        unread.append(due.filter(pl.col("head").is_null()).select("device", "conv").unique())
        lacking, stray = lacking + missing.height, stray + part.join(due, on=PLACE, how="anti").height
    nowhere = asked.join(places, on=MESSAGE, how="anti")
    taken = asked.height - nowhere.height
    if any(rows.height for rows in halves):
        holders = copies.group_by(MESSAGE).agg(holder=pl.col("device").unique().sort())
        divided = pl.concat(halves).join(holders, on=MESSAGE).sort(PLACE)

        def text(row: Row) -> str:
            return (
                f"{words.msg(row)} was neither acked nor refused; as {words.place(row)} it is in the final of "
                f"{words.devices(row, 'holder')}, and not in that of {words.devices(row)}"
            )

        messages = divided.select(MESSAGE).unique().height
        return words.invalid(
            NAME,
            f"{count(messages, 'unanswered send')} in some finals only",
            Evidence(divided, text, ("device", "holder")),
            anomalies=messages,
        )
    fresh = facts.device_spans.join(nowhere, on="conv", how="semi").join(facts.heads, on=["device", "conv"], how="anti")
    incomplete = pl.concat([*unread, fresh.select("device", "conv")]).unique()
    if incomplete.height or lacking or stray:
        detail = (
            f"{taken:,} of {count(asked.height, 'unanswered send')} taken, but "
            f"{count(incomplete.height, 'read-back')} of member devices incomplete, "
            f"{count(lacking, 'copy', 'copies')} unaccounted for, {stray} with no known member device"
        )
        return Finding(name=NAME, verdict="unknown", detail=detail)
    detail = f"{count(asked.height, 'unanswered send')}: {taken} taken everywhere, {nowhere.height} nowhere"
    return Finding(name=NAME, verdict="valid", detail=detail)


def quick(bulk: Condensed) -> Finding:
    """Return the finding; the rest of the history has all that this check reads."""
    return check(bulk.rest)
