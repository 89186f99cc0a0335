"""Crowds for benches: `python -m load.bench.crowd NAME`.

A crowd reads its plan as a line of JSON and prints "ready" when all devices are connected. It begins at the next line
that it reads, and prints its figures as a line of JSON.

    fanout     one group, all online; one member writes at a fixed rate, all read each message
    talkers    pairs and a group that write continuously while something else happens
    returning  devices that connect all at once and fetch what they missed in many conversations

Latencies count from the planned time of a message until the reader has its body.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import uvloop

from load.bench.phone import Phone
from load.drive.api import ApiClient, parallel
from load.history.latency import Histogram
from sut.protocol import frames as f
from sut.protocol.signals import SignalType

CONNECT_S: Final = 60.0
CONNECT_AT_ONCE: Final = 50
FETCH_LIMIT: Final = 100
IN_FLIGHT: Final = 8
"""FETCHes of one device in flight at once, as of a real one."""
RECV_EVERY_NS: Final = 500_000_000
HEARTBEAT_S: Final = 20.0
RETRY_S: Final = (0.05, 0.25)
LATE_S: Final = 10.0
"""Seconds after the last message in which its readers may still show it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a crowd."""

    api_url: str
    api_key: str
    first_user: int = 1
    users: int = 2
    """fanout: members of the group. talkers: half of them in pairs, half in a group. returning: devices."""
    rate_per_s: float = 5.0
    """Messages per second. fanout: of the writer. talkers: of the group, and of all pairs together."""
    duration_s: float = 20.0
    body: int = 250
    """Bytes: 150 as people write, 100 of envelope."""
    conversations: int = 20
    """returning: conversations of each device."""
    backlog: int = 20
    """returning: messages in each conversation when the devices connect."""
    fixed_s: float = 0.0
    """cut_off (load/bench/rush.py): the wait before each attempt in s, 0: full jitter."""
    period_s: float = 0.0
    """honest and flood (load/bench/hostile.py): seconds of a calm period, and of the flood after it."""
    flood: str = ""
    """flood: what is sent, a name in load.bench.hostile.FLOODS."""


class Measured(msgspec.Struct, kw_only=True):
    """The figures of a crowd."""

    messages: int = 0
    deliveries: int = 0
    missing: int = 0
    """Deliveries that did not come in time."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    ack_p99_ms: float = 0.0
    caught_up_p50_s: float = 0.0
    caught_up_max_s: float = 0.0
    """returning: from the common start until all is read. cut_off: until WELCOME."""
    back_from_s: float = 0.0
    """cut_off: until the first device has its WELCOME."""
    attempts: int = 0
    dials_peak: int = 0
    handshakes_peak: int = 0
    """cut_off: the maximum in 0.1 s; `dials_peak` counts only dials that came to a handshake."""
    calm_ns: list[int] = []
    flood_ns: list[int] = []
    """honest: latencies in ns of the messages that were due in calm, and in flood; rising."""
    sent_bytes: int = 0
    """flood: bytes that the gateway took."""
    handshake_p99_ms: float = 0.0
    """cut_off: from dialling to the gateway's 101."""
    errors: dict[str, int] = {}
    """ERROR frames by code."""
    frames: dict[str, int] = {}
    bytes: dict[str, int] = {}
    """Frames and bytes received, by type of frame, WebSocket headers included."""
    cpu_s: float = 0.0
    """CPU seconds of this process while it measured."""


def two_by_two(users: Sequence[int]) -> zip[tuple[int, int]]:
    """Return the first with the second, the third with the fourth, and so on; `users` is even."""
    return zip(users[::2], users[1::2], strict=True)


