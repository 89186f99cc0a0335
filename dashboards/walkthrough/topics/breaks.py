"""Walkthroughs of what breaks: a gateway dies, a chat service dies, a sequencer dies."""

from __future__ import annotations

import polars as pl

from chaos.verdict.model import FaultResult
from dashboards.walkthrough.recorded import HISTORY, Recorded, first, name_of, span
from dashboards.walkthrough.story import NotThere, Step, Story, named
from dashboards.walkthrough.topics.messages import story

NOTICED_NS = 8_000_000_000
"""A connection that ends this soon after a fault ended by it."""
AFTER_NS = 20_000_000_000


def _struck(run: Recorded, fault: FaultResult) -> tuple[int, int]:
    """Return when the fault struck and when it was healed."""
    assert fault.injected_at_s is not None
    assert fault.healed_at_s is not None
    return run.at_ns(fault.injected_at_s), run.at_ns(fault.healed_at_s)


def _felt(fault: FaultResult) -> list[tuple[str, str]]:
    found = fault.recovery
    facts = [("proof from outside", fault.evidence)]
    if found.worst_p99_ms is not None:
        facts.append(("worst p99 of a second meanwhile", span(found.worst_p99_ms / 1000)))
    if found.felt_s is not None:
        facts.append(("felt for", span(found.felt_s)))
    return facts


def _ends(fault: FaultResult, run: Recorded, what: str) -> list[Step]:
    begin_ns, end_ns = _struck(run, fault)
    return [
        Step(t_ns=begin_ns, start=fault.target, stop=fault.target, title="killed", source="verdict.json", bad=True,
             text=f"{fault.target} is killed (SIGKILL). {what}"),
        Step(t_ns=end_ns, start=fault.target, stop=fault.target, title="healed", source="verdict.json",
             text=f"{fault.target} works again, proven from outside."),
    ]  # fmt: skip


def websocket(run: Recorded) -> Story:
    """A gateway's death: its devices notice, dial others, and have everything again."""
    fault = run.fault("gateway_crash")
    begin_ns, _ = _struck(run, fault)
    opened = run.stamps("opened").filter(pl.col("t") <= begin_ns).unique("device", keep="last")
    there = opened.filter(pl.col("service") == fault.target)["device"].cast(pl.Int64)
    ended = run.events("offline", arg=0).filter(
        pl.col("device").is_in(there.to_list()) & pl.col("t").is_between(begin_ns, begin_ns + NOTICED_NS)
    ).unique("device", keep="first").sort("t")  # fmt: skip
    if not ended.height:
        raise NotThere(f"no device lost its connection as {fault.target} died")
    devices = ended["device"].to_list()
    back = run.stamps("opened").filter(
        pl.col("device").cast(pl.Int64).is_in(devices) & pl.col("t").is_between(begin_ns + 1, begin_ns + AFTER_NS)
    ).unique("device", keep="first").sort("t")  # fmt: skip
    online = run.events("online").filter(
        pl.col("device").is_in(devices) & pl.col("t").is_between(begin_ns + 1, begin_ns + AFTER_NS)
    ).unique("device", keep="first").sort("t")  # fmt: skip
    everyone = f"devices of {fault.target}"
    steps = _ends(fault, run, f"{len(devices)} devices of the swarm are connected to it.")
    for row, word in ((ended.row(0, named=True), "first"), (ended.row(-1, named=True), "last")):
        steps.append(
            Step(
                t_ns=row["t"],
                start=everyone,
                stop=everyone,
                title=f"{word} notices",
                source=HISTORY,
                bad=True,
                text=f"The {word} of {len(devices)} devices sees its connection end, and draws a wait (full jitter).",
            )
        )
    for gateway, rows in sorted(back.partition_by("service", as_dict=True).items()):
        steps += [
            Step(
                t_ns=rows["t"][place], start=everyone, stop=gateway[0], title=f"{word} of {rows.height}",
                source=f"trace-{gateway[0]}.bin", frame=named("WELCOME", gateway=gateway[0]),
                text=f"{gateway[0]} takes {rows.height} of them; this is the {word}.",
            )
            for place, word in dict.fromkeys([(0, "first"), (rows.height - 1, "last")])
        ]  # fmt: skip
    one = _one_device(run, devices, begin_ns)
    length = span((online["t"][-1] - begin_ns) / 1e9) if online.height else "not within 20 s"
    facts = [
        ("devices that lost their connection", f"{len(devices)}"),
        ("the last one back and told what it missed after", length),
        ("acknowledged messages lost in the run", str(run.verdict.counts.lost)),
        *_felt(fault),
    ]
    return story(
        "websocket", "A gateway dies, and its devices are somewhere else",
        "Sockets die with their gateway. Each device waits at random before it dials, and asks what it missed.",
        [*steps, *one], facts,
    )  # fmt: skip


