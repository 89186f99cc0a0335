"""What tracing costs: `python -m tests.sut.process.trace_cost`, CPU time of the real code of each process with
tracing off and on.

The gateway is driven through Connection and Gateway without sockets (a transport that forgets what is written), the
chat service's acceptor on a log that forgets, the sequencer's worker through the rule to the emitter's queue. So a
figure is CPU of our own code a message; what the kernel, the log and the store cost comes on top, and makes the
difference a smaller share. Off and on take turns, and the best of several rounds counts: other work on the machine
only ever makes a round slower.
"""

import asyncio
import functools
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sut.deploy.topology import Topology
from sut.gateway.connection import Connection
from sut.gateway.gateway import Gateway
from sut.ports import Kind, Logged, LogRecord
from sut.process.trace import OFF, Hop, Trace
from sut.protocol.frames import Entry, Message, Notify, Send, encode
from sut.protocol.peer import Deliver, Deliveries, PeerFrame
from sut.services.chat.accept import Acceptor, Pending
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.worker import PartitionWorker
from tests.sut.gateway.world import MemoryRegistry, topology

MESSAGES = 4_000
ROUNDS = 12
Work = Callable[[Trace], Awaitable[None]]


class Forgetting:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class Swallowing:
    """A link to a chat service that is up."""

    up = True
    ups = 1

    def send(self, frame: PeerFrame) -> bool:
        return True


@functools.cache
def made_once() -> Topology:
    """A topology; its files are of no interest."""
    with tempfile.TemporaryDirectory() as directory:
        return topology(Path(directory))


def gateway_of(trace: Trace, *, devices: int) -> tuple[Gateway, list[Connection]]:
    """A gateway with open connections, of which none has a socket."""
    made = made_once()
    gateway = Gateway(
        made, made.service("gateway-1"), incarnation=1, registry=MemoryRegistry(), max_sockets=1000, trace=trace
    )
    gateway._chats = [Swallowing() for _ in gateway._chats]  # type: ignore[misc]
    connections = []
    for device in range(1, devices + 1):
        connection = Connection(gateway)
        connection.user = connection.device = device
        connection._transport = Forgetting()  # type: ignore[assignment]
        connection._state, connection.welcomed, connection.routed = 1, True, True
        gateway._last_number += 1
        connection.number = gateway._last_number
        gateway.connections[connection.number] = connection
        connections.append(connection)
    return gateway, connections


class NowhereLog:
    """Appends at once."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        return []


class NobodyToTell:
    """An emitter that takes everything."""

    async def notify(self, notification: Notification) -> None: ...


def message(number: int, conv: int = 9) -> LogRecord:
    return LogRecord(Kind.MESSAGE, conv, 1, 1 + number % 50, number, b"x" * 150, (), None)


async def taking(trace: Trace) -> None:
    """The sender's gateway: SENDs of 50 devices, handed on."""
    gateway, connections = gateway_of(trace, devices=50)
    for number in range(MESSAGES):
        gateway.forward(connections[number % 50], Send(9, number, b"x" * 150))


def delivering(*, group: bool, members: int) -> Work:
    """A recipients' gateway: one Deliver a message, ten in a batch."""

    async def work(trace: Trace) -> None:
        gateway, connections = gateway_of(trace, devices=members)
        numbers = tuple(connection.number for connection in connections)
        for start in range(0, MESSAGES, 10):
            items = tuple(
                Deliver(
                    numbers,
                    encode(Notify((Entry(9, n, 0),)) if group else Message(9, n, 0, 1, 1 + n % 50, n, b"x" * 150)),
                )
                for n in range(start, start + 10)
            )
            gateway.on_peer_frame(Deliveries(items))

    return work


async def appending(trace: Trace) -> None:
    """The chat service: the stamp that it has a message, the queue, an append of ten."""
    acceptor = Acceptor(0, NowhereLog(), Swallowing(), trace=trace)  # type: ignore[arg-type]
    running = asyncio.create_task(acceptor.run())
    for number in range(MESSAGES):
        record = message(number)
        trace.message(Hop.TAKEN, record.device, record.client_seq)
        acceptor.offer(Pending(record, lambda _code: None))
        if number % 10 == 9:
            await asyncio.sleep(0)
    while acceptor.appended < MESSAGES:  # noqa: ASYNC110
        await asyncio.sleep(0)
    running.cancel()


async def applying(trace: Trace) -> None:
    """The sequencer: rule, row, answer, notification, ten records at a time."""
    worker = PartitionWorker(
        0, message_log=None, store=None, emitter=NobodyToTell(), group_cap=500, trace=trace  # type: ignore[arg-type]
    )  # fmt: skip
    members = tuple(range(1, 6))
    state, _ = rule.apply(None, 1, LogRecord(Kind.CREATE, 9, 1, 0, 0, b"g", members, None), group_cap=500)
    assert state is not None
    worker._live[9] = Live(state)
    for start in range(0, MESSAGES, 10):
        await worker._apply([Logged(start + place + 2, message(start + place + 1)) for place in range(10)])


WORK: dict[str, Work] = {
    "gateway, SEND taken": taking,
    "gateway, NOTIFY to 1": delivering(group=True, members=1),
    "gateway, NOTIFY to 20": delivering(group=True, members=20),
    "gateway, MESSAGE to 1": delivering(group=False, members=1),
    "chat": appending,
    "sequencer": applying,
}


async def cost_us(work: Work, trace: Trace) -> float:
    """CPU of this process, writing thread included, in microseconds a message."""
    begun = time.process_time_ns()
    await work(trace)
    await trace.close()
    return (time.process_time_ns() - begun) / 1000 / MESSAGES


async def measure(directory: Path, every: int) -> dict[str, tuple[float, float]]:
    """Each work without and with tracing."""
    found: dict[str, tuple[float, float]] = {}
    for name, work in WORK.items():
        off, on = [], []
        for turn in range(ROUNDS):
            off.append(await cost_us(work, OFF))
            trace = Trace(directory / f"{name}-{turn}.bin", every=every)
            on.append(await cost_us(work, trace))
        found[name] = min(off), min(on)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for every in (16, 1):
            print(f"one message in {every} traced; CPU in us a message, best of {ROUNDS} rounds")
            for name, (off, on) in asyncio.run(measure(Path(directory), every)).items():
                print(f"  {name:22} off {off:6.2f}  on {on:6.2f}  tracing {on - off:+5.2f} ({on / off - 1:+.1%})")


if __name__ == "__main__":
    main()
