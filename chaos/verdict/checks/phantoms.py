"""phantoms: nothing appears that was not sent.

Guarantee: nothing in wire, show or final was never sent in that conversation, was definitely refused, or has another
content or author. A message has one content.
Anomaly: an invented, corrupted, misdirected or resurrected message, a wrong author, or an idempotency key used for two
messages.

    {"e":"send","device":1,"conv":7,"msg":5,"hash":111,..}
    {"e":"nack","device":1,"conv":7,"msg":5,"definite":true,..}
    {"e":"final","device":2,"conv":7,"msg":5,"hash":111,"seq":3,..}   refused for good, and yet there

Decisions. When a message was sent does not matter. A message sent in one conversation and seen in another was never
sent there. Membership entries are no messages and are in none of these events. A hole in the history excuses nothing,
because a send is recorded before its bytes leave the device. A device that sends one message with two contents is an
anomaly once the message was acked or seen. If an event names the author, it must be a user of the sending device. If a
push gives its content, that must not be another message's. An edit, a deletion or a reaction must refer to a message
(by its id or its number) that was sent there.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of

NAME = "phantoms"
RANK = 60
CONTENT = [*MESSAGE, "hash"]


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts distinct contents."""
    facts, words = facts_of(history), Words(history)
    contents = facts.seen.select(CONTENT).unique()
    twofold, strange = _twofold(history), _strange(history)
    if not contents.height and not twofold.height and not strange.height:
        return nothing(NAME)
    known = contents.join(facts.bodies, on=MESSAGE, how="semi")
    unsent = contents.join(facts.bodies, on=MESSAGE, how="anti")
    unsaid = facts.upon.filter((pl.col("e") == "edit") & pl.col("hash").is_null())  # the content is unknown
    altered = known.join(facts.bodies, on=CONTENT, how="anti").join(unsaid, on=MESSAGE, how="anti")
    refused = contents.join(facts.refused, on=MESSAGE, how="semi").join(altered, on=CONTENT, how="anti")
    refused = refused.join(unsent, on=CONTENT, how="anti")
    anomalies = unsent.height + altered.height + refused.height + twofold.height + strange.height
    if not anomalies:
        return _as_sent(contents.height)

    def where(rows: pl.DataFrame) -> pl.DataFrame:
        seen = facts.seen.join(rows, on=CONTENT, how="semi").group_by(CONTENT)
        return seen.agg(pl.col("device").unique().sort(), pl.col("seq").min()).sort("conv", "seq", *CONTENT)

    def tell(what: str, rows: pl.DataFrame) -> Evidence:
        def text(row: Row) -> str:
            return f"{words.msg(row)}, {words.place(row)} on {words.devices(row)}, {what}"

        return Evidence(where(rows), text)

    return words.invalid(
        NAME,
        (
            f"{unsent.height:,} never sent, {altered.height:,} altered, {refused.height:,} refused for good, "
            f"{twofold.height:,} with two contents, {strange.height:,} with a wrong author, content or target"
        ),
        tell("was never sent there", unsent),
        tell("has not the content that was sent", altered),
        tell("was definitely refused", refused),
        Evidence(twofold, lambda row: f"{words.device(row)} sent {words.msg(row)} with {row['bodies']} contents"),
        Evidence(strange, lambda row: f"{words.device(row)} has {words.msg(row)} {row['what']}"),
        anomalies=anomalies,
    )


def quick(bulk: Condensed) -> Finding:
    """Return the finding; what is condensed was sent as it was seen."""
    return _as_sent(bulk.seen) if bulk.seen else nothing(NAME)


def _as_sent(messages: int) -> Finding:
    detail = f"{count(messages, 'message')} seen, all as they were sent"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _twofold(history: History) -> pl.DataFrame:
    """Return conv, msg, device, bodies: messages that one device sent with several contents, and that came up again."""
    facts = facts_of(history)
    sent = facts.of("send").group_by(*MESSAGE, "device").agg(bodies=pl.col("hash").n_unique())
    return sent.filter(pl.col("bodies") > 1).join(facts.places, on=MESSAGE, how="semi").sort(*MESSAGE, "device")


def _strange(history: History) -> pl.DataFrame:
    """Return conv, msg, device, what: messages by a wrong author, pushes with wrong content, edits of nothing."""
    facts = facts_of(history)
    columns = ["device", *MESSAGE]
    shown = pl.concat([facts.of(kind).select(*columns, author="user") for kind in ("wire", "show", "final", "edit")])
    shown = shown.filter(pl.col("author").is_not_null()).unique()
    people = facts.sends.select(*MESSAGE, sender="device").join(facts.owners.rename({"device": "sender"}), on="sender")
    named = shown.join(people, on=MESSAGE, how="semi")
    wrong = named.join(people, left_on=[*MESSAGE, "author"], right_on=[*MESSAGE, "user"], how="anti")
    pushes = facts.of("push").filter(pl.col("hash").is_not_null()).select("device", "conv", "seq", "hash")
    meant = pushes.join(facts.places.select(*MESSAGE, "seq"), on=["conv", "seq"])
    known = meant.join(facts.bodies.select("hash").unique(), on="hash", how="semi")
    other = known.join(facts.bodies, on=CONTENT, how="anti")
    nowhere = facts.upon.select(columns).join(facts.sends, on=MESSAGE, how="anti")
    parts = {
        "under a wrong name": wrong,
        "in a push with another's content": other,
        "changed, though it was never sent": nowhere,
    }
    told = [rows.select(columns).unique().with_columns(what=pl.lit(what)) for what, rows in parts.items()]
    return pl.concat(told).sort(*MESSAGE, "device", "what")
