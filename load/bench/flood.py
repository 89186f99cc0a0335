"""The crowd of `petrel bench overload`: `python -m load.bench.flood flood`.

It reads a plan as load/bench/crowd.py does. Then each line that it reads is a `Span`, and it answers with the `Told` of
that time. Every device is the client machine of our own devices (sut/protocol/device), with its repeats and back-offs.
Neighbours talk in 1:1 conversations. Messages come at the planned times whatever the system does (an open loop).

A device that has `MAX_OUTBOX` messages waiting writes no more until one is settled, as a person does who sees that
nothing goes out. So what is left over from an overload is bounded, and is the same for every length of it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import Final, NamedTuple

import msgspec

from load.bench.crowd import CONNECT_AT_ONCE, CONNECT_S, Crowd, Measured, Plan, answer, main
from load.bench.phone import Phone
from load.history.latency import Histogram
from sut.protocol import frames as f
from sut.protocol.device.client import Client
from sut.protocol.device.events import (
    Acked,
    ClientSettings,
    GaveUp,
    Nacked,
    OutboxFull,
    Sent,
    SentAgain,
    Show,
    Violation,
)

NEIGHBOURS: Final = 4
"""Conversations that each device begins; it is in twice as many."""
MAX_OUTBOX: Final = 8
STEP_S: Final = 0.01
COUNTED: Final = (
    "wanted", "withheld", "acked", "shown", "refused", "refused_for_good", "again", "given_up", "violations",
)  # fmt: skip
BODY: Final = bytes(250)
"""150 as people write, 100 of envelope."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time of sending at one rate."""

    rate_per_s: float
    duration_s: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the time of one span. Latencies end at the display at the other device."""

    duration_s: float
    wanted: int
    """Messages that were due."""
    withheld: int
    """Messages that were due and not written, because too many of the device wait already."""
    acked: int
    shown: int
    refused: int
    """Refusals for now; the device repeats the message."""
    refused_for_good: int
    again: int
    """Transmissions after the first."""
    given_up: int
    violations: int
    ack_p99_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    """From the transmission that was taken: the first one that was not refused."""
    felt_p99_ms: float
    """From the planned time, so with every wait and repeat."""
    late_ms: float
    """How late the crowd itself was with what was due, at worst."""
    unsettled: int
    """Messages without an answer at the end."""


class _Message(NamedTuple):
    due_s: float
    taken_s: float
    """When the transmission left that was not refused so far."""
    refused: bool


class _Tally:
    """The counts of one span."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(COUNTED, 0)
        self.acks, self.displays, self.felt = Histogram(), Histogram(), Histogram()
        self.late_s = 0.0

    def told(self, duration_s: float, unsettled: int) -> Told:
        """Return what the crowd did in a step of `duration_s`, and how many sends were `unsettled` at its end."""
        return Told(
            duration_s=duration_s,
            ack_p99_ms=self.acks.percentile_ms(99),
            p50_ms=self.displays.percentile_ms(50),
            p99_ms=self.displays.percentile_ms(99),
            max_ms=self.displays.percentile_ms(100),
            felt_p99_ms=self.felt.percentile_ms(99),
            late_ms=self.late_s * 1000,
            unsettled=unsettled,
            **self.counts,
        )


