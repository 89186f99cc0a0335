"""The records of one run, asked as walkthroughs ask them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from chaos.verdict.history.history import History
from chaos.verdict.model import FaultResult, Verdict
from chaos.verdict.relations.facts import Facts, facts_of
from dashboards.report.joining import DELIVERY, Joined
from dashboards.report.traces import Traces, read_traces
from dashboards.walkthrough.story import NotThere, Step, ack_frame, message_frame, named, notify_frame, send_frame

Row = dict[str, Any]
HISTORY: Final = "history"


class Recorded:
    """One run: its history, its stamps, its verdict."""

    def __init__(self, history: History, verdict: Verdict, run_dir: Path) -> None:
        self.history, self.verdict, self.run_dir = history, verdict, run_dir

    @cached_property
    def facts(self) -> Facts:
        """The relations of the history."""
        return facts_of(self.history)

    @cached_property
    def traces(self) -> Traces:
        """All stamps. Raises NotThere if there are none, or if they are of several clocks."""
        found = read_traces(self.run_dir)
        if not found.stamps.height:
            raise NotThere("this run was not traced: there are no stamps in its metrics")
        if not found.same_clock:
            raise NotThere("the processes of this run did not share a clock, so their stamps cannot be compared")
        return found

    @cached_property
    def ways(self) -> pl.DataFrame:
        """The deliveries with all their stamps, as the report joins them. Raises NotThere without one."""
        if not self.traces.every:
            raise NotThere("the processes of this run did not trace the same messages")
        rows = Joined(self.history, self.traces).rows
        if not rows.height:
            raise NotThere("no delivery of a traced message has all its stamps")
        return rows

    def stamps(self, name: str, **equal: object) -> pl.DataFrame:
        """Return the stamps of a name whose columns have these values, by time."""
        return _where(self.traces.stamps.filter(pl.col("name") == name), equal)

    def events(self, kind: str, **equal: object) -> pl.DataFrame:
        """Return the events of a kind whose columns have these values, by time."""
        return _where(self.facts.of(kind), equal)

    def fault(self, name: str) -> FaultResult:
        """Return the first fault of that name that took effect and was healed. Raises NotThere."""
        for fault in self.verdict.faults:
            if fault.name == name and fault.effective and fault.injected_at_s is not None and fault.healed_at_s:
                return fault
        raise NotThere(f"this run has no {name} that took effect and was healed")

    def at_ns(self, seconds: float) -> int:
        """Return the clock at a time of the verdict."""
        return self.history.start_ns + round(seconds * 1e9)

    def gateway_of(self, device: int, before_ns: int) -> str | None:
        """Return the gateway to which a device was connected last by that time."""
        rows = self.stamps("opened", device=device).filter(pl.col("t") <= before_ns)
        return rows["service"][-1] if rows.height else None

    @cached_property
    def members(self) -> pl.DataFrame:
        """conv, user of everybody who ever was a member."""
        return self.events("member", arg=1).select("conv", "user").unique()

    @cached_property
    def owners(self) -> dict[int, int]:
        """The user of each device that the history names, by device."""
        return dict(self.facts.of("device").select("device", "user").iter_rows())


def _where(frame: pl.DataFrame, equal: dict[str, object]) -> pl.DataFrame:
    for column, value in equal.items():
        frame = frame.filter(pl.col(column) == value)
    return frame


def first(frame: pl.DataFrame, what: str = "") -> Row:
    """Return the first row. Raises NotThere with `what` if there is none."""
    if not frame.height:
        raise NotThere(what)
    return frame.row(0, named=True)


def name_of(device: int) -> str:
    """Return the lane of a device."""
    return f"device {device}"


def sent(run: Recorded, way: Row) -> Iterator[Step]:
    """Yield the steps of a message from its SEND to its number; `way`: its conv, msg."""
    msg, conv = way["msg"], way["conv"]
    send = first(run.events("send", msg=msg, conv=conv), "the send was not recorded")
    device, client_seq = send["device"], msg & 0xFFFFFFFF
    sender = name_of(device)
    handed = run.stamps("handed_on", msg=msg)
    taken = run.stamps("taken", msg=msg)
    gateway = handed["service"][0] if handed.height else sender
    late = f", {(send['t'] - send['due']) / 1e6:.1f} ms after it was due" if send["t"] > send["due"] else ""
    yield Step(
        t_ns=send["t"], start=sender, stop=gateway, title="SEND", frame=send_frame(conv, client_seq), source=HISTORY,
        text=f"{sender} sends its message {client_seq}{late}.",
    )  # fmt: skip
    chat = taken["service"][0] if taken.height else None
    if handed.height and chat:
        yield Step(
            t_ns=handed["t"][0], start=gateway, stop=chat, title="Submit", source=f"trace-{gateway}.bin",
            text=f"{gateway} knows who the connection is, has taken the frame from its socket, and hands it on.",
            frame=named("Submit", device=device, client_seq=client_seq),
        )  # fmt: skip
        yield Step(
            t_ns=taken["t"][0], start=chat, stop=chat, title="taken", source=f"trace-{chat}.bin",
            text=f"{chat} has it. Nobody is told anything yet.",
        )  # fmt: skip
    for name, title, text in (
        ("appending", "append", "begins the append that includes it"),
        ("durable", "durable", "knows that the log has it: from here on it cannot be lost"),
    ):
        rows = run.stamps(name, msg=msg)
        if rows.height:
            service = rows["service"][0]
            ends = (service, "log") if name == "appending" else ("log", service)
            yield Step(
                t_ns=rows["t"][0], start=ends[0], stop=ends[1], title=title, source=f"trace-{service}.bin",
                text=f"{service} {text}.",
            )  # fmt: skip
    applied = run.stamps("applied", msg=msg)
    if applied.height:
        service, seq = applied["service"][0], applied["seq"][0]
        yield Step(
            t_ns=applied["t"][0], start="log", stop=service, title=f"number {seq}", source=f"trace-{service}.bin",
            text=f"{service} has read it from the log and given it number {seq} of its conversation.",
        )  # fmt: skip
    acks = run.events("ack", msg=msg, conv=conv)
    if acks.height:
        seq = acks["seq"][0]
        start = applied["service"][0] if applied.height else gateway
        yield Step(
            t_ns=acks["t"][0], start=start, stop=sender, title="ACK", frame=ack_frame(conv, client_seq, seq),
            source=HISTORY, text=f"{sender} has the answer: number {seq}, {_since(acks['t'][0], send['t'])} later.",
        )  # fmt: skip


def received(run: Recorded, way: Row, device: int, seq: int) -> Iterator[Step]:
    """Yield the steps of a message from its number to its display at one device."""
    msg, conv = way["msg"], way["conv"]
    show = first(run.events("show", msg=msg, conv=conv, device=device), "the display was not recorded")
    reader = name_of(device)
    gateway = run.gateway_of(device, show["t"])
    applied = run.stamps("applied", msg=msg)
    sequencer = applied["service"][0] if applied.height else None
    for name, title, frame in (
        ("told", "NOTIFY", notify_frame(conv, seq)),
        ("sent", "MESSAGE", message_frame(conv, seq, msg >> 32, msg & 0xFFFFFFFF)),
    ):
        wrote = run.stamps(name, conv=conv, seq=seq).filter(pl.col("service") == (gateway or ""))
        if not wrote.height or gateway is None:
            continue
        if sequencer is not None:
            yield Step(
                t_ns=wrote["t"][0], start=sequencer, stop=gateway, title="Deliver", source=f"trace-{gateway}.bin",
                text=f"{gateway} has it from {sequencer}, and writes to the members that it holds.",
            )  # fmt: skip
        yield Step(
            t_ns=wrote["t"][0] + 1, start=gateway, stop=reader, title=title, source=f"trace-{gateway}.bin", frame=frame,
            text=f"{gateway} writes {title} to {reader}.",
        )  # fmt: skip
    told = run.traces.swarm.filter(
        (pl.col("name") == "notified") & (pl.col("device") == device) & (pl.col("msg") == msg)
    )
    if told.height:
        yield Step(
            t_ns=told["t"][0], start=reader, stop=gateway or reader, title="FETCH", source=HISTORY,
            frame=named("FETCH", conversation=conv, number=told["seq"][0]),
            text=f"{reader} has read the NOTIFY and asks for the body.",
        )  # fmt: skip
    wire = run.events("wire", msg=msg, conv=conv, device=device)
    if wire.height:
        yield Step(
            t_ns=wire["t"][0], start=gateway or reader, stop=reader, title="body", source=HISTORY,
            text=f"The body is at {reader}.", frame=named("PAGE" if told.height else "MESSAGE", number=seq),
        )  # fmt: skip
    yield Step(
        t_ns=show["t"], start=reader, stop=reader, title="shown", source=HISTORY,
        text=f"{reader} has everything before number {seq}, and displays it.",
    )  # fmt: skip


def _since(later_ns: int, earlier_ns: int) -> str:
    return span((later_ns - earlier_ns) / 1e9)


def span(seconds: float) -> str:
    """Return a length of time for people."""
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def typical(rows: pl.DataFrame) -> Row:
    """Return the row whose latency is the median's nearest. Raises NotThere without rows."""
    ordered = rows.sort("latency_ns", *DELIVERY)
    return first(ordered.slice(ordered.height // 2, 1), "no such delivery was traced")
