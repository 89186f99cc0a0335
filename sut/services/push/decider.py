"""Who gets a push: devices with a push token that are not connected, a moment after the message.

The moment lets a device that is just reconnecting, or whose route is just being written anew after a failover of the
registry, be found; then one registry round trip serves all that is due. While the registry does not answer, or has
just lost its newest entries, the decision waits as long as the bound on pushes allows. After that it is taken on the
last known routes, and taken again when the registry is back: somebody who left meanwhile still gets the push.

A device that was connected when last looked at, and is not now, is in doubt: what it has shown needs no push.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from sut.ports import MessageStore, Provider, RegisteredDevice, Registry, Route, Unavailable
from sut.services.push.directory import Directory
from sut.services.push.floor import Floor
from sut.services.push.lane import Lane
from sut.services.push.reader import Reached

GRACE_S: Final = 1.0
"""From the record to the decision."""
PATIENCE_S: Final = 3.5
"""From the record to a decision without the registry: with the push itself, and a second to spare, below 5 s."""
SETTLE_S: Final = 2.0
"""After a failover gateways write their routes again: until then a missing route says nothing."""
RETRY_S: Final = 0.1
MAX_UNDECIDED: Final = 5_000
"""Records that wait for their decision; beyond it the log waits."""
MAX_BATCH: Final = 200
"""Records decided together."""
MAX_PENDING: Final = 100_000
"""Pushes that wait for providers, some 500 bytes each; beyond it nothing is decided, and so the log waits."""
MAX_KNOWN: Final = 200_000
"""Users whose last known routes are remembered."""
CURSORS_AT_ONCE: Final = 16

T = TypeVar("T")
log = logging.getLogger("push")


class Generations(Protocol):
    """What tells that the registry may have forgotten something (RedisRegistry)."""

    @property
    def generation(self) -> int:
        """Rises with each connection to a master after a failure or a failover."""


class Decider:
    """Takes what was reached, and gives the lanes what is to be pushed."""

    def __init__(
        self,
        *,
        registry: Registry,
        generations: Generations,
        directory: Directory,
        store: MessageStore,
        floors: Mapping[int, Floor],
        lanes: Mapping[Provider, Lane],
        on_pending: Callable[[], None],
    ) -> None:
        """`on_pending` is called when lanes have something new."""
        self._registry = registry
        self._generations = generations
        self._directory = directory
        self._store = store
        self._floors = floors
        self._lanes = lanes
        self._on_pending = on_pending
        self._queue: asyncio.Queue[Reached] = asyncio.Queue(MAX_UNDECIDED)
        self._ahead: Reached | None = None
        self._blind: deque[Reached] = deque()
        self._known: OrderedDict[int, tuple[Route, ...]] = OrderedDict()
        self._generation = 0
        self._unsettled_until_s = 0.0
        self.decided = 0
        self.online = 0
        """Devices with a push token that were connected when a message of theirs was decided upon."""

    @property
    def undecided(self) -> int:
        """Records that wait for their decision."""
        return self._queue.qsize() + (self._ahead is not None) + len(self._blind)

    async def put(self, reached: Reached) -> None:
        """Take one over, with its hold on the floor; waits while too many wait."""
        await self._queue.put(reached)

    async def run(self) -> None:
        """Decide, for ever."""
        while True:
            batch = await self._due()
            while sum(map(len, self._lanes.values())) >= MAX_PENDING or len(self._blind) >= MAX_UNDECIDED:
                await asyncio.sleep(RETRY_S)
                await self._decide_again()
            await self._decide(batch)
            await self._decide_again()

    async def _due(self) -> list[Reached]:
        """What is due now, at least one; waits for it, but not while something is to be decided again."""
        while True:
            if self._ahead is None:
                try:
                    async with asyncio.timeout(GRACE_S):
                        self._ahead = await self._queue.get()
                except TimeoutError:
                    await self._decide_again()
                    continue
            await asyncio.sleep(max(0.0, self._ahead.at_s + GRACE_S - time.monotonic()))
            break
        batch = [self._ahead]
        self._ahead = None
        while len(batch) < MAX_BATCH and not self._queue.empty():
            following = self._queue.get_nowait()
            if following.at_s + GRACE_S > time.monotonic():
                self._ahead = following
                break
            batch.append(following)
        return batch

    async def _decide(self, batch: list[Reached]) -> None:
        users = {user for reached in batch for user in reached.users}
        devices = await self._until_available(lambda: self._directory.devices_of(users))
        owners = [user for user, of_user in devices.items() if any(device.push for device in of_user)]
        routes, sure = await self._routes(owners, deadline_s=batch[0].at_s + PATIENCE_S)
        away, doubtful = self._away(batch, devices, routes, sure=sure)
        shown = await self._shown(doubtful)
        for reached, device in away:
            lane = self._lanes.get(device.push.provider) if device.push is not None else None
            if lane is not None and reached.seq > shown.get(device.device, {}).get(reached.conv, 0):
                lane.add(device, reached.conv, reached.seq, reached.hold)
        for reached in batch:
            if sure:
                self._floors[reached.hold.partition].release(reached.hold.offset)
            else:
                self._blind.append(reached)
        self.decided += len(batch)
        self._on_pending()

    async def _decide_again(self) -> None:
        """What was decided without the registry, once it is back and has settled."""
        if not self._blind:
            return
        try:
            await self._registry.routes([])
            await self._registry.gateways()
        except Unavailable:
            return
        if self._settled():
            batch = [self._blind.popleft() for _ in range(min(MAX_BATCH, len(self._blind)))]
            await self._decide(batch)

    def _away(
        self,
        batch: Iterable[Reached],
        devices: Mapping[int, tuple[RegisteredDevice, ...]],
        routes: Mapping[int, tuple[Route, ...]],
        *,
        sure: bool,
    ) -> tuple[list[tuple[Reached, RegisteredDevice]], set[int]]:
        """Whom to push to, and which of these devices were connected the last time, or may be now."""
        away: list[tuple[Reached, RegisteredDevice]] = []
        doubtful: set[int] = set()
        connected = {user: {route.device for route in of_user} for user, of_user in routes.items()}
        for reached in batch:
            for user in reached.users:
                for device in devices[user]:
                    if device.push is None or device.device == reached.except_device:
                        continue
                    if self.is_online(device, connected.get(user, set())):
                        self.online += 1
                        continue
                    away.append((reached, device))
                    if not sure or any(route.device == device.device for route in self._known.get(user, ())):
                        doubtful.add(device.device)
        for user, of_user in routes.items():
            self._remember(user, of_user)
        return away, doubtful

    def is_online(self, device: RegisteredDevice, connected: set[int]) -> bool:
        """Whether the device is among its user's connected ones. A known-bad variant overrides this."""
        return device.device in connected

    def _remember(self, user: int, routes: tuple[Route, ...]) -> None:
        if routes:
            self._known[user] = routes
            self._known.move_to_end(user)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        else:
            self._known.pop(user, None)

    async def _routes(self, users: list[int], *, deadline_s: float) -> tuple[dict[int, tuple[Route, ...]], bool]:
        """Routes of all these users, and whether they are to be trusted."""
        while True:
            late = time.monotonic() >= deadline_s
            try:
                found = await self._registry.routes(users)
            except Unavailable as error:
                if late:
                    log.warning("decides on last known routes: %s", error)
                    return {user: self._known.get(user, ()) for user in users}, False
            else:
                if self._settled():
                    return {user: tuple(found.get(user, ())) for user in users}, True
                if late:
                    return {user: tuple(found.get(user, ())) or self._known.get(user, ()) for user in users}, False
            await asyncio.sleep(RETRY_S)

    def _settled(self) -> bool:
        """Whether the registry has had time to be whole again since it last may have forgotten something."""
        now_s, generation = time.monotonic(), self._generations.generation
        if generation != self._generation:
            if self._generation:  # the first connection of this process is no failover
                self._unsettled_until_s = now_s + SETTLE_S
            self._generation = generation
        return now_s >= self._unsettled_until_s

    async def _shown(self, devices: set[int]) -> dict[int, dict[int, int]]:
        """device -> conversation -> number shown; a device whose cursors cannot be had is left out."""
        shown: dict[int, dict[int, int]] = {}
        left = iter(devices)

        async def ask() -> None:
            for device in left:
                try:
                    shown[device] = await self._store.cursors(device)
                except Unavailable:
                    return

        await asyncio.gather(*(ask() for _ in range(min(CURSORS_AT_ONCE, len(devices)))))
        return shown

    async def _until_available(self, action: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await action()
            except Unavailable as error:
                log.warning("the devices wait: %s", error)
                await asyncio.sleep(RETRY_S)
