"""Walkthroughs of devices that are away: a push, and a catch-up."""

from __future__ import annotations

import polars as pl

from dashboards.walkthrough.recorded import HISTORY, Recorded, Row, name_of, sent, span
from dashboards.walkthrough.story import NotThere, Step, Story, named
from dashboards.walkthrough.topics.messages import story

BACK_NS = 15_000_000_000
"""What is displayed this soon after a device is back belongs to its catch-up."""


def push(run: Recorded) -> Story:
    """A message for a device that is away: a push goes to its phone, and later it has the message."""
    pushes = run.events("push").sort("t").unique(["device", "conv"], keep="first", maintain_order=True)
    pushes = pushes.select("device", "conv", "seq", "t")
    acks = run.facts.acks.select("conv", "seq", "msg", acked="t")
    shown = run.facts.first_shows.select("device", "conv", "msg", shown="t")
    found = pushes.join(acks, on=["conv", "seq"]).join(shown, on=["device", "conv", "msg"], how="left")
    found = found.with_columns(late=pl.col("t") - pl.col("acked")).sort("late", "device")
    traced = found.filter(pl.col("msg").is_in(run.stamps("applied")["msg"].unique().to_list()))
    later = traced.filter(pl.col("shown") > pl.col("t"))
    best = next((rows for rows in (later, traced, found) if rows.height), None)
    if best is None:
        raise NotThere("no push of this run could be joined with its message; everything and push have pushes")
    return _pushed(run, best.row(best.height // 2, named=True), found)


def _pushed(run: Recorded, row: Row, found: pl.DataFrame) -> Story:
    device, phone = name_of(row["device"]), f"phone of {row['device']}"
    steps = list(sent(run, row))
    away = run.events("offline", device=row["device"]).filter(pl.col("t") <= row["t"])
    if away.height:
        steps.append(
            Step(
                t_ns=away["t"][-1],
                start=device,
                stop=device,
                title="offline",
                source=HISTORY,
                text=f"{device} has no connection from here on.",
            )
        )
    steps.append(
        Step(
            t_ns=row["t"],
            start="push",
            stop=phone,
            title="push",
            source="pushes",
            text=f"The provider has the push for number {row['seq']}, {span(row['late'] / 1e9)} after the ACK.",
            frame=named("push", device=row["device"], number=row["seq"]),
        )
    )
    back = run.events("online", device=row["device"]).filter(pl.col("t") > row["t"])
    if back.height:
        steps.append(
            Step(
                t_ns=back["t"][0],
                start=device,
                stop=device,
                title="online",
                source=HISTORY,
                text=f"{device} is back and has been told what it missed.",
            )
        )
    if row["shown"] is not None:
        steps.append(
            Step(
                t_ns=row["shown"],
                start=device,
                stop=device,
                title="shown",
                source=HISTORY,
                text=f"It displays number {row['seq']}.",
            )
        )
    slowest = found["late"].max()
    assert isinstance(slowest, int)
    facts = [
        ("from the ACK to the push", span(row["late"] / 1e9)),
        ("the slowest of those looked at", span(max(0, slowest) / 1e9)),
        ("pushes in the run", f"{run.facts.of('push').height:,}"),
    ]
    return story(
        "push", "A push for somebody who is away",
        "A member device without a route gets a push instead of a notification. The message waits in the store.",
        steps, facts,
    )  # fmt: skip


def catch_up(run: Recorded) -> Story:
    """The device that missed the most while it was away as planned, and how it had all of it again."""
    missed = _missed(run)
    if not missed.height:
        raise NotThere("no device was away as planned while something was sent to it")
    most = missed.group_by("device", "left", "back").len().sort("len", "device", descending=[True, False])
    row = most.row(0, named=True)
    mine = missed.filter((pl.col("device") == row["device"]) & (pl.col("back") == row["back"])).sort("t")
    return _caught_up(run, row, mine)


def _missed(run: Recorded) -> pl.DataFrame:
    """device, left, back, conv, msg, seq, due, t: what was due in a planned absence, and displayed after it."""
    left = run.events("offline", arg=1).select("device", left="t").sort("left")
    online = run.events("online").select("device", back="t").sort("back")
    shown = run.facts.deliveries.sort("due")
    joined = shown.join_asof(left, left_on="due", right_on="left", by="device", check_sortedness=False)
    joined = joined.drop_nulls("left").sort("left")
    joined = joined.join_asof(
        online, left_on="left", right_on="back", by="device", strategy="forward", check_sortedness=False
    ).drop_nulls("back")
    return joined.filter((pl.col("due") < pl.col("back")) & pl.col("t").is_between("left", pl.col("back") + BACK_NS))


def _caught_up(run: Recorded, row: Row, mine: pl.DataFrame) -> Story:
    device = name_of(row["device"])
    convs = mine["conv"].n_unique()
    opened = run.stamps("opened", device=row["device"]).filter(pl.col("t").is_between(row["left"], row["back"]))
    gateway = opened["service"][-1] if opened.height else device
    steps = [
        Step(t_ns=row["left"], start=device, stop=device, title="offline", source=HISTORY,
             text=f"{device} leaves, as its user wanted."),
        Step(t_ns=mine["due"].min(), start="others", stop="log", title="first missed", source=HISTORY,  # type: ignore[arg-type]
             text=f"The first of {mine.height} messages in {convs} conversations that it misses."),
        Step(t_ns=mine["due"].max(), start="others", stop="log", title="last missed", source=HISTORY,  # type: ignore[arg-type]
             text="The last one."),
        Step(t_ns=row["back"], start=gateway, stop=device, title="SYNCED", source=HISTORY,
             frame=named("SYNCED", conversations_ahead=convs),
             text=f"{device} has sent its numbers (SYNC) and been told which conversations are ahead of it."),
    ]  # fmt: skip
    if opened.height:
        steps.append(
            Step(
                t_ns=opened["t"][-1],
                start=device,
                stop=gateway,
                title="connect",
                source=f"trace-{gateway}.bin",
                text=f"{device} is connected to {gateway}.",
                frame=named("WELCOME", device=row["device"]),
            )
        )
    wires = run.events("wire", device=row["device"]).filter(
        pl.col("msg").is_in(mine["msg"].to_list()) & (pl.col("t") >= row["left"])
    )
    if wires.height:
        steps.append(
            Step(
                t_ns=wires["t"][0],
                start="store",
                stop=device,
                title="PAGE",
                source=HISTORY,
                frame=named("PAGE", first_number=wires["seq"][0]),
                text="The first of the pages that it fetches, a hundred messages at most.",
            )
        )
    for place, word in dict.fromkeys([(0, "first"), (mine.height - 1, "last")]):
        steps.append(
            Step(
                t_ns=mine["t"][place],
                start=device,
                stop=device,
                title=f"{word} shown",
                source=HISTORY,
                text=f"It displays the {word} of what it missed.",
            )
        )
    facts = [
        ("away for", span((row["back"] - row["left"]) / 1e9)),
        ("messages missed", f"{mine.height} in {convs} conversations"),
        ("all of them displayed after its return within", span(max(0, mine["t"][-1] - row["back"]) / 1e9)),
        ("acknowledged messages lost in the run", str(run.verdict.counts.lost)),
    ]
    return story(
        "catch_up", "A device comes back and catches up",
        "It says up to which number it has each conversation, hears what is ahead, and fetches that page by page.",
        steps, facts,
    )  # fmt: skip
