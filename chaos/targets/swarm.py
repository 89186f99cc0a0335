"""The swarm of a run against another system: devices that stay connected, and sends that were planned in advance."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from chaos.targets.record import Record, text_of
from chaos.targets.target import Place, Refused, Target
from load.history.writer import now_ns

CONNECT_S: Final = 10.0
"""Seconds for one attempt to connect and take up what was missed."""
ANSWER_S: Final = 10.0
"""Seconds after which a device gives up an answer. The fate of the message is then open."""
BACKOFF_S: Final = (0.2, 4.0)
"""Full jitter: the first and the last upper bound of the wait before the next attempt."""
READ_TRIES: Final = 5


class Device:
    """One simulated person's device: it stays connected until it is cancelled, and records what it sees."""

    def __init__(self, target: Target, record: Record, rng: random.Random) -> None:
        self.target = target
        self._record = record
        self._rng = rng
        self.up = asyncio.Event()
        self._turns = {room: asyncio.Lock() for room in target.rooms}
        self.failures: list[str] = []

    async def live(self) -> None:
        """Connect, hear, and connect again after each loss."""
        known, attempt = False, 0
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await (self.target.reconnect() if known else self.target.connect())
            except Exception as error:  # noqa: BLE001 (an adapter may raise anything; it counts as no connection)
                self.failures.append(f"{type(error).__name__}: {error}")
                attempt += 1
                await asyncio.sleep(self._rng.uniform(0, min(BACKOFF_S[1], BACKOFF_S[0] * 2**attempt)))
                continue
            known, attempt = True, 0
            self._record.event("online", device=self.target.user)
            self.up.set()
            try:
                async for message in self.target.events():
                    self._record.arrived(self.target.user, message)
            except Exception as error:  # noqa: BLE001
                self.failures.append(f"{type(error).__name__}: {error}")
            finally:
                self.up.clear()
                self._record.event("offline", device=self.target.user, planned=False)

    async def send(self, room: str, msg: int, due_ns: int) -> None:
        """Send one message once the device is connected and its last one in this room has an answer, or none."""
        async with self._turns[room]:
            await self.up.wait()
            self._record.sent(self.target.user, room, msg, due_ns)
            try:
                async with asyncio.timeout(ANSWER_S):
                    number = await self.target.send(room, text_of(msg))
            except Refused:
                self._record.event("nack", device=self.target.user, conv=room, msg=msg, definite=True)
            except Exception as error:  # noqa: BLE001 (nobody knows what became of it, and the history says no more)
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self._record.acknowledged(self.target.user, room, msg, number)


class Swarm:
    """All devices of one run."""

    def __init__(
        self, target: type[Target], place: Place, members: Mapping[str, Sequence[str]], record: Record, *, seed: int
    ) -> None:
        self._members = members
        self._rng = random.Random(seed)
        self._record = record
        self._target = target
        self._place = place
        self.devices = {
            user: Device(self._made(user), record, random.Random(f"{seed} {user}"))
            for user in dict.fromkeys(user for users in members.values() for user in users)
        }
        self._living: list[asyncio.Task[None]] = []

    def _made(self, user: str) -> Target:
        return self._target(self._place, user, [room for room, users in self._members.items() if user in users])

    async def connect(self, timeout_s: float) -> None:
        """Connect all devices. Raises TimeoutError with the last failure."""
        self._living = [asyncio.create_task(device.live()) for device in self.devices.values()]
        try:
            async with asyncio.timeout(timeout_s):
                for device in self.devices.values():
                    await device.up.wait()
        except TimeoutError:
            why = next((one.failures[-1] for one in self.devices.values() if one.failures), "no failure was seen")
            raise TimeoutError(f"not all devices could connect in {timeout_s:g} s: {why}") from None

    async def talk(self, *, rate_per_s: float, duration_s: float, t0_ns: int, over: Callable[[], bool]) -> None:
        """Make the planned sends, each at its time; returns when each has an answer or is given up."""
        sends = []
        for msg in range(1, round(rate_per_s * duration_s) + 1):
            room = self._rng.choice(list(self._members))
            device = self.devices[self._rng.choice(self._members[room])]
            due_ns = t0_ns + round((msg - 1) / rate_per_s * 1e9)
            await asyncio.sleep(max(0.0, (due_ns - now_ns()) / 1e9))
            if over():
                break
            sends.append(asyncio.create_task(device.send(room, msg, due_ns)))
        await asyncio.wait(sends, timeout=2 * ANSWER_S)
        for send in sends:
            send.cancel()
        await asyncio.gather(*sends, return_exceptions=True)

    async def read_back(self) -> list[str]:
        """End all connections, and read every room back on a fresh one. Returns what could not be read."""
        for task in self._living:
            task.cancel()
        await asyncio.gather(*self._living, return_exceptions=True)
        for device in self.devices.values():
            with contextlib.suppress(Exception):
                await device.target.close()
        failed = []
        for user in self.devices:
            reader = self._made(user)
            for room in reader.rooms:
                for _try in range(READ_TRIES):
                    try:
                        async with asyncio.timeout(3 * CONNECT_S):
                            await reader.connect()
                            messages = await reader.history(room)
                    except Exception as error:  # noqa: BLE001
                        why = f"{type(error).__name__}: {error}"
                        await asyncio.sleep(1)
                    else:
                        self._record.read_back(user, room, messages)
                        break
                else:
                    failed.append(f"{user} could not read {room}: {why}")
            with contextlib.suppress(Exception):
                await reader.close()
        return failed
