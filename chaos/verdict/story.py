"""The history of one message: every event that concerns it, by time, in words. The report shows it."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from chaos.verdict.finding import Row, Words
from chaos.verdict.history.history import History
from chaos.verdict.model import Counterexample, Id, printable
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of


class Step(NamedTuple):
    """One event of the story of a message."""

    t_s: float
    """Seconds from the start of the steady phase, or else from the first event."""
    device: Id | None
    event: str
    text: str


MAX_STEPS = 500


def story_of(history: History, example: Counterexample) -> list[Step]:
    """Return the story of a counterexample; empty if it names no place in a conversation."""
    if example.conv is None:
        return []
    return story(history, conv=example.conv, msg=example.msg, seq=example.seq)


def story(history: History, *, conv: Id, msg: Id | None = None, seq: int | None = None) -> list[Step]:
    """Return all events of a message, named by its id or by its number, and of other messages at its numbers.

    They include devices' final read-backs and the membership changes of the conversation, which tell who should have
    it. There are at most MAX_STEPS; none if the history does not have the ids.
    """
    ids = history.ids
    conv_code = ids.encode("conv", conv)
    msg_code = None if msg is None else ids.encode("msg", msg)
    if conv_code is None:
        return []
    here = history.events.filter(pl.col("conv") == conv_code)
    places = facts_of(history).places.filter(pl.col("conv") == conv_code)
    numbers = places.filter(pl.col("msg") == msg_code)["seq"].to_list() if msg_code is not None else []
    numbers += [] if seq is None else [seq]
    messages = places.filter(pl.col("seq").is_in(numbers)).select(MESSAGE).unique()["msg"].to_list()
    messages += [] if msg_code is None else [msg_code]
    names = pl.col("e")
    concerned = here.filter(
        pl.col("msg").is_in(messages)
        | names.is_in(["member", "final_done"])
        | (names.is_in(["push", "receipt"]) & pl.col("seq").is_in(numbers))
    )
    words = Words(history)
    return [
        Step(
            t_s=round((row["t"] - history.start_ns) / 1e9, 6),
            device=None if row["device"] is None else ids.decode("device", row["device"]),
            event=row["e"],
            text=printable(_text(words, row)),
        )
        for row in concerned.head(MAX_STEPS).to_dicts()
    ]


def _text(words: Words, row: Row) -> str:
    match row["e"]:
        case "member":
            return f"{words.user(row)} {'added to' if row['arg'] else 'removed from'} {words.conv(row)} by {row['seq']}"
        case "send":
            late_ms = (row["t"] - row["due"]) / 1e6
            return f"sent {words.msg(row)}" + (f", {late_ms:,.1f} ms after it was due" if late_ms > 1 else "")
        case "ack":
            return f"got the ack of {words.msg(row)}: number {row['seq']}"
        case "nack":
            return f"{words.msg(row)} refused" + (" for good" if row["arg"] else ", may try again")
        case "wire":
            return f"received {words.msg(row)} as number {row['seq']}"
        case "show":
            return f"showed {words.msg(row)} as number {row['seq']}"
        case "final":
            return f"read back {words.msg(row)} as number {row['seq']}"
        case "final_done":
            return f"read all back, up to number {row['seq']}"
        case "push":
            return f"got a push for number {row['seq']}"
        case _:
            return f"was told that number {row['seq']} was {'read' if row['arg'] else 'delivered'}"