class Crowd:
    """The devices of one process; each reads every message that it is notified of."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.api = ApiClient(plan.api_url)
        self.users = range(plan.first_user, plan.first_user + plan.users)
        self.tokens = self.api.tokens(plan.api_key, self.users)
        self.urls = self.api.gateways()
        self.phones: dict[int, Phone] = {}
        self.shown = Histogram()
        self.acks = Histogram()
        self.errors: Counter[int] = Counter()
        self.measuring = False
        self._heads: dict[tuple[int, int], int] = {}
        self._flying: dict[int, dict[int, int]] = {}
        self._lined_up: dict[int, dict[int, None]] = {}
        self._told: dict[tuple[int, int], int] = {}
        self._req = 0
        self._acked: dict[tuple[int, int, int], asyncio.Future[int]] = {}

    async def connect(self) -> None:
        """Connect all devices, CONNECT_AT_ONCE at a time. Raises OSError, TimeoutError."""
        waiting = iter(self.users)

        async def work() -> None:
            for user in waiting:
                await self.connect_one(user)

        await asyncio.gather(*(work() for _ in range(min(CONNECT_AT_ONCE, len(self.users)))))

    async def connect_one(self, user: int) -> Phone:
        """Connect one device. Raises OSError, TimeoutError."""
        phone = Phone(user, self.urls[user % len(self.urls)], self.tokens[user], self.on_frame)
        await phone.connect(CONNECT_S)
        self.phones[user] = phone
        return phone

    def direct(self, pairs: Iterable[tuple[int, int]], key: str) -> dict[tuple[int, int], int]:
        """Make a 1:1 conversation of each pair of users, with this idempotency key. Returns it by its pair."""
        pairs = list(pairs)
        convs = parallel(
            lambda pair: self.api.create(self.tokens[pair[0]], kind="direct", members=list(pair), key=key),
            pairs,
            at_once=8,
        )
        return dict(zip(pairs, convs, strict=True))

    async def beat(self) -> None:
        """Send heartbeats, spread over their interval, without end."""
        while True:
            for user in list(self.phones):
                self.phones[user].send(f.Heartbeat())
                await asyncio.sleep(HEARTBEAT_S / len(self.phones))

    def on_frame(self, phone: Phone, frame: f.ServerFrame) -> None:
        """Handle a frame: fetch, count displays, resolve acks, retry after errors."""
        match frame:
            case f.Notify(entries):
                for conv, seq, _ in entries:
                    self.reached(phone, conv, seq)
            case f.Page():
                self._page(phone, frame)
            case f.Message():
                self._show(phone, frame)
                phone.cursors[frame.conv] = max(frame.seq, phone.cursors.get(frame.conv, 0))
            case f.Ack(conv, client_seq, seq):
                future = self._acked.pop((phone.device, conv, client_seq), None)
                if future is not None and not future.done():
                    future.set_result(seq)
            case f.Error(req, code):
                self.errors[code] += 1
                conv = self._flying[phone.device].pop(req, 0)
                if conv:
                    asyncio.get_running_loop().call_later(random.uniform(*RETRY_S), self._line_up, phone, conv)
            case _:
                pass

    def reached(self, phone: Phone, conv: int, seq: int) -> None:
        """Note that the device was told of this number, and fetch it if it is new."""
        key = phone.device, conv
        if seq > max(phone.cursors.get(conv, 0), self._heads.get(key, 0)):
            self._heads[key] = seq
            self._line_up(phone, conv)

    def behind(self, user: int) -> bool:
        """Return True if the device has something to fetch."""
        return bool(self._flying.get(user) or self._lined_up.get(user))

    def _line_up(self, phone: Phone, conv: int) -> None:
        line, flying = self._lined_up.setdefault(phone.device, {}), self._flying.setdefault(phone.device, {})
        if conv not in flying.values() and self._heads.get((phone.device, conv), 0) > phone.cursors.get(conv, 0):
            line[conv] = None
        while line and len(flying) < IN_FLIGHT:
            conv = next(iter(line))
            del line[conv]
            self._req += 1
            flying[self._req] = conv
            phone.send(f.Fetch(self._req, conv, phone.cursors.get(conv, 0), FETCH_LIMIT))

    def _page(self, phone: Phone, page: f.Page) -> None:
        self._flying.setdefault(phone.device, {}).pop(page.req, None)
        cursor = phone.cursors.get(page.conv, 0)
        for message in page.messages:
            if message.seq > cursor:
                self._show(phone, message)
        phone.cursors[page.conv] = max(cursor, page.through)
        key = phone.device, page.conv
        self._heads[key] = max(self._heads.get(key, 0), page.head)
        self._line_up(phone, page.conv)
        now_ns = time.monotonic_ns()
        if now_ns - self._told.get(key, 0) > RECV_EVERY_NS:
            self._told[key] = now_ns
            phone.send(f.Recv(page.conv, phone.cursors[page.conv]))

    def _show(self, phone: Phone, message: f.Message) -> None:
        if self.measuring and not message.flags and message.device != phone.device:
            due_ns = int.from_bytes(message.body[:8], "big")
            if due_ns:
                self.shown.add_ns(time.monotonic_ns() - due_ns)

    async def send(self, user: int, conv: int, client_seq: int, due_ns: int) -> int:
        """Send a message and wait for its number. Raises TimeoutError after LATE_S."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._acked[user, conv, client_seq] = future
        body = due_ns.to_bytes(8, "big") + bytes(self.plan.body - 8)
        self.phones[user].send(f.Send(conv, client_seq, body))
        async with asyncio.timeout(LATE_S):
            seq = await future
        if due_ns:
            self.acks.add_ns(time.monotonic_ns() - due_ns)
        cursor = self.phones[user].cursors
        cursor[conv] = max(cursor.get(conv, 0), seq)
        return seq

    async def talk(self, user: int, conv: int, rate_per_s: float, *, offset: float = 0.0, first: int = 1) -> int:
        """Send messages at their planned times; returns how many were sent."""
        start_ns = time.monotonic_ns() + round(offset / rate_per_s * 1e9)
        count = max(1, round(rate_per_s * self.plan.duration_s))
        for number in range(count):
            due_ns = start_ns + round(number / rate_per_s * 1e9)
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            await self.send(user, conv, first + number, due_ns)
        return count

    async def settle(self, deliveries: int) -> None:
        """Wait for `deliveries` displays or until LATE_S has passed."""
        deadline = time.monotonic() + LATE_S
        while self.shown.count < deliveries and time.monotonic() < deadline:  # noqa: ASYNC110 (plain counters)
            await asyncio.sleep(0.02)

    def measured(self, **more: float) -> Measured:
        """Return the figures so far, with `more` fields."""
        frames: Counter[int] = Counter()
        sizes: Counter[int] = Counter()
        for phone in self.phones.values():
            frames += phone.frames
            sizes += phone.bytes
        told = {
            "deliveries": self.shown.count,
            "p50_ms": self.shown.percentile_ms(50),
            "p99_ms": self.shown.percentile_ms(99),
            "max_ms": self.shown.percentile_ms(100),
            "ack_p99_ms": self.acks.percentile_ms(99),
            "errors": {str(code): count for code, count in self.errors.items()},
            "frames": {_NAMES[kind]: count for kind, count in frames.items()},
            "bytes": {_NAMES[kind]: count for kind, count in sizes.items()},
        }
        return msgspec.convert(told | more, Measured)

    def forget(self) -> None:
        """Reset the counters and start to measure."""
        for phone in self.phones.values():
            phone.frames.clear()
            phone.bytes.clear()
        self.measuring = True


