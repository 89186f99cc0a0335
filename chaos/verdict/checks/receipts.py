"""receipts: a receipt reports a display, and every display is reported.

Guarantee: a receipt never comes before the display that it reports, and never goes back. What is shown is told to its
author within the bound while both are online.
Anomaly: "read" on a message that nobody has seen, or ticks that stop.
Unknown when displays lack a receipt in a history with holes: a removal may be unrecorded.

    {"e":"show","t":10,"device":2,"conv":7,"msg":5,"seq":3,..}
    {"e":"receipt","t":20,"device":1,"conv":7,"seq":4,"kind":"read","by":2}   number 4 is not shown yet
    {"e":"receipt","t":30,"device":1,"conv":7,"seq":3,"kind":"read","by":2}   and this goes back

Decisions. `by` is a user (any of whose devices may have shown it), or else a device; an id that is both is the user's.
A receipt of a user whose devices the history does not know is not judged. One of nobody that the history knows is
early, in a conversation whose members it tells, unless it has holes. A history without a receipt has nothing to check.
A display must be reported, by either kind and on any device of the author, under three conditions. The showing and the
sending device are each in one session from the display to the bound. No fault window overlaps that time. Neither user
is removed later. A receipt reports everything up to its number. So the message that must have been displayed is the
last one at or below it that `by` may see and did not send. Own messages are left out because not every client displays
them, and a membership change has no display. Nobody can report a number above every message and change of the
conversation, and a user can report none before the add or after the removal, unless a history with holes may lack what
took that number. A receipt is early by more than the error of clocks, where the meta line states more than usual. Kinds
are judged alike. Receipts go back within one receiving device, conversation, kind and `by`; events of the same time
prove no order.
"""

from __future__ import annotations

import polars as pl

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Evidence, Finding, Row, Words, count, nothing
from chaos.verdict.history.history import History
from chaos.verdict.relations.base import FOREVER, MESSAGE, PLACE, in_stay
from chaos.verdict.relations.facts import facts_of

NAME = "receipts"
RANK = 140


def check(history: History) -> Finding:
    """Return the finding; `anomalies` counts early receipts, receipts that go back, and displays without one."""
    facts, words = facts_of(history), Words(history)
    receipts = facts.of("receipt").select("device", "conv", "seq", "t", kind="arg", by="user").with_row_index("row")
    if not receipts.height:
        return nothing(NAME)
    early = _early(history, receipts).sort("t", "conv", "seq", "device")
    stream = ["device", "conv", "kind", "by"]
    highest = pl.col("seq").cum_max().shift(1).over(stream)
    back = receipts.sort("t", "seq").with_columns(highest=highest).filter(pl.col("seq") < pl.col("highest"))
    back = back.sort("t", "conv", "seq", "device")

    def said(row: Row) -> str:
        kind = "read" if row["kind"] else "delivered"
        return f"{words.device(row)} was told {words.at(row['t'])} that {words.place(row)} was {kind} by {_by(row)}"

    def _by(row: Row) -> str:
        return str(history.ids.decode("user", row["by"]))

    untold = _untold(history, receipts)

    def silent(row: Row) -> str:
        return (
            f"{words.device(row)} showed {words.msg(row)}, {words.place(row)}, {words.at(row['t'])}, and its author on "
            f"{words.device(row, 'sender')} got no receipt of that within {history.bounds.receipt_s:g} s"
        )

    if untold.height and history.holes and not early.height and not back.height:
        detail = f"{count(untold.height, 'display')} without a receipt may follow an unrecorded removal"
        return Finding(name=NAME, verdict="unknown", detail=detail)
    untold = untold.clear() if history.holes else untold
    if early.height or back.height or untold.height:
        detail = f"{count(early.height, 'receipt')} before the display, {back.height:,} going back"
        if untold.height:
            detail += f", {count(untold.height, 'display')} without one"
        return words.invalid(
            NAME,
            detail,
            Evidence(early, lambda row: f"{said(row)}, where it was not shown before that"),
            Evidence(back, lambda row: f"{said(row)}, after {row['highest']} had been reported"),
            Evidence(untold, silent, ("device", "sender")),
            anomalies=early.height + back.height + untold.height,
            tardy=not early.height and not back.height,
        )
    detail = f"{count(receipts.height, 'receipt')}, none early, none going back"
    return Finding(name=NAME, verdict="valid", detail=detail)


def quick(bulk: Condensed) -> Finding | None:
    """Return the finding if there is no receipt."""
    return None if bulk.facts.of("receipt").height else nothing(NAME)


