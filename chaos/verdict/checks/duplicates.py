"""duplicates: a message is shown once and has one number.

Guarantee: a device shows a message at most once, and a message has one number, everywhere.
Anomaly: a message displayed twice, or sequenced twice (a retry taken for a new message).

    {"e":"show","device":2,"conv":7,"msg":5,"seq":3,..}
    {"e":"show","device":2,"conv":7,"msg":5,"seq":3,..}         shown twice
    {"e":"ack","device":1,"conv":7,"msg":5,"seq":4,..}          two numbers

Decisions. Acks, arrivals, displays and finals all give a message's number. Repeated arrivals of one number are no
anomaly: delivery is at least once, and the device removes duplicates. A final may list a copy twice (overlapping
pages).
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "duplicates"
RANK = 30


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts surplus displays and surplus numbers."""
    facts, words = facts_of(history), Words(history)
    if not facts.places.height:
        return nothing(NAME)
    shown = (
        facts.shows.group_by("device", *MESSAGE)
        .agg(pl.col("t").sort(), pl.col("seq").min(), times=pl.len())
        .filter(pl.col("times") > 1)
        .sort("conv", "seq", "msg", "device")
    )
    numbers = (
        facts.places.group_by(MESSAGE)
        .agg(numbers=pl.col("seq").sort(), seq=pl.col("seq").min())
        .filter(pl.col("numbers").list.len() > 1)
        .sort(MESSAGE)
    )
    surplus_shows = int((shown["times"] - 1).sum()) if shown.height else 0
    surplus_numbers = int((numbers["numbers"].list.len() - 1).sum()) if numbers.height else 0
    if not surplus_shows + surplus_numbers:
        return _single(facts.places.select(MESSAGE).unique().height, facts.shows.height)
    who = (
        pl.concat([facts.seen.select(*PLACE, "device"), facts.acks.select(*PLACE, "device")])
        .join(numbers, on=MESSAGE, how="semi")
        .group_by(MESSAGE)
        .agg(pl.col("device").unique().sort())
    )
    numbers = numbers.join(who, on=MESSAGE, maintain_order="left")

    def twice(row: Row) -> str:
        times = " and ".join(words.at(t) for t in row["t"][:3])
        return f"{words.device(row)} showed {words.msg(row)}, {words.place(row)}, {row['times']} times: {times}"

    def numbered(row: Row) -> str:
        given = ", ".join(str(seq) for seq in row["numbers"][:10])
        return f"{words.msg(row)} has {len(row['numbers'])} numbers in {words.conv(row)}: {given}"

    return words.invalid(
        NAME,
        f"{count(surplus_shows, 'surplus display')}, {count(surplus_numbers, 'surplus number')} of messages",
        Evidence(shown, twice),
        Evidence(numbers, numbered),
        anomalies=surplus_shows + surplus_numbers,
    )


def quick(bulk: Condensed) -> Finding:
    """Return the finding; what is condensed has no duplicates."""
    return _single(bulk.messages, bulk.shows) if bulk.messages else nothing(NAME)


def _single(messages: int, shows: int) -> Finding:
    detail = f"{count(messages, 'message')} with one number each, {count(shows, 'display')}, each the only one"
    return Finding(name=NAME, verdict="valid", detail=detail)
