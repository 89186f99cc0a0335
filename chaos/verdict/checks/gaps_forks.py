"""gaps_forks: all devices see the same conversation, without holes.

Guarantee: one number of a conversation is one message with one content, or one membership change, on all devices. A
final has no hole from the member's first number to the head.
Anomaly: two devices that see different conversations, or a number that nobody has.
Unknown when the history has holes and a missing number may be an unrecorded membership change.

    {"e":"final","device":2,"conv":7,"msg":5,"seq":3,"hash":1,..}
    {"e":"final","device":3,"conv":7,"msg":6,"seq":3,"hash":2,..}     number 3 is two messages
    {"e":"final_done","device":3,"conv":7,"head":4,..}                and device 3 lacks number 4

Decisions. An edited message may have several contents, but not in finals that were read the bound of liveness after its
last edit, on devices that stayed members. Acks, arrivals, displays and finals all tell which message has a number.
Membership changes, edits, deletions and reactions take numbers of their own. Such a number is no hole in a final. A
message with the number of a change is a fork, and so are two changes with one number. Numbers begin at 1; a message or
a removal with number 0 is a fork too. Holes are looked for within the member's stays, up to the head of a complete
read-back. Messages read beyond that head count as present. Without `final_done` a final has no known end, and is not
judged here. In a history with holes a missing number is proven only if some event names a message with that number.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import FOREVER, MESSAGE, in_stay
from chaos.verdict.relations.facts import facts_of

NAME = "gaps_forks"
RANK = 50
NUMBER = ["conv", "seq"]


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts missing numbers (per device) and numbers that are not one message."""
    facts, words = facts_of(history), Words(history)
    forks, changes = _forks(history), _changes(history)
    if not facts.places.height and not facts.heads.height and not changes.height:
        return nothing(NAME)
    gaps = _gaps(history)
    doubtful = gaps.clear()
    if history.holes:
        known = facts.places.select("conv", known="seq").unique().sort("known")
        gaps = gaps.sort("seq").join_asof(
            known, left_on="seq", right_on="known", by="conv", strategy="forward", check_sortedness=False
        )
        is_proven = (pl.col("known") <= pl.col("to")).fill_null(value=False)
        proven, doubtful = gaps.filter(is_proven), gaps.filter(~is_proven)
        gaps = proven
    gaps = gaps.sort("conv", "seq", "device")
    missing = sum((gaps["to"] - gaps["seq"] + 1).to_list())  # by Python: several huge heads are more than an i64 holds

    def gap(row: Row) -> str:
        last = "" if row["to"] == row["seq"] else f" to {row['to']}"
        return f"the final of {words.device(row)} has nothing at {words.place(row)}{last}; its head is {row['head']}"

    def fork(row: Row) -> str:
        if row["change"]:
            return f"{words.place(row)} is a membership change, and is {words.msg(row)} on {words.devices(row)}"
        if row["seq"] < 1:
            return f"{words.msg(row)} has number {row['seq']} in {words.conv(row)}; numbers begin at 1"
        what = (
            f"{row['messages']} messages" if row["messages"] > 1 else f"{words.msg(row)} with {row['bodies']} contents"
        )
        return f"{words.place(row)} is {what}: {words.devices(row)} do not agree"

    def change(row: Row) -> str:
        if row["seq"] < 1:
            return f"a user is removed from {words.conv(row)} by number 0, which is the creation"
        return f"{words.place(row)} is {row['changes']} changes"

    forked = forks.height + changes.height
    if gaps.height or forked:
        return words.invalid(
            NAME,
            f"{count(missing, 'missing number')} in finals, {count(forked, 'number')} not one message",
            Evidence(forks, fork),
            Evidence(changes, change),
            Evidence(gaps, gap),
            anomalies=missing + forked,
        )
    if doubtful.height:
        detail = f"{count(doubtful.height, 'hole')} in finals may be membership changes that went unrecorded"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _whole(facts.places.select(NUMBER).unique().height, facts.heads.height)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if no final has a hole; what is condensed has no forks."""
    heads = bulk.facts.heads.height
    if bulk.totals.gap or _changes(bulk.rest).height:
        return None
    return _whole(bulk.messages, heads) if bulk.messages or heads else nothing(NAME)


def _whole(numbers: int, heads: int) -> Finding:
    detail = f"{count(numbers, 'number')} with one message each, {count(heads, 'final')} without holes"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _forks(history: History) -> pl.DataFrame:
    """Return the numbers that are not one message: conv, seq, msg, messages, bodies, change, device (all concerned)."""
    facts = facts_of(history)
    acked = facts.acks.select("device", *NUMBER, "msg", hash=pl.lit(None, dtype=pl.Int64))
    seen = facts.seen.select(acked.columns).join(facts.edited, on=MESSAGE, how="anti")
    changing = facts.seen.join(facts.edited, on=MESSAGE, how="semi").with_columns(hash=pl.lit(None, dtype=pl.Int64))
    told = pl.concat([seen, changing.select(acked.columns), _settled(history).select(acked.columns), acked])
    numbers = told.group_by(NUMBER).agg(
        pl.col("msg").min(), messages=pl.col("msg").n_unique(), bodies=pl.col("hash").drop_nulls().n_unique()
    )
    changes = facts.changes.with_columns(change=True)
    numbers = numbers.join(changes, on=NUMBER, how="left").with_columns(pl.col("change").fill_null(value=False))
    wrong = numbers.filter((pl.col("messages") > 1) | (pl.col("bodies") > 1) | pl.col("change") | (pl.col("seq") < 1))
    who = told.join(wrong, on=NUMBER, how="semi").group_by(NUMBER).agg(pl.col("device").unique().sort())
    return wrong.join(who, on=NUMBER).sort(NUMBER)


def _settled(history: History) -> pl.DataFrame:
    """Return device, conv, seq, msg, hash: finals that must have the last content of an edited message."""
    facts, bound_ns = facts_of(history), round(history.bounds.liveness_s * 1e9)
    edits = facts.upon.filter(pl.col("e") == "edit").group_by(MESSAGE).agg(last=pl.col("t").max() + bound_ns)
    stayed = facts.device_spans.filter(pl.col("last") == FOREVER).drop("last")
    finals = facts.of("final").select("device", *NUMBER, "msg", "hash", "t").join(edits, on=MESSAGE)
    finals = finals.filter(pl.col("t") >= pl.col("last")).join(stayed, on=["device", "conv"])
    return finals.filter(pl.col("first") < pl.col("seq"))


def _changes(history: History) -> pl.DataFrame:
    """Return conv, seq, changes: numbers that several changes took, and number 0 if it is a removal."""
    facts = facts_of(history)
    what, null = [*NUMBER, "e", "user", "arg", "msg"], pl.lit(None, dtype=pl.Int64)
    members = facts.of("member").select(*NUMBER, "e", "user", "arg", msg=null, hash=null).unique()
    nobody = {"user": null, "arg": pl.lit(None, dtype=pl.UInt8)}
    upon = facts.upon.join(facts.changes, on=NUMBER, how="semi").with_columns(**nobody)
    several = (
        pl.concat([members.filter(pl.col("seq") > 0), upon.select(members.columns)])
        .group_by(NUMBER)
        .agg(kinds=pl.struct(what).n_unique(), contents=pl.col("hash").drop_nulls().n_unique())
        .select(*NUMBER, changes=pl.max_horizontal("kinds", "contents").cast(pl.UInt32))
        .filter(pl.col("changes") > 1)
    )
    removed = members.filter((pl.col("seq") == 0) & (pl.col("arg") == 0)).group_by(NUMBER).agg(changes=pl.len())
    return pl.concat([several, removed]).sort(NUMBER)


def _gaps(history: History) -> pl.DataFrame:
    """Return device, conv, head, seq, to: ranges of numbers that a complete final lacks."""
    facts = facts_of(history)
    stays = facts.device_spans.join(facts.heads.drop("done"), on=["device", "conv"])
    stays = stays.with_columns(stop=pl.min_horizontal("last", pl.col("head") + 1)).filter(
        pl.col("stop") > pl.col("first") + 1
    )
    within = in_stay(last="stop")
    key = ["device", "conv", "first"]
    read = facts.finals.select("device", *NUMBER).unique().join(stays, on=["device", "conv"]).filter(within)
    gone = facts.places.join(facts.deleted, on=MESSAGE, how="semi").select(NUMBER)
    changed = pl.concat([facts.changes, gone]).unique().join(stays, on="conv").filter(within)
    there = pl.concat(
        [
            read.select(*key, "seq"),
            changed.select(*key, "seq"),
            stays.select(*key, seq="first"),
            stays.select(*key, seq="stop"),
        ]
    ).sort(*key, "seq")
    previous = pl.col("seq").shift(1).over(key)
    holes = there.with_columns(previous=previous).filter(pl.col("seq") - pl.col("previous") > 1)
    ranges = holes.select("device", "conv", seq=pl.col("previous") + 1, to=pl.col("seq") - 1)
    return ranges.join(facts.heads, on=["device", "conv"]).select("device", "conv", "head", "seq", "to").unique()
