"""push: a device that is away gets a push, others get none.

Guarantee: a member's device that is away from before an ack until the bound after it gets a push within the bound. A
device that is online throughout gets none. No push is of a number that does not exist, or of a message that the device
had shown. None goes to a device whose user is no member. None is repeated more than once.
Anomaly: a missing push, or a push that tells nothing new.
With the bound `silence_s` the same holds for a device that seems to be online, as its connection may be half open. The
message arrives or a push comes within `push_s` + `silence_s` of the ack.
Unknown when a missing or surplus push may follow an unrecorded change in a history with holes.

    {"e":"offline","t":1000000000,"device":2}
    {"e":"ack","t":2000000000,"device":1,"conv":7,"msg":5,"seq":3,..}
    {"e":"push","t":9000000000,"device":2,"conv":7,"seq":3}     7 s after the ack

Decisions. A history without a push event has nothing to check, unless it says that it records them. A push with a
higher number of the same conversation covers the lower ones (pushes may be coalesced). It does not cover a message
invoked after the push. A device is known to be offline from an `offline` event, or before its first `online`. A device
that never did anything is away, if the history has connection events at all; one that did something without any is not
judged. The sending device needs no push for its own message. A message displayed within the bound needs no push. Online
throughout means one session from the invocation to the push. A session that broke unplanned may have been half open. It
does not count unless the message arrived within the bound of the push, and it lasted 2 s longer than the push. A
gateway that dies ends thousands of sessions, and the last of them are noted some time after its death.

With `silence_s` the links of devices break. A device that is silent may be pushed to, whatever it thinks. So surplus
pushes to devices online are judged outside fault windows only. Arrivals count, not displays.

A number exists if any event names a message or a change with it. Its push may go to a member at that number, and to a
user added or removed by it. A push of a shown message is judged outside fault windows. It is surplus in two cases. The
display was longer than the bound ago, or one session lasted from the invocation to 2 s after the display. A push may
cross a display that just happened. The third push of a number to a device, and each later one, is a surplus repeat.
What never came because everything was slow, until less than the bound before the final phase, counts as late (see
machine). What did not come in three bounds while most deliveries were quick, until the device was back, counts as
missing. A push to a device online counts as late if it comes before its message, or 2 s after its send or later. Where
everything is slow, the service hears nothing of a device that is there, and the leases of gateways lapse. So pushes in
haste accuse only if they are half of those to devices online. A push of what was shown counts as late too, if the
device left within 2 s of the display. In a history with holes a removal, an add or a message may be unrecorded. There a
push is missing only if the message was shown later or is in the device's final. It is surplus only if the device was
online or had shown the message.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Tally, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import EVER, MESSAGE, not_gone_by, not_shown_by
from chaos.verdict.relations.facts import facts_of
from chaos.verdict.relations.pace import had_no_time, slow_spans, slow_until
from chaos.verdict.relations.stays import overlapping

NAME = "push"
RANK = 120
OFTEN: Final = 2
"""A provider may be told the same twice if its first answer was lost; a third push is a fault."""
WORD_NS: Final = 2_000_000_000
"""In ns. A device that leaves within two seconds of a display may not have reported it to the service. One whose
connection breaks may note it two seconds later."""
LONG: Final = 3
"""Bounds without a push, while nothing was slow, that no slow machine explains."""
PUSH: Final = ["device", "conv", "seq", "t"]
TARDY: Final = {"late or missing", "missing on half-open connections", "to devices online", "of what was shown"}
"""What a slow machine explains, the last two within limits (see Decisions)."""


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts pushes that are late, missing or surplus."""
    facts, words = facts_of(history), Words(history)
    pushes = facts.of("push").select(PUSH)
    if not pushes.height and not history.meta.push:
        return nothing(NAME)
    due, missing, never, proven = 0, 0, 0, Tally("acked", "conv", "seq", "device", "msg")
    untold = Tally("acked", "conv", "seq", "device", "msg")
    watched = _watched(history)
    for part in facts.acked_readers():
        away = _away(history, part, watched)
        silent = _missing(away, pushes, facts.shown_of(away))
        due, missing = due + away.height, missing + silent.height
        certain = facts.despite_holes(silent)
        proven.add(certain)
        never += _never(history, certain, pushes) + _forgotten(history, certain, pushes)
        unreached = facts.despite_holes(_unreached(history, part, watched, pushes))
        untold.add(unreached)
        never += _never(history, unreached, pushes)
    needless, shown, again = _needless(history, pushes), _shown_before(history, pushes), _again(pushes)
    nowhere, strangers = _nowhere(history, pushes), _to_strangers(history, pushes)
    doubtful = nowhere.height + strangers.height if history.holes else 0
    if history.holes:
        nowhere, strangers = nowhere.clear(), strangers.clear()

    def pushless(row: Row) -> str:
        return (
            f"{words.device(row)} was offline when {words.place(row)} was acked {words.at(row['acked'])}, "
            f"and got no push until {words.time(row['until'])}"
        )

    def silent_on(row: Row) -> str:
        return (
            f"{words.device(row)} seemed online when {words.place(row)} was acked {words.at(row['acked'])}, "
            f"and got neither it nor a push until {words.time(row['until'])}"
        )

    def got(what: str, rows: pl.DataFrame) -> Evidence:
        return Evidence(
            rows, lambda row: f"{words.device(row)} {what} a push for {words.place(row)} {words.at(row['t'])}"
        )

    kinds = {
        "late or missing": Evidence(proven.rows, pushless),
        "missing on half-open connections": Evidence(untold.rows, silent_on),
        "to devices online": got("was online throughout, and got", needless),
        "of nothing": got("got, for a number that does not exist,", nowhere),
        "to no member": got("belongs to no member there, and got", strangers),
        "of what was shown": got("had shown that before, and got", shown),
        "again and again": got("got again and again", again),
    }
    found = {what: evidence.rows.height for what, evidence in kinds.items() if evidence.rows.height}
    found |= {"late or missing": proven.height} if proven.height else {}
    found |= {"missing on half-open connections": untold.height} if untold.height else {}
    if found:
        detail = ", ".join(f"{number:,} {what}" for what, number in found.items())
        return words.invalid(
            NAME,
            f"{count(sum(found.values()), 'push', 'pushes')} wrong: {detail}",
            *(evidence for evidence in kinds.values() if evidence.rows.height),
            anomalies=sum(found.values()),
            tardy=found.keys() <= TARDY and not never and not _hasty(needless) and not shown["live"].any(),
        )
    if missing or doubtful:
        number = count(missing + doubtful, "missing or surplus push", "missing or surplus pushes")
        detail = f"{number} may follow an unrecorded change"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    return _told(pushes.height, due)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if no push is missing, late or surplus."""
    history = bulk.rest
    pushes, watched = bulk.facts.of("push").select(PUSH), _watched(history)
    if not pushes.height and not history.meta.push:
        return nothing(NAME)
    if history.bounds.silence_s is not None:
        return None  # devices that seem online are judged too
    due = 0
    for part in bulk.away():
        readers = part.select(*MESSAGE, "seq", device="sender", t="known", reader="device", gone=pl.lit(None, pl.Int64))
        away = _away(history, readers, watched)
        due += away.height
        if _missing(away, pushes, part.select("device", *MESSAGE, "shown")).height:
            return None
    wrong = (
        *(find(history, pushes) for find in (_needless, _shown_before, _nowhere, _to_strangers)),
        _again(pushes),
    )
    return None if any(rows.height for rows in wrong) else _told(pushes.height, due)


def _told(pushes: int, due: int) -> Finding:
    return Finding(name=NAME, verdict="valid", detail=f"{count(pushes, 'push', 'pushes')}; {due:,} were due")


def _watched(history: History) -> pl.DataFrame:
    """Return device, watched: the time until which it is known of each device whether it is away."""
    facts = facts_of(history)
    watched = facts.stays.watched.select("device", watched="until")
    if not facts.stays.told or history.holes:
        return watched
    never = facts.owners.select("device").unique().join(watched, on="device", how="anti")
    return pl.concat([watched, never.with_columns(watched=pl.lit(history.end_ns, dtype=pl.Int64))])


def _due(history: History, readers: pl.DataFrame, watched: pl.DataFrame, bound_s: float) -> pl.DataFrame:
    """Return what each device that is no sender should be told of within the bound, as far as it is watched.

    Columns: conv, msg, seq, acked, device, until, sent.
    """
    due = readers.filter(pl.col("reader") != pl.col("device"))
    due = due.with_columns(until=pl.col("t") + round(bound_s * 1e9)).filter(not_gone_by(pl.col("until")))
    due = due.select(*MESSAGE, "seq", "until", acked="t", device="reader")
    due = due.join(watched, on="device").filter(pl.col("until") <= pl.col("watched")).drop("watched")
    return due.join(facts_of(history).sends.select(*MESSAGE, sent="t"), on=MESSAGE, how="left")


def _away(history: History, readers: pl.DataFrame, watched: pl.DataFrame) -> pl.DataFrame:
    """Return the pushes due to devices that are away for the whole bound; columns as of `_due`."""
    stays, due = facts_of(history).stays, _due(history, readers, watched, history.bounds.push_s)
    online = overlapping(due, pl.concat([stays.sessions, stays.untold]), start="acked", end="until")
    return due.join(online, on=["device", *MESSAGE], how="anti")


def _unreached(history: History, readers: pl.DataFrame, watched: pl.DataFrame, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return what neither arrived at a device in a session nor was pushed to it, with the bound `silence_s`."""
    bounds, facts = history.bounds, facts_of(history)
    due = _due(history, readers, watched, bounds.push_s + (bounds.silence_s or 0.0))
    if bounds.silence_s is None:
        due = due.clear()
    there = overlapping(due, facts.stays.sessions, start="acked", end="until").select("device", *MESSAGE).unique()
    due = due.join(there, on=["device", *MESSAGE], how="semi")
    late = _missing(due, pushes, facts.shown_of(due))
    came = late.join(_arrivals(history), on=["device", *MESSAGE]).filter(pl.col("arrived") <= pl.col("until"))
    return late.join(came, on=["device", *MESSAGE], how="anti")