class _Flood:
    """All devices, and the messages under way."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.tally = _Tally()
        self.under_way: dict[tuple[int, int], _Message] = {}
        """(device, client_seq) -> the message, until it is displayed, given up or refused for good."""
        self.unsettled = 0
        self.people: list[_Person] = []
        self._lines: list[tuple[_Person, int]] = []
        self._next = 0

    async def connect(self) -> None:
        """Make the conversations and connect all devices. Raises OSError, TimeoutError."""
        crowd, users = self.crowd, self.crowd.users
        pairs = [(a, users[(n + step) % len(users)]) for n, a in enumerate(users) for step in range(1, NEIGHBOURS + 1)]
        convs = crowd.direct(pairs, "flood")
        by_user = {user: _Person(self, user, crowd.urls[user % len(crowd.urls)]) for user in users}
        self.people = list(by_user.values())
        gate = asyncio.Semaphore(CONNECT_AT_ONCE)

        async def connect(person: _Person) -> None:
            async with gate:
                await person.connect(CONNECT_S)

        await asyncio.gather(*(connect(person) for person in self.people))
        self._lines = [(by_user[user], conv) for pair, conv in convs.items() for user in pair]
        random.Random(1).shuffle(self._lines)

    async def run(self, span: Span) -> Told:
        """Send at the rate of the span for its time."""
        tally = self.tally = _Tally()
        start_s = time.monotonic()
        count = round(span.rate_per_s * span.duration_s)
        while (done := tally.counts["wanted"]) < count or time.monotonic() < start_s + span.duration_s:
            now_s = time.monotonic()
            due = min(count, math.floor((now_s - start_s) * span.rate_per_s) + 1)
            for number in range(done, due):
                due_s = start_s + number / span.rate_per_s
                tally.late_s = max(tally.late_s, now_s - due_s)
                self._write(due_s, now_s)
            await asyncio.sleep(STEP_S)
        return tally.told(time.monotonic() - start_s, self.unsettled)

    def _write(self, due_s: float, now_s: float) -> None:
        person, conv = self._lines[self._next]
        self._next = (self._next + 1) % len(self._lines)
        self.tally.counts["wanted"] += 1
        person.write(conv, due_s, now_s)


class _Person(Phone):
    """One device: a connection and the client machine that drives it."""

    def __init__(self, flood: _Flood, user: int, url: str) -> None:
        super().__init__(user, url, flood.crowd.tokens[user], lambda _phone, _frame: None)
        self._flood = flood
        self._wake: asyncio.Handle | None = None
        self._wakes_at_s = math.inf
        self._due_s: dict[int, float] = {}
        self.client = Client(
            user=user, device=user, rng=random.Random(user), settings=ClientSettings(max_outbox=MAX_OUTBOX)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        super().connection_made(transport)
        self.client.connected(time.monotonic())

    def take(self, payload: bytes) -> None:
        """Handle one binary message."""
        now_s = time.monotonic()
        self.client.receive(payload, now_s)
        if payload[0] == f.Type.WELCOME:
            self.welcomed.set()
        self._drain(now_s)

    def write(self, conv: int, due_s: float, now_s: float) -> None:
        """Write a message that is due, unless too many wait."""
        try:
            client_seq = self.client.submit(conv, BODY, now_s)
        except OutboxFull:
            self._flood.tally.counts["withheld"] += 1
            return
        self._flood.unsettled += 1
        self._due_s[client_seq] = due_s
        self._drain(now_s)

    def _on_time(self) -> None:
        now_s = time.monotonic()
        self._wakes_at_s = math.inf
        self.client.tick(now_s)
        self._drain(now_s)

    def _drain(self, now_s: float) -> None:
        for event in self.client.events():
            self._note(event, now_s)
        for data in self.client.frames():
            self.send_bytes(data)
        at_s = self.client.next_wakeup()
        if at_s < self._wakes_at_s:
            if self._wake is not None:
                self._wake.cancel()
            self._wakes_at_s = at_s
            self._wake = asyncio.get_running_loop().call_later(max(0.0, at_s - now_s), self._on_time)

    def _note(self, event: object, now_s: float) -> None:
        flood, counts = self._flood, self._flood.tally.counts
        match event:
            case Sent(_, client_seq):
                flood.under_way[self.device, client_seq] = _Message(self._due_s.pop(client_seq), now_s, refused=False)
            case SentAgain(_, client_seq):
                counts["again"] += 1
                message = flood.under_way.get((self.device, client_seq))
                if message is not None and message.refused:
                    flood.under_way[self.device, client_seq] = message._replace(taken_s=now_s, refused=False)
            case Nacked(_, client_seq, _, definite):
                counts["refused_for_good" if definite else "refused"] += 1
                if definite:
                    self._ended(client_seq)
                elif (message := flood.under_way.get((self.device, client_seq))) is not None:
                    flood.under_way[self.device, client_seq] = message._replace(refused=True)
            case GaveUp(_, client_seq):
                counts["given_up"] += 1
                self._ended(client_seq)
            case Acked(_, client_seq, _):
                flood.unsettled -= 1
                counts["acked"] += 1
                message = flood.under_way.get((self.device, client_seq))
                if message is not None:
                    flood.tally.acks.add_ns(round((now_s - message.taken_s) * 1e9))
            case Show(shown) if shown.device != self.device and not shown.flags:
                counts["shown"] += 1
                message = flood.under_way.pop((shown.device, shown.client_seq), None)
                if message is not None:
                    flood.tally.displays.add_ns(round((now_s - message.taken_s) * 1e9))
                    flood.tally.felt.add_ns(round((now_s - message.due_s) * 1e9))
            case Violation():
                counts["violations"] += 1

    def _ended(self, client_seq: int) -> None:
        self._flood.unsettled -= 1
        self._flood.under_way.pop((self.device, client_seq), None)


async def flood(plan: Plan) -> Measured:
    """Run the crowd: a line of figures for each span that the bench asks for, until it asks for none."""
    crowd = Crowd(plan)
    flooding = _Flood(crowd)
    await flooding.connect()
    line = await answer("ready")
    while line:
        told = await flooding.run(msgspec.json.decode(line, type=Span))
        line = await answer(msgspec.json.encode(told).decode())
    return Measured()


if __name__ == "__main__":
    main({"flood": flood})