async def fanout(plan: Plan) -> Measured:
    """Run the crowd `fanout`: one member writes, all members read."""
    crowd = Crowd(plan)
    writer = crowd.users[0]
    key = f"fanout {plan.users}"
    conv = crowd.api.create(crowd.tokens[writer], kind="group", members=list(crowd.users), key=key)
    await crowd.connect()
    beating = asyncio.create_task(crowd.beat())
    await crowd.send(writer, conv, 1, 0)
    await asyncio.sleep(0.5)
    await go()
    crowd.forget()
    cpu_s = _cpu_s()
    sent = await crowd.talk(writer, conv, plan.rate_per_s, first=2)
    await crowd.settle(sent * (plan.users - 1))
    beating.cancel()
    return crowd.measured(messages=sent, missing=sent * (plan.users - 1) - crowd.shown.count, cpu_s=_cpu_s() - cpu_s)


async def talkers(plan: Plan) -> Measured:
    """Run the crowd `talkers`: half of the users in pairs, half in one group, for the time of the plan."""
    crowd = Crowd(plan)
    half = plan.users // 2
    paired, grouped = crowd.users[: half // 2 * 2], crowd.users[half // 2 * 2 :]
    convs = crowd.direct(two_by_two(paired), "talk")
    group = crowd.api.create(crowd.tokens[grouped[0]], kind="group", members=list(grouped), key="talk")
    await crowd.connect()
    beating = asyncio.create_task(crowd.beat())
    await go()
    crowd.forget()
    cpu_s = _cpu_s()
    rate = plan.rate_per_s / len(convs)
    talks = [
        crowd.talk(one, conv, rate, offset=number / len(convs)) for number, ((one, _), conv) in enumerate(convs.items())
    ]
    *in_pairs, in_group = await asyncio.gather(*talks, crowd.talk(grouped[0], group, plan.rate_per_s))
    expected = sum(in_pairs) + in_group * (len(grouped) - 1)
    await crowd.settle(expected)
    beating.cancel()
    return crowd.measured(
        messages=sum(in_pairs) + in_group, missing=expected - crowd.shown.count, cpu_s=_cpu_s() - cpu_s
    )


async def returning(plan: Plan) -> Measured:
    """Run the crowd `returning`: all devices connect at once, SYNC, and fetch what they missed."""
    crowd = Crowd(plan)
    convs = await _backlog(crowd)
    wanted = {user: {conv for conv, members in convs.items() if user in members} for user in crowd.users}
    await asyncio.sleep(4.0)  # until the store has written everything
    await go()
    cpu_s, start_s = _cpu_s(), time.monotonic()
    took: list[float] = []

    async def come_back(user: int) -> None:
        phone = Phone(user, crowd.urls[user % len(crowd.urls)], crowd.tokens[user], on_frame)
        await phone.connect(CONNECT_S)
        crowd.phones[user] = phone
        phone.send(f.Sync(0, 0, ()))
        while not all(phone.cursors.get(conv, 0) >= plan.backlog for conv in wanted[user]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        took.append(time.monotonic() - start_s)

    def on_frame(phone: Phone, frame: f.ServerFrame) -> None:
        if isinstance(frame, f.Synced):
            for conv, seq, _ in frame.entries:
                crowd.reached(phone, conv, seq)
        elif isinstance(frame, f.Error) and frame.req == 0:
            crowd.errors[frame.code] += 1
            asyncio.get_running_loop().call_later(random.uniform(*RETRY_S), phone.send, f.Sync(0, 0, ()))
        else:
            crowd.on_frame(phone, frame)

    results = await asyncio.gather(
        *(asyncio.wait_for(come_back(user), plan.duration_s) for user in crowd.users), return_exceptions=True
    )
    took.sort()
    return crowd.measured(
        missing=sum(isinstance(result, BaseException) for result in results),
        caught_up_p50_s=took[len(took) // 2] if took else 0.0,
        caught_up_max_s=took[-1] if took else 0.0,
        cpu_s=_cpu_s() - cpu_s,
    )


async def _backlog(crowd: Crowd) -> dict[int, range]:
    """Return the members of each conversation.

    Each user is in as many groups as planned, with messages in each that only their writer has read.
    """
    plan = crowd.plan
    size = min(50, plan.users)
    blocks = [crowd.users[start : start + size] for start in range(0, plan.users, size)]
    groups = [(block, number) for block in blocks for number in range(plan.conversations)]
    made = parallel(
        lambda group: crowd.api.create(
            crowd.tokens[group[0][0]], kind="group", members=list(group[0]), key=f"missed {group[1]}"
        ),
        groups,
        at_once=8,
    )
    convs = {conv: block for conv, (block, _) in zip(made, groups, strict=True)}
    for block in blocks:
        await crowd.connect_one(block[0])
    for number in range(plan.backlog):
        await asyncio.gather(*(crowd.send(block[0], conv, 1 + number, 0) for conv, block in convs.items()))
    for phone in crowd.phones.values():
        phone.close()
    crowd.phones.clear()
    return convs


async def go() -> None:
    """Print "ready", then wait for a line from the bench."""
    await answer("ready")


async def answer(line: str) -> str:
    """Print this line for the bench, and return the next line from it; empty at its end."""
    print(line, flush=True)  # noqa: T201
    heard: str = await asyncio.to_thread(sys.stdin.readline)
    return heard.strip()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


_NAMES: Final = {int(one): one.name for one in (*f.Type, *SignalType)}
CROWDS: Final = {"fanout": fanout, "talkers": talkers, "returning": returning}


def main(crowds: Mapping[str, Callable[[Plan], Coroutine[Any, Any, Measured]]]) -> None:
    """Read a plan from standard input, run the crowd named on the command line and print its figures."""
    plan = msgspec.json.decode(sys.stdin.readline().encode(), type=Plan)
    measured = uvloop.run(crowds[sys.argv[1]](plan))
    print(msgspec.json.encode(measured).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(CROWDS)
