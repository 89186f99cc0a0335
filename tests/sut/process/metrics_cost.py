"""What metrics cost: `python -m tests.sut.process.metrics_cost`, CPU time of the real code with and without them.

As trace_cost.py, whose works these are: our own code of each process, without sockets, log and store. Traced messages,
one in 16, leave exemplars. Without and with take turns, and the best of several rounds counts. A scrape is measured
besides, on the registry of this process.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from unittest import mock

from prometheus_client.openmetrics.exposition import generate_latest

from sut.process.metrics.instruments import REGISTRY, Hop
from sut.process.trace import Trace
from sut.protocol.frames import Ack, Send, encode
from sut.protocol.peer import Deliver, Deliveries
from tests.sut.process.trace_cost import MESSAGES, Work, appending, applying, cost_us, gateway_of

ROUNDS = 12
EVERY = 16


async def answering(trace: Trace) -> None:
    """The sender's gateway: SENDs of 50 devices, handed on and answered, ten at a time."""
    gateway, connections = gateway_of(trace, devices=50)
    for start in range(0, MESSAGES, 10):
        some = [(connections[number % 50], number) for number in range(start, start + 10)]
        for connection, number in some:
            gateway.forward(connection, Send(9, number, b"x" * 150))
        gateway.on_peer_frame(
            Deliveries(tuple(Deliver((c.number,), encode(Ack(9, number, number))) for c, number in some))
        )


WORK: dict[str, Work] = {"gateway, SEND and ACK": answering, "chat": appending, "sequencer": applying}


async def measure(directory: Path) -> dict[str, tuple[float, float]]:
    """Each work without and with metrics, in us a message."""
    found: dict[str, tuple[float, float]] = {}
    for name, work in WORK.items():
        off, on = [], []
        for turn in range(ROUNDS):
            with mock.patch.multiple(Hop, took=lambda *_: None, took_for=lambda *_: None):
                off.append(await cost_us(work, Trace(directory / f"{name}-{turn}-off.bin", every=EVERY)))
            on.append(await cost_us(work, Trace(directory / f"{name}-{turn}-on.bin", every=EVERY)))
        found[name] = min(off), min(on)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        print(f"CPU in us a message, best of {ROUNDS} rounds")
        total = 0.0
        for name, (off, on) in asyncio.run(measure(Path(directory))).items():
            print(f"  {name:22} without {off:6.2f}  with {on:6.2f}  metrics {on - off:+5.2f} ({on / off - 1:+.1%})")
            total += on - off
        begun = time.process_time_ns()
        size = len(generate_latest(REGISTRY))
        scrape_ms = (time.process_time_ns() - begun) / 1e6
        print(f"all hops of a message {total:+.2f}; one scrape of {size} bytes takes {scrape_ms:.1f} ms")


if __name__ == "__main__":
    main()
