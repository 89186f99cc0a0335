"""session: a device keeps what it wrote and showed.

Guarantee: a device reads its own acked writes, and what it once showed is in its final.
Anomaly: a message that was there and is gone, or a write that its writer cannot see.
Unknown when the device has no complete read-back of a conversation since it wrote or showed there.

    {"e":"show","device":2,"conv":7,"msg":5,"seq":3,..}
    {"e":"final","device":2,"conv":7,"msg":6,"seq":3,..}
    {"e":"final_done","device":2,"conv":7,"head":3,..}          what device 2 showed as number 3 is gone

Decisions. Both are looked up in the device's own final of that conversation, under the same number, whoever is a
member.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE, PLACE
from chaos.verdict.relations.facts import facts_of

NAME = "session"
RANK = 90


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts messages missing in a final, per device."""
    facts, words = facts_of(history), Words(history)
    columns = ["device", *PLACE]
    wrote = facts.acks.select(*columns, "t", how=pl.lit("wrote"))
    showed = facts.shows.group_by(columns).agg(pl.col("t").min()).with_columns(how=pl.lit("showed"))
    known = pl.concat([wrote, showed.join(wrote, on=columns, how="anti")]).join(facts.deleted, on=MESSAGE, how="anti")
    if not known.height:
        return nothing(NAME)
    lacking = known.join(facts.heads, on=["device", "conv"], how="left").join(facts.finals, on=columns, how="anti")
    missing = lacking.filter(pl.col("done") >= pl.col("t")).sort("conv", "seq", "msg", "device")

    def text(row: Row) -> str:
        return f"{words.device(row)} {row['how']} {words.msg(row)} as {words.place(row)}; its final lacks it"

    if missing.height:
        return words.invalid(
            NAME,
            f"{count(missing.height, 'message')} that a device wrote or showed missing in its final",
            Evidence(missing, text),
            anomalies=missing.height,
        )
    never = known.join(facts.heads, on=["device", "conv"], how="anti").select("device", "conv")
    unread = pl.concat([never, lacking.select("device", "conv")]).unique().height
    if unread:
        detail = f"{count(unread, 'conversation')} of a device without a complete read-back"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _kept(known.height)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if finals have all that their devices wrote and showed."""
    acks = bulk.facts.acks
    if not acks.height and not bulk.shows:
        return nothing(NAME)
    own = bulk.pairs_of(acks)
    if bulk.totals.forgotten or bulk.totals.lost or (own < 0).any():
        return None
    return _kept(acks.height + bulk.shows - bulk.displayed(own))


def _kept(known: int) -> Finding:
    detail = f"{count(known, 'message')} that a device wrote or showed, all in its final"
    return Finding(name=NAME, verdict="valid", detail=detail)
