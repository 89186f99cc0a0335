"""order: messages are shown and numbered in the order of their sends.

Guarantee: a device shows a conversation in rising numbers. One device's messages in one conversation have rising
numbers in the order of their sends. If m1 was acked before m2 was invoked in the same conversation, on any devices, m1
has the lower number.
Anomaly: an answer above its question.

    {"e":"ack","t":10,"device":1,"conv":7,"msg":4,"seq":9,..}
    {"e":"send","t":20,"device":2,"conv":7,"msg":5,..}
    {"e":"ack","t":30,"device":2,"conv":7,"msg":5,"seq":8,..}   invoked after 9 was acked, numbered 8

Decisions. Only the first display of a message under a number counts. `duplicates` judges repeated displays, and
`gaps_forks` two messages under one number. Events of the same time prove no order. A message's number is the lowest
that any event gives it; a message without a number is not judged. A send's time is its first transmission. An ack is
before a send of another device if it is so by more than the error of clocks, where the meta line states more than
usual. If the clocks cannot be believed, only what one device shows and sends is proven.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "order"
RANK = 40


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts displays and sends that come after a higher number."""
    facts = facts_of(history)
    numbered = facts.places.group_by(MESSAGE).agg(pl.col("seq").min())
    sends = facts.sends.join(numbered, on=MESSAGE)
    if not facts.shows.height and not sends.height:
        return nothing(NAME)
    shows = facts.shows.unique(["device", *PLACE], keep="first", maintain_order=True)
    shown = _after_higher(shows, ["device", "conv"]).sort("t", "device", *PLACE)
    sent = _after_higher(sends, ["device", "conv"]).sort("t", *PLACE)
    overtaken = _overtaken(sends, facts.acks, history.skew_ns)
    anomalies = shown.height + sent.height + overtaken.height
    if not anomalies:
        return _in_order(shows.height, sends.height)
    words = Words(history)

    def late_show(row: Row) -> str:
        return (
            f"{words.device(row)} showed {words.place(row)} {words.at(row['t'])}, after it had shown {row['highest']}"
        )

    def late_send(row: Row) -> str:
        return (
            f"{words.device(row)} sent {words.msg(row)} {words.at(row['t'])} and it became {words.place(row)}, "
            f"but an earlier message of the same device became {row['highest']}"
        )

    def late_ack(row: Row) -> str:
        return (
            f"{words.msg(row)} was invoked {words.at(row['t'])} by {words.device(row)} and became {words.place(row)}, "
            f"but {words.msg(row, 'before')} was acked as number {row['highest']} {words.at(row['acked'])}, before that"
        )

    return words.invalid(
        NAME,
        (
            f"{count(shown.height, 'display')} after a higher number, {count(sent.height, 'send')} out of the sender's "
            f"order, {count(overtaken.height, 'send')} numbered below a message acked before"
        ),
        Evidence(shown, late_show),
        Evidence(sent, late_send),
        Evidence(overtaken, late_ack, ("device", "acker")),
        anomalies=anomalies,
        between_clocks=not shown.height and not sent.height,
    )


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if everything is in order."""
    if not bulk.shows and not bulk.messages:
        return nothing(NAME)
    if bulk.totals.reordered or not bulk.sends_are_in_order:
        return None
    return _in_order(bulk.shows, bulk.messages)


def _in_order(shows: int, sends: int) -> Finding:
    detail = f"{count(shows, 'display')} and {count(sends, 'send')} in order"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _after_higher(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return the rows (with t and seq) whose seq is below one of an earlier time in the same group.

    Column `highest` is the highest earlier seq.
    """
    ordered = rows.sort("t", "seq")  # rows of the same time by number, because they prove no order
    highest = pl.col("seq").cum_max().shift(1).over(by)
    return ordered.with_columns(highest=highest).filter(pl.col("seq") < pl.col("highest"))


def _overtaken(sends: pl.DataFrame, acks: pl.DataFrame, skew_ns: int) -> pl.DataFrame:
    """Return sends numbered below a message of the conversation that was acked before, and the highest such message."""
    best = pl.col("seq").cum_max().over("conv")
    acked = acks.sort("t", "seq").with_columns(highest=best)
    joined = sends.sort("t").join_asof(
        acked.select("conv", "highest", acked=pl.col("t") + skew_ns),
        left_on="t", right_on="acked", by="conv", allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    late = joined.filter(pl.col("seq") < pl.col("highest")).drop("acked")
    first = acks.sort("t", "msg").unique(["conv", "seq"], keep="first", maintain_order=True)
    before = first.select("conv", highest="seq", before="msg", acker="device", acked="t")
    return late.join(before, on=["conv", "highest"]).sort("t", *PLACE)
