"""Walkthroughs of messages: the way of one, the order of two, what is kept of one, and one to a group."""

from __future__ import annotations

import polars as pl

from dashboards.walkthrough.recorded import HISTORY, Recorded, Row, first, name_of, received, sent, span, typical
from dashboards.walkthrough.story import NotThere, Step, Story, lanes


def story(topic: str, title: str, lead: str, steps: list[Step], facts: list[tuple[str, str]]) -> Story:
    """Return a story with the lanes that its steps use: devices, services in the order of a message's way, stores."""
    names = [name for step in steps for name in (step.start, step.stop)]
    devices = [name for name in names if name.startswith(("device", "phone", "members", "viewer", "others"))]
    stores = [name for name in names if name in ("log", "store")]
    order = {"gateway": 0, "chat": 1, "sequencer": 3, "api": 4, "push": 5}
    services = [name for name in names if name not in devices and name not in stores]
    services.sort(key=lambda name: (order.get(name.rpartition("-")[0], 6), name))
    return Story(
        topic=topic,
        title=title,
        lead=lead,
        lanes=lanes(devices=devices, services=services, stores=stores),
        steps=steps,
        facts=facts,
    ).in_order()


def message(run: Recorded) -> Story:
    """The way of a typical message, from send to display across processes."""
    way = typical(run.ways.filter(~pl.col("again") & pl.col("announced")))
    seq = _number(run, way)
    steps = [*sent(run, way), *received(run, way, way["device"], seq)]
    acks = run.events("ack", msg=way["msg"], conv=way["conv"])
    facts = [
        ("from due to display", span(way["latency_ns"] / 1e9)),
        ("until it was durable", span((way["kept"] - way["sent_at"]) / 1e9)),
        ("number of its conversation", str(seq)),
        ("deliveries traced in this run", f"{run.ways.height:,}"),
    ]
    if acks.height:
        facts.insert(2, ("until its sender had the ACK", span((acks["t"][0] - way["sent_at"]) / 1e9)))
    return story(
        "message", "A message, from send to display",
        "The delivery of this run with the median latency. Each arrow is a moment that a process or a device recorded.",
        steps, facts,
    )  # fmt: skip


def _number(run: Recorded, way: Row) -> int:
    applied = first(run.stamps("applied", msg=way["msg"]), "the number was not recorded")
    return int(applied["seq"])