def _one_device(run: Recorded, devices: list[int], begin_ns: int) -> list[Step]:
    """The steps of the device that displayed the most of what was sent while it was away."""
    missed = run.facts.deliveries.filter(
        pl.col("device").is_in(devices) & pl.col("due").is_between(begin_ns, begin_ns + AFTER_NS)
    ).with_columns(late=pl.col("t") - pl.col("due")).sort("late", "device", descending=[True, False])  # fmt: skip
    if not missed.height:
        return []
    row = missed.row(0, named=True)
    device = row["device"]
    steps = []
    online = run.events("online", device=device).filter(pl.col("t") > begin_ns)
    if online.height:
        steps.append(
            Step(
                t_ns=online["t"][0],
                start=name_of(device),
                stop=name_of(device),
                title="SYNC answered",
                source=HISTORY,
                text=f"{name_of(device)} is connected again and has been told which conversations are ahead of it.",
                frame=named("SYNCED", device=device),
            )
        )
    steps.append(
        Step(
            t_ns=row["t"],
            start=name_of(device),
            stop=name_of(device),
            title="shown",
            source=HISTORY,
            text=f"It displays number {row['seq']} of a conversation, {span(row['late'] / 1e9)} after that was due.",
        )
    )
    return steps


def servers(run: Recorded) -> Story:
    """A chat service dies: no socket ends, because gateways hold those; the other service takes the messages."""
    fault = run.fault("chat_crash")
    begin_ns, end_ns = _struck(run, fault)
    window = (begin_ns - 3_000_000_000, end_ns + AFTER_NS)
    taken = run.stamps("taken").filter(pl.col("t").is_between(*window))
    dead = taken.filter(pl.col("service") == fault.target)
    others = taken.filter((pl.col("service") != fault.target) & (pl.col("t") > begin_ns))
    before, after = dead.filter(pl.col("t") <= begin_ns), dead.filter(pl.col("t") > begin_ns)
    ended = run.events("offline", arg=0).filter(pl.col("t").is_between(begin_ns, end_ns))
    steps = _ends(fault, run, "Gateways hold the sockets, so no device is cut off.")
    for rows, title, text in (
        (before.tail(1), "last before", "the last traced message that it took"),
        (others.head(1), "taken over", "the first traced message after that; the gateways have chosen another one"),
        (after.head(1), "taken again", "the first traced message that it takes again"),
    ):
        if rows.height:
            row = rows.row(0, named=True)
            handed = run.stamps("handed_on", msg=row["msg"])
            gateway = handed["service"][-1] if handed.height else row["service"]
            steps.append(
                Step(
                    t_ns=row["t"],
                    start=gateway,
                    stop=row["service"],
                    title=title,
                    source=f"trace-{row['service']}.bin",
                    text=f"{row['service']}: {text}.",
                    frame=named("Submit", device=row["device"], client_seq=row["client_seq"]),
                )
            )
    if len(steps) < 4:
        raise NotThere(f"too few traced messages around the death of {fault.target}")
    by_service = run.stamps("taken").group_by("service").len().sort("service")
    share = ", ".join(f"{service}: {count:,}" for service, count in by_service.iter_rows())
    facts = [
        ("connections that ended meanwhile", f"{ended.height}"),
        ("traced messages by chat service", share),
        *_felt(fault),
    ]
    return story(
        "servers", "Stateful gateways, stateless chat services",
        "Gateways hold connections and no rule. Chat services hold rules and no connection, so any of them will do.",
        steps, facts,
    )  # fmt: skip


def replication(run: Recorded) -> Story:
    """A sequencer dies: its understudy computes the same numbers from the log, until it is back."""
    fault = run.fault("sequencer_crash")
    begin_ns, _end_ns = _struck(run, fault)
    applied = run.stamps("applied").sort("t").unique(["conv", "seq"], keep="first", maintain_order=True)
    own = applied.filter((pl.col("service") == fault.target) & (pl.col("t") <= begin_ns))
    last = first(own.tail(1), f"{fault.target} numbered no traced message before it died")
    convs = own["conv"].unique().to_list()
    standing_in = applied.filter(
        (pl.col("service") != fault.target) & pl.col("conv").is_in(convs) & (pl.col("t") > begin_ns)
    )
    again = applied.filter((pl.col("service") == fault.target) & (pl.col("t") > begin_ns))
    steps = _ends(fault, run, "Its partitions have no owner for a moment; the log has everything that was taken.")
    for rows, title, text in (
        (own.tail(1), "last before", "the last traced number that it gave"),
        (standing_in.head(1), "understudy", "the first traced number in a conversation of the dead one"),
        (again.head(1), "back", "the first traced number after its return"),
    ):
        if rows.height:
            row = rows.row(0, named=True)
            steps.append(
                Step(
                    t_ns=row["t"],
                    start="log",
                    stop=row["service"],
                    title=f"{title}: {row['seq']}",
                    source=f"trace-{row['service']}.bin",
                    text=f"{row['service']}: {text}. Number {row['seq']} of conversation {row['conv']}.",
                )
            )
    following = standing_in if standing_in.height else again
    after = first(following, "no traced message of its partitions was numbered after the death")
    counts = run.verdict.counts
    facts = [
        ("from the death to the next traced number of its partitions", span((after["t"] - begin_ns) / 1e9)),
        ("before it, the last one was given", span((begin_ns - last["t"]) / 1e9) + " earlier"),
        ("numbers missing, or given twice", f"{counts.gaps + counts.duplicates}"),
        *_felt(fault),
    ]
    return story(
        "replication", "A sequencer dies, and the numbers go on",
        "A number is a function of the log. So whoever reads the log gives the same numbers, and no lock is needed.",
        steps, facts,
    )  # fmt: skip