def _arrivals(history: History) -> pl.DataFrame:
    """Return device, conv, msg, arrived: when each message was first seen on each device."""
    facts = facts_of(history)
    seen = pl.concat([facts.of(kind).select("device", *MESSAGE, "t") for kind in ("wire", "show")])
    return seen.group_by("device", *MESSAGE).agg(arrived=pl.col("t").min())


def _missing(away: pl.DataFrame, pushes: pl.DataFrame, shown: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `away` whose message was neither pushed nor shown in time.

    `shown`: first displays, as Facts.shown_of returns them, with null or no row for none.
    """
    told = away.join(pushes.select("device", "conv", covers="seq", pushed="t"), on=["device", "conv"]).filter(
        (pl.col("covers") >= pl.col("seq"))
        & pl.col("pushed").is_between(pl.col("sent").fill_null(EVER), pl.col("until"))
    )
    missing = away.join(told, on=["device", *MESSAGE], how="anti").join(shown, on=["device", *MESSAGE], how="left")
    return missing.filter(not_shown_by(pl.col("until")))


def _never(history: History, silent: pl.DataFrame, pushes: pl.DataFrame) -> int:
    """Return how many messages not told in time were never shown and never pushed, though there was time for it."""
    later = silent.join(pushes.select("device", "conv", covers="seq"), on=["device", "conv"])
    told = later.filter(pl.col("covers") >= pl.col("seq"))
    never = silent.filter(pl.col("shown").is_null()).join(told, on=["device", *MESSAGE], how="anti")
    if not never.height:
        return 0
    bound_ns, end_ns = round(history.bounds.push_s * 1e9), history.phase("final") or history.last_ns
    slow_ns = slow_until(facts_of(history).samples, bound_ns)
    return never.height - had_no_time(never.with_columns(end=pl.lit(end_ns)), slow_ns, bound_ns, since="acked")


def _forgotten(history: History, silent: pl.DataFrame, pushes: pl.DataFrame) -> int:
    """Return how many messages were never pushed though their device was away for long, and showed them on return."""
    bound_ns = round(history.bounds.push_s * 1e9)
    back = silent.filter(pl.col("shown") - pl.col("acked") >= LONG * bound_ns)
    for start, caught_up in slow_spans(facts_of(history).samples, bound_ns):
        back = back.filter((pl.col("shown") < start) | (pl.col("acked") > caught_up))
    told = back.join(pushes.select("device", "conv", covers="seq", pushed="t"), on=["device", "conv"]).filter(
        (pl.col("covers") >= pl.col("seq")) & (pl.col("pushed") <= pl.col("shown"))
    )
    return back.join(told, on=["device", *MESSAGE], how="anti").height


def _needless(history: History, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return pushes to devices online from the invocation to the push, on a connection that was not half open."""
    facts, bound_ns = facts_of(history), round(history.bounds.push_s * 1e9)
    broken = facts.of("offline").filter(pl.col("arg") == 0).select("device", end="t", broken=True).unique()
    in_time = (pl.col("arrived") <= pl.col("t") + bound_ns).fill_null(value=False)
    meant = _meant(history, pushes)
    if history.bounds.silence_s is not None:
        meant = facts.windows.clear_of(meant, start="sent", end="t")
    return (
        meant.join(facts.stays.sessions, on="device")
        .filter(pl.min_horizontal("sent", "t") >= pl.col("start"), pl.max_horizontal("sent", "t") < pl.col("end"))
        .join(_arrivals(history), on=["device", *MESSAGE], how="left")
        .join(broken, on=["device", "end"], how="left")
        .filter(pl.col("broken").is_null() | (in_time & (pl.col("end") >= pl.col("t") + WORD_NS)))
        .unique(["device", *MESSAGE, "t"])
        .sort("t", "conv", "seq", "device")
    )


def _hasty(needless: pl.DataFrame) -> bool:
    """Return True if half of them came behind their message, and too soon for a service that waits for word of that."""
    hasty = needless.filter(pl.col("arrived") <= pl.col("t"), pl.col("t") < pl.col("sent") + WORD_NS)
    return 2 * hasty.height >= needless.height > 0


def _meant(history: History, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return the pushes with the messages that have their number, and the times of their sends."""
    facts = facts_of(history)
    sends = facts.sends.select(*MESSAGE, sent="t")
    return pushes.join(facts.places.select(*MESSAGE, "seq"), on=["conv", "seq"]).join(sends, on=MESSAGE)


def _shown_before(history: History, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return pushes, outside fault windows, of messages that their device had shown (see Decisions).

    Columns: device, conv, seq, t, live: one session lasted until the bound for leaving after the display.
    """
    facts, bound_ns = facts_of(history), round(history.bounds.push_s * 1e9)
    shown = facts.first_shows.select("device", *MESSAGE, shown="t")
    old = _meant(history, pushes).join(shown, on=["device", *MESSAGE]).filter(pl.col("shown") < pl.col("t"))
    old = facts.windows.clear_of(old, start="sent", end="t")
    spans = facts.stays.sessions.sort("start", "end")
    at = old.sort("sent").join_asof(spans, left_on="sent", right_on="start", by="device", check_sortedness=False)
    live = (pl.col("end") >= pl.col("shown") + WORD_NS).fill_null(value=False)
    surplus = at.filter((pl.col("shown") + bound_ns < pl.col("t")) | live)
    surplus = surplus.join(_needless(history, pushes), on=["device", *MESSAGE, "t"], how="anti")
    surplus = surplus.with_columns(live=live).group_by(PUSH).agg(pl.col("live").any())
    return surplus.sort("t", "conv", "seq", "device")


def _again(pushes: pl.DataFrame) -> pl.DataFrame:
    """Return the pushes of a number to a device after the first OFTEN."""
    place = pl.col("t").cum_count().over("device", "conv", "seq")
    return pushes.sort("t").filter(place > OFTEN).sort("t", "conv", "seq", "device")


def _nowhere(history: History, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return pushes of numbers that no event gives to a message or a change."""
    facts = facts_of(history)
    known = pl.concat([facts.places.select("conv", "seq"), facts.changes])
    return pushes.join(known, on=["conv", "seq"], how="anti").sort("t", "conv", "seq", "device")


def _to_strangers(history: History, pushes: pl.DataFrame) -> pl.DataFrame:
    """Return pushes to devices whose user is no member at that number, if the number exists."""
    facts = facts_of(history)
    judged = pushes.join(facts.owners, on="device", how="semi").join(facts.of("member"), on="conv", how="semi")
    judged = judged.join(_nowhere(history, pushes), on=PUSH, how="anti")
    inside = (pl.col("first") <= pl.col("seq")) & (pl.col("seq") <= pl.col("last"))
    allowed = judged.join(facts.device_spans, on=["device", "conv"]).filter(inside)
    return judged.join(allowed, on=PUSH, how="anti").sort("t", "conv", "seq", "device")