def ordering(run: Recorded) -> Story:
    """Two messages of different senders that follow each other in one conversation, as closely as any traced pair."""
    applied = run.stamps("applied").unique(["conv", "seq"], keep="first").sort("conv", "seq")
    pairs = applied.with_columns(
        next_msg=pl.col("msg").shift(-1).over("conv"), next_seq=pl.col("seq").shift(-1).over("conv"),
        next_t=pl.col("t").shift(-1).over("conv"),
    ).filter(
        (pl.col("next_msg") // (1 << 32) != pl.col("msg") // (1 << 32)) & pl.col("next_msg").is_not_null()
    )  # fmt: skip
    pairs = pairs.with_columns(gap=pl.col("next_t") - pl.col("t")).sort("gap", "conv", "seq")
    shown = run.facts.first_shows
    for pair in pairs.head(50).iter_rows(named=True):
        both = shown.filter((pl.col("conv") == pair["conv"]) & pl.col("msg").is_in([pair["msg"], pair["next_msg"]]))
        senders = {pair["msg"] >> 32, pair["next_msg"] >> 32}
        readers = both.group_by("device").len().filter((pl.col("len") == 2) & ~pl.col("device").is_in(list(senders)))
        if readers.height:
            return _ordered(run, pair, int(readers["device"].sort()[0]))
    raise NotThere("no two traced messages of different senders followed each other in a conversation with a reader")


def _ordered(run: Recorded, pair: Row, reader: int) -> Story:
    steps: list[Step] = []
    for msg, seq in ((pair["msg"], pair["seq"]), (pair["next_msg"], pair["next_seq"])):
        way = {"msg": msg, "conv": pair["conv"]}
        steps += [*sent(run, way), *(step for step in received(run, way, reader, seq) if step.title == "shown")]
    again = run.traces.swarm.filter(pl.col("name") == "sent_again")["msg"].unique()
    counts = run.verdict.counts
    facts = [
        ("numbers", f"{pair['seq']} and {pair['next_seq']}, by the order in the log"),
        ("between the two numbers", span(pair["gap"] / 1e9)),
        ("messages of the run that were sent again", f"{again.len():,} of those traced"),
        ("shown out of order, or twice", f"{counts.reordered + counts.duplicates}"),
        ("numbers missing", str(counts.gaps)),
    ]
    return story(
        "ordering", "Two messages, one order",
        "Two devices write to one conversation. The sequencer numbers them in the order of the log, without a lock and "
        "without a global counter. A third device displays them in that order.",
        steps, facts,
    )  # fmt: skip


def storage(run: Recorded) -> Story:
    """What is kept of a message: the append before the answer, and the copies that are read back at the end."""
    finals = run.facts.of("final")
    kept = finals.select("conv", "msg").unique()
    way = typical(run.ways.filter(~pl.col("again")).join(kept, on=["conv", "msg"], how="semi"))
    seq = _number(run, way)
    copies = finals.filter((pl.col("conv") == way["conv"]) & (pl.col("msg") == way["msg"])).sort("t")
    steps = list(sent(run, way))
    for place, word in ((0, "first"), (copies.height - 1, "last")):
        row = copies.row(place, named=True)
        reader = name_of(row["device"])
        steps.append(
            Step(
                t_ns=row["t"],
                start="store",
                stop=reader,
                title=f"read back ({word})",
                source="history, readback",
                text=f"After the run {reader} reads the conversation from number 0 on a new connection: number {seq} "
                "is there.",
            )
        )
    alike = copies["hash"].n_unique() == 1
    counts = run.verdict.counts
    facts = [
        ("durable before its sender heard", span((way["kept"] - way["sent_at"]) / 1e9) + " after the SEND"),
        ("copies read back of this message", f"{copies.height}, {'all alike' if alike else 'NOT alike'}"),
        ("acknowledged in the run", f"{counts.sends_acked:,}"),
        ("acknowledged and lost", f"{counts.lost:,}"),
    ]
    return story(
        "storage", "What is kept of a message",
        "The log has it before anybody hears of it. Rows follow behind. At the end every device reads everything back "
        "from the store.",
        steps, facts,
    )  # fmt: skip


def group(run: Recorded) -> Story:
    """A message to the largest group in which one was traced: stored once, told to many."""
    counted = run.facts.samples.join(run.stamps("applied").select("msg").unique(), on="msg").group_by("conv", "msg")
    readers = counted.agg(n=pl.col("device").n_unique()).sort("n", "msg", descending=[True, False])
    for row in readers.head(20).iter_rows(named=True):
        if row["n"] >= 3 and run.events("send", msg=row["msg"], conv=row["conv"]).height:
            return _fanned_out(run, row)
    raise NotThere("no traced message was displayed by three devices")


def _fanned_out(run: Recorded, way: Row) -> Story:
    conv, msg = way["conv"], way["msg"]
    seq = _number(run, way)
    steps = list(sent(run, way))
    shows = run.facts.samples.filter((pl.col("conv") == conv) & (pl.col("msg") == msg)).sort("t")
    homes: dict[str, list[Row]] = {}
    for show in shows.iter_rows(named=True):
        homes.setdefault(run.gateway_of(show["device"], show["t"]) or "elsewhere", []).append(show)
    sequencer = first(run.stamps("applied", msg=msg))["service"]
    for gateway, there in sorted(homes.items()):
        members = f"members at {gateway}"
        wrote = run.stamps("told", conv=conv, seq=seq, service=gateway)
        if wrote.height:
            steps += [
                Step(
                    t_ns=wrote["t"][0], start=sequencer, stop=gateway, title="Deliver", source=f"trace-{gateway}.bin",
                    text=f"One frame to {gateway}, whatever the number of members there.",
                ),
                Step(
                    t_ns=wrote["t"][0] + 1, start=gateway, stop=members, title=f"NOTIFY x {len(there)}",
                    source=f"trace-{gateway}.bin", text=f"{gateway} writes 16 bytes to each of its members.",
                ),
            ]  # fmt: skip
        for place, word in ((0, "first"), (len(there) - 1, "last")):
            steps.append(
                Step(
                    t_ns=there[place]["t"],
                    start=members,
                    stop=members,
                    title=f"{word} shows it",
                    source=HISTORY,
                    text=f"The {word} of {len(there)} members at {gateway} has fetched the body and displays it.",
                )
            )
    last_s = (shows["t"][-1] - shows["t"][0]) / 1e9
    facts = [
        ("members that displayed it", f"{shows.height}"),
        ("its number, the same for all", str(seq)),
        ("bytes of notifications", f"{16 * shows.height:,} for {shows.height} members"),
        ("from the first display to the last", span(last_s)),
    ]
    return story(
        "group", "One message to a group",
        "The body is stored once. Members get a notification of 16 bytes, and fetch the body from memory.",
        steps, facts,
    )  # fmt: skip
