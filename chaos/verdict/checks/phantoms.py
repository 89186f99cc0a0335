"""phantoms: nothing comes from nowhere.

Guarantee: nothing in wire, show or final that was never sent in that conversation, has another content than what was
sent, or was definitely refused. Anomaly: an invented, corrupted, misdirected or resurrected message.

    {"e":"send","device":1,"conv":7,"msg":5,"hash":111,..}
    {"e":"nack","device":1,"conv":7,"msg":5,"definite":true,..}
    {"e":"final","device":2,"conv":7,"msg":5,"hash":111,"seq":3,..}   refused for good, and yet there

Decisions. When it was sent does not matter, only that it was. A message sent in one conversation and seen in another
was never sent there. Membership entries are no messages and are in none of these events. A hole in the history excuses
nothing: a send is recorded before its bytes leave the device.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of

NAME = "phantoms"
RANK = 60
CONTENT = [*MESSAGE, "hash"]


def check(history: History) -> Finding:
    """Judge; anomalies are distinct contents."""
    facts, words = facts_of(history), Words(history)
    contents = facts.seen.select(CONTENT).unique()
    if not contents.height:
        return nothing(NAME)
    known = contents.join(facts.bodies, on=MESSAGE, how="semi")
    unsent = contents.join(facts.bodies, on=MESSAGE, how="anti")
    altered = known.join(facts.bodies, on=CONTENT, how="anti")
    refused = contents.join(facts.refused, on=MESSAGE, how="semi").join(altered, on=CONTENT, how="anti")
    refused = refused.join(unsent, on=CONTENT, how="anti")
    anomalies = unsent.height + altered.height + refused.height
    if not anomalies:
        detail = f"{count(contents.height, 'message')} seen, all as they were sent"
        return Finding(name=NAME, verdict="valid", detail=detail)

    def where(rows: pl.DataFrame) -> pl.DataFrame:
        seen = facts.seen.join(rows, on=CONTENT, how="semi").group_by(CONTENT)
        return seen.agg(pl.col("device").unique().sort(), pl.col("seq").min()).sort("conv", "seq", *CONTENT)

    def tell(what: str, rows: pl.DataFrame) -> Evidence:
        def text(row: Row) -> str:
            return f"{words.msg(row)}, {words.place(row)} on {words.devices(row)}, {what}"

        return Evidence(where(rows), text)

    return Finding(
        name=NAME,
        verdict="invalid",
        detail=f"{unsent.height:,} never sent, {altered.height:,} altered, {refused.height:,} refused for good",
        counterexamples=words.tell(
            tell("was never sent there", unsent),
            tell("has not the content that was sent", altered),
            tell("was definitely refused", refused),
        ),
        anomalies=anomalies,
    )
