"""leaks: only members read.

Guarantee: nothing in wire, show or final on a device whose user is no member at that number. Anomaly: somebody who was
removed, was not yet there, or never was, can read.

    {"e":"member","conv":7,"user":2,"op":"remove","seq":4,..}
    {"e":"wire","device":2,"conv":7,"msg":5,"seq":5,..}         device 2 is user 2's
    {"e":"member","conv":7,"user":3,"op":"add","seq":6,..}      and user 3's devices must not have number 5 either

Decisions. A device without a `device` event, and a conversation without any membership event, cannot be judged:
unknown. In a history with holes an add may have gone unrecorded, so nothing is proven: unknown.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.facts import PLACE
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history import History

NAME = "leaks"


def check(history: History) -> Finding:
    """Judge; anomalies are copies: a message on a device."""
    facts, words = history.facts, Words(history)
    copies = facts.seen.select("device", *PLACE).unique()
    if not copies.height:
        return nothing(NAME)
    seq = pl.col("seq")
    allowed = copies.join(facts.device_spans, on=["device", "conv"]).filter(
        (pl.col("first") < seq) & (seq < pl.col("last"))
    )
    others = copies.join(allowed, on=["device", *PLACE], how="anti")
    judged = others.join(facts.owners, on="device", how="semi").join(facts.of("member"), on="conv", how="semi")
    if judged.height and not history.holes:
        leaked = judged.group_by(PLACE).agg(pl.col("device").sort()).sort(PLACE)

        def text(row: Row) -> str:
            return f"{words.msg(row)}, {words.place(row)}, is on {words.devices(row)}, whose user is no member there"

        detail = f"{count(judged.height, 'copy', 'copies')} on devices that must not have them"
        return Finding(
            name=NAME,
            verdict="invalid",
            detail=detail,
            counterexamples=words.tell(Evidence(leaked, text)),
            anomalies=judged.height,
        )
    if others.height:
        what = "may follow an unrecorded add" if judged.height else "on devices or in conversations without members"
        detail = f"{count(others.height, 'copy', 'copies')} {what}"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    detail = f"{count(copies.height, 'copy', 'copies')}, all on members' devices"
    return Finding(name=NAME, verdict="valid", detail=detail)
