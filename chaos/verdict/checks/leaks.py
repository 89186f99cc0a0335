"""leaks: only members read and write.

Guarantee: nothing is in wire, show or final on a device whose user is no member at that number. Nothing is anywhere at
a number at which its sender is no member. In our own runs, no plaintext is in the log, the store, Redis or a log file.
Anomaly: a removed user, or one who never joined or has not joined yet, can read. Bytes that only encrypted messages
hold are found on a disk.
Unknown when a device has no `device` event, a conversation has no membership event, or the hunt for plaintext was
incomplete or blind. In a history with holes an add may be unrecorded.

    {"e":"member","conv":7,"user":2,"op":"remove","seq":4,..}
    {"e":"wire","device":2,"conv":7,"msg":5,"seq":5,..}         device 2 is user 2's
    {"e":"member","conv":7,"user":3,"op":"add","seq":6,..}      and user 3's devices must not have number 5 either

Decisions. A number that an edit, a deletion or a reaction took counts too: its sender is who made it. In a history with
holes no leak of a copy is proven. Plaintext is hunted in our own runs with encryption only (canary.json). A hunt that
did not find the bodies in the clear either is blind.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.canary import Canary
from chaos.verdict.finding import MAX_COUNTEREXAMPLES, Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.model import Counterexample, total
from chaos.verdict.relations.base import MESSAGE, PLACE, in_stay
from chaos.verdict.relations.facts import facts_of

NAME = "leaks"
RANK = 70
_A: Final = {"edit": "an edit", "delete": "a deletion", "reaction": "a reaction"}


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts copies (a message on a device) and places with plaintext."""
    return _with_hunt(_copies(history), history.canary)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if no sender is a stranger; what is condensed is on members' devices."""
    copies = bulk.totals.copies
    if copies and not bulk.senders_are_members:
        return None
    return _with_hunt(_on_members_devices(copies) if copies else nothing(NAME), bulk.rest.canary)


def _with_hunt(copies: Finding, canary: Canary | None) -> Finding:
    hunted = _hunted(canary)
    if hunted is None:
        return copies
    return Finding(
        name=NAME,
        verdict=total([copies.verdict, hunted.verdict]),
        detail=f"{copies.detail}; {hunted.detail}",
        counterexamples=(*hunted.counterexamples, *copies.counterexamples)[:MAX_COUNTEREXAMPLES],
        anomalies=copies.anomalies + hunted.anomalies,
    )


def _hunted(canary: Canary | None) -> Finding | None:
    """Return the finding of the hunt for plaintext; None if there was no hunt."""
    if canary is None:
        return None
    if canary.found:
        texts = [f"plaintext ({p.form}) in {p.where} at byte {p.at}, {count(p.times, 'time')}" for p in canary.found]
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=f"plaintext in {count(len({place.where for place in canary.found}), 'place')}",
            counterexamples=tuple(Counterexample(text=text) for text in texts[:MAX_COUNTEREXAMPLES]),
            anomalies=len(canary.found),
        )
    searched = f"no plaintext in {count(canary.files, 'file')} and {count(canary.keys, 'Redis key')}"
    if canary.unsearched:
        return Finding(name=NAME, verdict="unknown", detail=f"{searched}, but not searched: {canary.unsearched[0]}")
    if canary.tracer_expected and not canary.tracer:
        return Finding(name=NAME, verdict="unknown", detail=f"{searched}, nor the bodies that should be there: blind")
    return Finding(name=NAME, verdict="valid", detail=f"{searched} ({canary.bytes / 1e6:,.0f} MB)")


def _copies(history: History) -> Finding:
    facts, words = facts_of(history), Words(history)
    copies = facts.seen.select("device", *PLACE).unique()
    if not copies.height:
        return nothing(NAME)
    allowed = copies.join(facts.device_spans, on=["device", "conv"]).filter(in_stay())
    others = copies.join(allowed, on=["device", *PLACE], how="anti")
    judged = others.join(facts.owners, on="device", how="semi").join(facts.of("member"), on="conv", how="semi")
    foreign = _by_strangers(history)
    wrong = judged.height + foreign.height
    if wrong and not history.holes:
        leaked = judged.group_by(PLACE).agg(pl.col("device").sort()).sort(PLACE)

        def text(row: Row) -> str:
            return f"{words.msg(row)}, {words.place(row)}, is on {words.devices(row)}, whose user is no member there"

        def sent(row: Row) -> str:
            what = "sent it" if row["e"] is None else f"took it for {_A[row['e']]} of it"
            return f"{words.msg(row)}, {words.place(row)}: {words.device(row)} {what}, whose user is no member there"

        detail = f"{count(judged.height, 'copy', 'copies')} on devices that must not have them"
        if foreign.height:
            detail += f", {count(foreign.height, 'number')} whose sender is no member"
        return words.invalid(NAME, detail, Evidence(leaked, text), Evidence(foreign, sent), anomalies=wrong)
    if others.height or wrong:
        what = "may follow an unrecorded add" if wrong else "on devices or in conversations without members"
        detail = f"{count(others.height + foreign.height, 'copy', 'copies')} {what}"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _on_members_devices(copies.height)


def _on_members_devices(copies: int) -> Finding:
    detail = f"{count(copies, 'copy', 'copies')}, all on members' devices"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _by_strangers(history: History) -> pl.DataFrame:
    """Return conv, msg, seq, device, e: numbers at which no user of the device that took them is a member.

    `e`: edit, delete or reaction; null for a message.
    """
    facts, columns = facts_of(history), [*PLACE, "device", "e"]
    sent = facts.places.select(PLACE).join(facts.sends.select(*MESSAGE, "device"), on=MESSAGE)
    sent = sent.with_columns(e=pl.lit(None, facts.upon.schema["e"]))
    changed = facts.upon_numbers.select(columns).unique()
    places = pl.concat([sent.select(columns), changed])
    places = places.join(facts.owners, on="device", how="semi").join(facts.of("member"), on="conv", how="semi")
    allowed = places.join(facts.device_spans, on=["device", "conv"]).filter(in_stay())
    return places.join(allowed, on=[*PLACE, "device"], how="anti").sort(*columns)
