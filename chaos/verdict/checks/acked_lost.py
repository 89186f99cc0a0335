"""acked_lost: an acknowledged message is still stored.

Guarantee: an acked message is in the final of every device of each member at its number, under that number. The sender
is one of them.
Anomaly: a lost message, or one that is kept under another number.
Unknown when a member device has no `final_done` for the conversation after the ack and no other device proves a loss.
Also when a device that did something has no user, or a message has no known member device.

    {"e":"ack","device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"final","device":2,"conv":7,"msg":4,"seq":2,..}
    {"e":"final_done","device":2,"conv":7,"head":3,..}          message 5 is lost

Decisions. A device's final counts once it has a `final_done` for the conversation, whatever its head. One that was
complete before the ack proves no loss. A head below an
acked number is a loss too. A member user without any device cannot lose anything. A message that was acked under two
numbers is lost under one of them. In a history with holes a removal may be unrecorded, which also ends a final early.
There a loss is proven only if the device's head reaches the number, or if no final has the message.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "acked_lost"
RANK = 10


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts distinct lost messages."""
    facts, words = facts_of(history), Words(history)
    if not facts.acks.height:
        return nothing(NAME)
    copies = nowhere = missing = 0
    lost, unread = [], []
    for part in facts.parts(facts.acks.join(facts.deleted, on=MESSAGE, how="anti")):
        due = facts.readers(part).select(*PLACE, "t", device="reader")
        due = due.join(facts.heads, on=["device", "conv"], how="left")
        lacking, proven = _missing(history, due)
        copies, missing = copies + due.height, missing + lacking.height
        nowhere += part.join(due, on=PLACE, how="anti").height
        lost.append(_grouped(history, due, proven))
        unread.append(_unread(history, due).group_by("device", "conv").agg(pl.len()))
    if any(rows.height for rows in lost):
        return _lost(history, pl.concat(lost))
    none = pl.DataFrame(schema={"device": pl.Int64, "conv": pl.Int64, "len": pl.UInt32})
    unfinished = pl.concat([none, *unread]).group_by("device", "conv").agg(pl.col("len").sum())
    doubts = [
        (missing, f"{count(missing, 'missing message')} may follow an unrecorded removal"),
        (unfinished.height, f"no complete read-back of {count(unfinished.height, 'conversation')} at member devices"),
        (nowhere, f"{count(nowhere, 'acked message')} with no known member device"),
        (facts.strangers.height, f"{count(facts.strangers.height, 'device')} without a user"),
    ]
    if any(number for number, _ in doubts):
        evidence = Evidence(
            unfinished.sort("conv", "device"),
            lambda row: (
                f"{words.device(row)} has no complete read-back of {words.conv(row)}, where it should have "
                f"{count(row['len'], 'acked message')}"
            ),
        )
        detail = "; ".join(text for number, text in doubts if number)
        return Finding(name=NAME, verdict="unknown", detail=detail, counterexamples=words.tell(evidence))
    return _all_there(facts.acks.height, copies)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if every final has every acked message."""
    acks = bulk.facts.acks.height
    if not acks:
        return nothing(NAME)
    if bulk.totals.lost or bulk.unread or bulk.facts.strangers.height:
        return None
    return _all_there(acks, bulk.totals.required)


def _all_there(acks: int, copies: int) -> Finding:
    detail = f"{count(acks, 'acked message')}, {count(copies, 'final copy', 'final copies')}"
    return Finding(name=NAME, verdict="valid", detail=f"{detail}, all there")


def _unread(history: History, due: pl.DataFrame) -> pl.DataFrame:
    """Return the copies at devices without a complete final, and those that finals lack which were read too early."""
    early = due.filter(pl.col("done") < pl.col("t"))
    early = early.join(facts_of(history).finals, on=["device", *PLACE], how="anti")
    return pl.concat([due.filter(pl.col("done").is_null()), early])


def _missing(history: History, due: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the copies that complete finals lack, and the subset of them that is certainly lost."""
    facts = facts_of(history)
    missing = due.filter(pl.col("done") >= pl.col("t")).join(facts.finals, on=["device", *PLACE], how="anti")
    if not history.holes:
        return missing, missing
    kept = facts.finals.select(MESSAGE).unique().with_columns(kept=True)
    missing = missing.join(kept, on=MESSAGE, how="left")
    return missing, missing.filter((pl.col("head") >= pl.col("seq")) | pl.col("kept").is_null())


def _grouped(history: History, due: pl.DataFrame, proven: pl.DataFrame) -> pl.DataFrame:
    """Return the losses, a row per message and number: lacking devices, member devices, ack time, other number."""
    moved = facts_of(history).finals.join(proven.select(MESSAGE).unique(), on=MESSAGE, how="semi")
    moved = moved.group_by("device", *MESSAGE).agg(elsewhere=pl.col("seq").min())
    return (
        proven.join(moved, on=["device", *MESSAGE], how="left")
        .group_by(PLACE)
        .agg(pl.col("device").sort(), pl.col("t").min(), pl.col("elsewhere").min())
        .join(due.group_by(PLACE).agg(all=pl.len()), on=PLACE)
    )


def _lost(history: History, lost: pl.DataFrame) -> Finding:
    words = Words(history)
    lost = lost.sort("t", *PLACE)

    def text(row: Row) -> str:
        moved_to = "" if row["elsewhere"] is None else f" (it is there under number {row['elsewhere']})"
        return (
            f"{words.msg(row)} was acked as {words.place(row)} {words.at(row['t'])}, and is not in the final of "
            f"{words.devices(row)} ({len(row['device'])} of {row['all']} member devices){moved_to}"
        )

    messages = lost.select(MESSAGE).unique().height
    lacking = int(lost["device"].list.len().sum())
    return words.invalid(
        NAME,
        f"{count(messages, 'acked message')} lost: {count(lacking, 'final')} of member devices lack one",
        Evidence(lost, text),
        anomalies=messages,
    )
