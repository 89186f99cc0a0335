"""Crowds for the benches of two known-bad designs: `python -m load.bench.rush NAME`.

They read a plan as load/bench/crowd.py does.

    pressing  pairs; one half sends its next message as soon as the last one has its number
    cut_off   devices whose gateways are killed, and which reconnect by their backoff
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from load.bench.crowd import Crowd, Measured, Plan, go, main, two_by_two
from load.bench.phone import Phone
from load.history.latency import Histogram
from sut.protocol import frames as f
from sut.protocol.device.events import ClientSettings
from sut.protocol.device.reconnect import Reconnect

CONNECT_S: Final = 5.0
"""Seconds from the first SYN to WELCOME, as long as a device of the swarm waits."""
BUCKET_S: Final = 0.1


async def pressing(plan: Plan) -> Measured:
    """Run the crowd `pressing`: half of the users send, each to one of the other half, for the time of the plan."""
    crowd = Crowd(plan)
    convs = crowd.direct(two_by_two(crowd.users), "press")
    await crowd.connect()
    await asyncio.gather(*(crowd.send(user, conv, 1, 0) for (user, _), conv in convs.items()))
    await go()
    crowd.forget()
    end_s = time.monotonic() + plan.duration_s

    async def press(user: int, conv: int) -> int:
        sent = 0
        while time.monotonic() < end_s:
            await crowd.send(user, conv, sent + 2, time.monotonic_ns())
            sent += 1
        return sent

    sent = sum(await asyncio.gather(*(press(user, conv) for (user, _), conv in convs.items())))
    await crowd.settle(sent)
    return crowd.measured(messages=sent, missing=sent - crowd.shown.count)


class Timed(Phone):
    """A Phone that records when its upgrade was answered with 101."""

    def __init__(self, device: int, url: str, token: str) -> None:
        super().__init__(device, url, token, _no_matter)
        self.upgraded_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Record when the answer to the upgrade (101) arrived."""
        super().data_received(data)
        if self.upgraded and not self.upgraded_s:
            self.upgraded_s = time.monotonic()


class Buckets:
    """Counts events per 0.1 s."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, at_s: float) -> None:
        """Count one event at this time."""
        self._counts[int(at_s / BUCKET_S)] += 1

    @property
    def peak(self) -> int:
        """Events in the busiest 0.1 s."""
        return max(self._counts.values(), default=0)


async def cut_off(plan: Plan) -> Measured:
    """Run the crowd `cut_off`: connect all devices; each reconnects once after its connection has ended."""
    crowd = Crowd(plan)
    settings = ClientSettings()
    dials, handshakes, took = Buckets(), Buckets(), Histogram()
    attempts = 0
    back_s: list[float] = []

    async def connect(user: int) -> Timed | None:
        """Return the phone; None if it got no WELCOME."""
        phone = Timed(user, random.choice(crowd.urls), crowd.tokens[user])
        ways: list[Awaitable[object]] = [phone.connect(CONNECT_S), phone.ended.wait()]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if phone.welcomed.is_set():
            return phone
        phone.close()
        return None

    async def come_back(user: int, phone: Timed) -> None:
        await phone.ended.wait()
        nonlocal attempts
        waits = Reconnect(plan.fixed_s)
        again: Timed | None = None
        while again is None:
            await asyncio.sleep(
                waits.next_wait_s(random.Random(), base_s=settings.reconnect_base_s, cap_s=settings.reconnect_cap_s)
            )
            attempts += 1
            dialled_s = time.monotonic()
            again = await connect(user)
            if again is not None:
                dials.add(dialled_s)
                handshakes.add(again.upgraded_s)
                took.add_ns(round((again.upgraded_s - dialled_s) * 1e9))
                back_s.append(time.monotonic())

    at_first = await _in_turn(crowd, connect)
    await go()
    begun_s = time.monotonic()
    results = await asyncio.gather(
        *(asyncio.wait_for(come_back(user, phone), plan.duration_s) for user, phone in at_first.items()),
        return_exceptions=True,
    )
    back_s.sort()
    return crowd.measured(
        missing=sum(isinstance(result, BaseException) for result in results),
        attempts=attempts,
        dials_peak=dials.peak,
        handshakes_peak=handshakes.peak,
        handshake_p99_ms=took.percentile_ms(99),
        back_from_s=back_s[0] - begun_s if back_s else 0.0,
        caught_up_p50_s=back_s[len(back_s) // 2] - begun_s if back_s else 0.0,
        caught_up_max_s=back_s[-1] - begun_s if back_s else 0.0,
    )


async def _in_turn(crowd: Crowd, connect: Callable[[int], Awaitable[Timed | None]]) -> dict[int, Timed]:
    """Connect all devices, twenty at a time; returns them by user."""
    phones: dict[int, Timed] = {}
    waiting = iter(crowd.users)

    async def work() -> None:
        for user in waiting:
            while user not in phones:
                phone = await connect(user)
                if phone is not None:
                    phones[user] = phone

    await asyncio.gather(*(work() for _ in range(20)))
    return phones


def _no_matter(_phone: Phone, _frame: f.ServerFrame) -> None:
    pass


RUSHES: Final = {"pressing": pressing, "cut_off": cut_off}


if __name__ == "__main__":
    main(RUSHES)