def _early(history: History, receipts: pl.DataFrame) -> pl.DataFrame:
    """Return the receipts whose message had not been displayed by anybody whom `by` may mean."""
    facts = facts_of(history)
    people = _people(history)
    known = pl.concat([people["by"], facts.owners["device"], facts.of("member")["user"]])
    nobody = receipts.filter(pl.col("seq") > 0).join(pl.DataFrame({"by": known}), on="by", how="anti")
    nobody = nobody.join(facts.of("member"), on="conv", how="semi") if not history.holes else nobody.clear()
    receipts = receipts.join(people, on="by", how="semi")
    meant = receipts.join(people.rename({"device": "reader"}), on="by")
    sends = facts.sends.select(*MESSAGE, sender="device")
    numbers = facts.places.join(sends, on=MESSAGE, how="left").select("conv", "sender", message="seq").unique()
    spans = facts.device_spans.select("conv", "first", "last", reader="device")
    spans = spans.join(meant.select("conv", "reader").unique(), on=["conv", "reader"], how="semi")
    allowed = spans.join(numbers, on="conv").filter(pl.col("sender").ne_missing(pl.col("reader")))
    allowed = allowed.filter(in_stay("message"))
    visible = allowed.select("reader", "conv", "message").unique().sort("message")
    reported = meant.sort("seq").join_asof(
        visible, left_on="seq", right_on="message", by=["reader", "conv"], check_sortedness=False
    )
    shown = facts.shows.group_by("conv", reader="device", message="seq").agg(shown=pl.col("t").min())
    judged = reported.join(shown, on=["reader", "conv", "message"], how="left")
    if not history.holes:
        judged = _possible(history, judged, spans)
    seen = pl.col("message").is_null() | (pl.col("shown") <= pl.col("t") + history.skew_ns)
    return pl.concat([receipts.join(judged.filter(seen), on="row", how="anti"), nobody])


def _possible(history: History, reported: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Return the rows (conv, seq, reader) whose number exists and is in a stay of the reader, the ends included.

    The number 0 reports nothing. In a conversation without membership events, anybody may be a member.
    """
    facts = facts_of(history)
    numbers = pl.concat([facts.places.select("conv", "seq"), facts.changes])
    highest = numbers.group_by("conv").agg(top=pl.col("seq").max())
    is_some = reported.join(highest, on="conv", how="left").filter(pl.col("seq") <= pl.col("top").fill_null(0))
    stays = is_some.join(spans, on=["conv", "reader"])
    inside = stays.filter((pl.col("first") <= pl.col("seq")) & (pl.col("seq") <= pl.col("last")))
    nobody = is_some.join(facts.of("member"), on="conv", how="anti")
    none = is_some.filter(pl.col("seq") == 0)
    columns = reported.columns
    return pl.concat([inside.select(columns), nobody.select(columns), none.select(columns)]).unique()


def _people(history: History) -> pl.DataFrame:
    """Return device, by: the devices whose display a receipt by `by` may mean."""
    facts = facts_of(history)
    users = facts.owners.select("device", by="user")
    known = pl.concat([users.select("by"), facts.of("member").select(by="user")]).unique()
    devices = facts.owners.select("device", by="device").join(known, on="by", how="anti")
    return pl.concat([users, devices]).unique()


def _untold(history: History, receipts: pl.DataFrame) -> pl.DataFrame:
    """Return device, conv, msg, seq, t, sender: first displays of which the author was not told in time."""
    facts, bound_ns = facts_of(history), round(history.bounds.receipt_s * 1e9)
    staying = facts.device_spans.filter(pl.col("last") == FOREVER).select("conv", "first", reader="device")
    owners = facts.owners
    shown = facts.first_shows.join(facts.sends.select(*MESSAGE, sender="device"), on=MESSAGE)
    shown = shown.filter(pl.col("device") != pl.col("sender")).with_columns(until=pl.col("t") + bound_ns)
    shown = facts.windows.clear_of(shown, start="t", end="until")
    for who in ("device", "sender"):
        spans = facts.stays.sessions.select("start", "end", **{who: "device"}).sort("start", "end")
        shown = shown.sort("t").join_asof(spans, left_on="t", right_on="start", by=who, check_sortedness=False)
        shown = shown.filter(pl.col("end") >= pl.col("until")).drop("start", "end")
        inside = shown.join(staying.rename({"reader": who}), on=["conv", who]).filter(pl.col("first") < pl.col("seq"))
        shown = inside.drop("first").unique(["device", *MESSAGE])
    # A user needs no receipt from its own devices; a device of several users counts as each of them.
    own = owners.rename({"device": "sender"}).join(owners, on="user").select("device", "sender").unique()
    due = shown.join(own, on=["device", "sender"], how="anti")
    authors = owners.select(sender="device", author="user")
    due = due.join(authors, on="sender").join(_people(history), on="device")
    highest = pl.col("seq").cum_max().over("author", "conv", "by")
    heard = receipts.join(owners.rename({"user": "author"}), on="device").sort("t", "seq").with_columns(highest=highest)
    told = due.sort("until").join_asof(
        heard.select("author", "conv", "by", "highest", heard="t"),
        left_on="until", right_on="heard", by=["author", "conv", "by"], check_sortedness=False,
    )  # fmt: skip
    fine = told.filter(pl.col("highest") >= pl.col("seq"))
    silent = due.join(fine, on=["device", *MESSAGE], how="anti")
    return silent.select("device", *PLACE, "t", "sender").unique().sort("t", *PLACE, "device")
