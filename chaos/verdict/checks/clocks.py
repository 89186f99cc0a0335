"""clocks: the recorded times can be believed.

Guarantee: no ack, wire, show or final is earlier than its send, and no due is later than its send, beyond the stated
error of clocks. All times are in nanoseconds.
Anomaly: recorders whose clocks differ, or times in another unit. This check never says `invalid`.
Unknown when such times occur.

    {"e":"send","t":70000000000,"due":70000000000,"device":1,"conv":7,"msg":5,..}
    {"e":"ack","t":40000000000,"device":1,"conv":7,"msg":5,"seq":3,..}          answered 30 s before it was asked

Decisions. A copy with the content of an edit follows from that edit. An edit, a deletion or a reaction follows from the
send of its message. The result is only valid or unknown, because a clock says nothing about the system. What other
checks then say about durations is unknown too (see judge). Times are in another unit if they differ from those of their
sends by a factor of 10^3, 10^6 or 10^9. So are the times of one kind of event that are decades away from those of the
sends. If a whole history is shorter than the error of clocks, its times are in some larger unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import MESSAGE
from chaos.verdict.relations.facts import facts_of

NAME = "clocks"
RANK = 910
AFTER: Final = ("ack", "wire", "show", "final")
UNITS: Final = (1e3, 1e6, 1e9)
EXACT: Final = 0.01
"""Maximum relative distance between a quotient of times and a power of a thousand that means another unit."""
DECADES_NS: Final = 10**17
"""About three years in ns: a larger time counts from 1970."""
OFTEN: Final = 2
"""Number of pairs that must show another unit."""
SHARE: Final = 0.05
"""Share of all pairs that must show another unit: one recorder among many may use another."""


def check(history: History) -> Finding:
    """Return the finding; it is never invalid and counts no anomalies."""
    facts, words = facts_of(history), Words(history)
    sends = facts.of("send")
    if not sends.height:
        return nothing(NAME)
    error_ns = round(history.bounds.clock_error_ms * 1e6)
    sent = facts.sends.select(*MESSAGE, sent="t")
    after = pl.concat([facts.of(kind).select("e", "device", *MESSAGE, "t") for kind in AFTER]).join(sent, on=MESSAGE)
    early = pl.concat([after, *_upon(history, sent)]).filter(pl.col("t") + error_ns < pl.col("sent"))
    early = early.sort("t", "device", *MESSAGE)
    ahead = sends.filter(pl.col("due") > pl.col("t") + error_ns)
    doubts = _units(history, after)
    if early.height:
        furthest = int((early["sent"] - early["t"]).max())  # type: ignore[arg-type]
        doubts.append(f"{count(early.height, 'event')} up to {furthest / 1e9:,.3f} s before what they follow from")
    if ahead.height:
        furthest = int((ahead["due"] - ahead["t"]).max())  # type: ignore[arg-type]
        doubts.append(f"{count(ahead.height, 'send')} up to {furthest / 1e9:,.3f} s before they were due")
    if not doubts:
        return _believable(after.height, sends.height)

    def text(row: Row) -> str:
        what = f"{row['e']} of {words.msg(row)} on {words.device(row)} {words.at(row['t'])}"
        return f"{what}, {(row['sent'] - row['t']) / 1e9:,.3f} s before what it follows from"

    def unborn(row: Row) -> str:
        return (
            f"{words.msg(row)} was sent {words.at(row['t'])}, {(row['due'] - row['t']) / 1e9:,.3f} s before it was due"
        )

    told = words.tell(Evidence(early, text), Evidence(ahead.select("t", "due", "device", *MESSAGE), unborn))
    return Finding(name=NAME, verdict="unknown", detail="; ".join(doubts), counterexamples=told)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if all times can be believed."""
    sends = bulk.facts.of("send").height
    if not sends:
        return nothing(NAME)
    if bulk.marks.early or bulk.marks.odd_times or check(bulk.rest).verdict != "valid":
        return None
    return _believable(bulk.facts.of("ack").height + int(bulk.marks.rows.sum()), sends)


def _upon(history: History, sent: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield e, device, conv, msg, t, sent: copies of edited contents, and edits, deletions and reactions."""
    facts, columns = facts_of(history), ["e", "device", *MESSAGE, "t"]
    if not facts.upon.height:
        return
    yield facts.upon.select(columns).join(sent, on=MESSAGE)
    content = [*MESSAGE, "hash"]
    fresh = facts.upon.filter((pl.col("e") == "edit") & pl.col("hash").is_not_null())
    fresh = fresh.join(facts.of("send"), on=content, how="anti").group_by(content).agg(sent=pl.col("t").min())
    copies = pl.concat([facts.of(kind).select(*columns, "hash") for kind in ("wire", "show", "final")])
    yield copies.join(fresh, on=content).select(*columns, "sent")


def _believable(after: int, sends: int) -> Finding:
    detail = f"{count(after, 'event')} after their sends, {count(sends, 'send')} not before its due"
    return Finding(name=NAME, verdict="valid", detail=detail)


def _units(history: History, after: pl.DataFrame) -> list[str]:
    """Return reasons to doubt that all times are in nanoseconds."""
    facts = facts_of(history)
    doubts = []
    error_ns = round(history.bounds.clock_error_ms * 1e6)
    span_ns = history.last_ns - history.first_ns
    if after.height and span_ns < error_ns:
        doubts.append(f"the whole history takes {span_ns:,} ns, less than the error of clocks: t is in nanoseconds")
    sends = facts.of("send")
    pairs = {"due": sends.select(a="due", b="t")}
    pairs |= {kind: after.filter(pl.col("e") == kind).select(a="t", b="sent") for kind in AFTER}
    doubts += [f"the times of {kind} are in another unit than those of the sends" for kind, rows in pairs.items()
               if _in_another_unit(rows)]  # fmt: skip
    middle = sends["t"].median()
    for kind in ("online", "offline", "final_done", "push", "presence", "receipt"):
        other = facts.of(kind)["t"].median()
        if isinstance(middle, float) and isinstance(other, float) and middle > 0 and other > 0:
            low, high = sorted((middle, other))
            if high > DECADES_NS and high / low > UNITS[0] / 2:
                doubts.append(f"the times of {kind} are in another unit than those of the sends")
    return doubts


def _in_another_unit(pairs: pl.DataFrame) -> bool:
    """Return True if part of these pairs of times (a, b) differ by a power of a thousand."""
    known = pairs.filter((pl.col("a") > 0) & (pl.col("b") > 0))
    if known.height < OFTEN:
        return False
    larger, smaller = pl.max_horizontal("a", "b").cast(pl.Float64), pl.min_horizontal("a", "b").cast(pl.Float64)
    quotient = larger / smaller
    off = known.filter(pl.any_horizontal((quotient / unit - 1).abs() < EXACT for unit in UNITS)).height
    return off >= OFTEN and off > SHARE * known.height
