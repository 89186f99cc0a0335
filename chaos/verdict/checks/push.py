"""push: who is away is told, who is there is not.

Guarantee: a member's device that is offline from before an ack until the bound after it gets a push within the bound;
one that is online throughout gets none. Anomaly: silence, or a phone that buzzes in the hand.

    {"e":"offline","t":1000000000,"device":2}
    {"e":"ack","t":2000000000,"device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"push","t":9000000000,"device":2,"conv":7,"seq":3}     7 s after the ack

Decisions. A history without a push event, that does not say that it records them, has nothing to check. A push with a
higher number of the same conversation covers the lower ones (pushes may be coalesced), but none that was not even
invoked yet. Online throughout: one session from the invocation to the push. Offline: known from an `offline` event, or
from before the first `online`; a device without any connection event is not judged. The sending device is told nothing
of its own message. What was displayed all the same within the bound needs no push. In a history with holes a removal
may have gone unrecorded: there a push is missing only where the message was shown later or is in the device's final.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, MESSAGE
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.stays import overlapping

NAME = "push"
RANK = 120


def check(history: History) -> Finding:
    """Judge; anomalies are pushes too late, missing, or to somebody online."""
    facts, words = facts_of(history), Words(history)
    pushes = facts.of("push").select("device", "conv", "seq", "t")
    if not pushes.height and not history.meta.push:
        return nothing(NAME)
    bound_ns = round(history.bounds.push_s * 1e9)
    sends = facts.sends.select(*MESSAGE, sent="t")
    due = facts.acked_readers.filter(pl.col("reader") != pl.col("device"))
    due = due.select(*MESSAGE, "seq", acked="t", device="reader").with_columns(until=pl.col("acked") + bound_ns)
    watched = facts.stays.watched.select("device", watched="until")
    away = due.join(watched, on="device").filter(pl.col("until") <= pl.col("watched"))
    there = pl.concat([facts.stays.sessions, facts.stays.untold])
    online = overlapping(away, there, start="acked", end="until")
    away = away.join(online, on=["device", *MESSAGE], how="anti").join(sends, on=MESSAGE, how="left")
    shown = facts.first_shows.select("device", *MESSAGE, shown="t")
    told = away.join(pushes.select("device", "conv", covers="seq", pushed="t"), on=["device", "conv"]).filter(
        (pl.col("covers") >= pl.col("seq"))
        & pl.col("pushed").is_between(pl.col("sent").fill_null(EVER), pl.col("until"))
    )
    missing = away.join(told, on=["device", *MESSAGE], how="anti").join(shown, on=["device", *MESSAGE], how="left")
    missing = missing.filter(pl.col("shown").is_null() | (pl.col("shown") > pl.col("until")))
    proven = facts.despite_holes(missing).sort("acked", "conv", "seq", "device")
    needless = (
        pushes.join(facts.places.select(*MESSAGE, "seq"), on=["conv", "seq"])
        .join(sends, on=MESSAGE)
        .join(facts.stays.sessions, on="device")
        .filter(pl.min_horizontal("sent", "t") >= pl.col("start"), pl.max_horizontal("sent", "t") < pl.col("end"))
        .unique(["device", *MESSAGE, "t"])
        .sort("t", "conv", "seq", "device")
    )

    def silent(row: Row) -> str:
        return (
            f"{words.device(row)} was offline when {words.place(row)} was acked {words.at(row['acked'])}, "
            f"and got no push until {words.time(row['until'])}"
        )

    def buzzed(row: Row) -> str:
        return f"{words.device(row)} was online throughout, and got a push for {words.place(row)} {words.at(row['t'])}"

    if proven.height or needless.height:
        detail = f"{count(proven.height, 'push', 'pushes')} late or missing, {needless.height:,} to devices online"
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=detail,
            counterexamples=words.tell(Evidence(proven, silent), Evidence(needless, buzzed)),
            anomalies=proven.height + needless.height,
        )
    if missing.height:
        detail = f"{count(missing.height, 'missing push', 'missing pushes')} may follow an unrecorded removal"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    detail = f"{count(pushes.height, 'push', 'pushes')}; {away.height:,} were due"
    return Finding(name=NAME, verdict="valid", detail=detail)
