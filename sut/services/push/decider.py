"""Decides who gets a push: devices with a push token that are not connected, shortly after the message.

The delay (GRACE_S) lets a reconnecting device register. Then one registry round trip serves all records that are due.
The gateways themselves are asked where the registry may be wrong. All gateways are asked while the registry does not
answer or has just failed over. Gateways that cannot reach it are always asked. The last known gateway is asked about a
device whose route or lease has ended while the gateway may still be there.

If a silent gateway leaves the answer unknown, its last known devices get no push for now. They are decided again until
the answer is known: such a push is late, not lost. A connected device is watched for some more seconds. If its gateway
reports that it answers nothing, it gets its push after all (watch.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from sut.ports import Provider, RegisteredDevice, Registry, Route, Unavailable
from sut.services.push.directory import Directory
from sut.services.push.floor import Floor
from sut.services.push.gateways import Gateways, Life
from sut.services.push.lane import Lane
from sut.services.push.reader import Reached
from sut.services.push.watch import Watch
from sut.services.waiting import until_available, until_tick

GRACE_S: Final = 1.0
"""Seconds from the applied record to the decision. Records from before the start of this process do not wait."""
JOIN_S: Final = 0.05
"""Seconds that a decision waits for those that are due soon: one look at the registry and the directory serves all."""
OPEN_S: Final = 15.0
"""Seconds that a decision may stay open. A lease of the registry lives 6 s; after OPEN_S the registry decides."""
SETTLE_S: Final = 3.0
"""Seconds after a failover in which gateways write their routes again. Until then a missing route proves nothing."""
LOOK_AGAIN_S: Final = 0.1
"""Seconds between two checks for silent devices."""
AGAIN_S: Final = 0.5
"""Seconds between two decisions about the same record."""
RETRY_S: Final = 0.1
START_S: Final = 1.0
"""Seconds that a new process waits for its links to the gateways."""
MAX_UNDECIDED: Final = 5_000
"""The number of records that wait for their decision. Beyond it the log waits."""
MAX_BATCH: Final = 200
"""The number of records that are decided together."""
MAX_BATCH_USERS: Final = 5_000
"""The number of members of these records, counted once per record. The registry's answer takes about 20 ms."""
MAX_PENDING: Final = 100_000
"""The number of pushes that wait for providers, about 500 bytes each.

Beyond it nothing is decided, and the log waits.
"""
MAX_KNOWN: Final = 200_000
"""The number of devices whose last known gateway is remembered."""


class Generations(Protocol):
    """Tells when the registry may have forgotten entries (RedisRegistry)."""

    @property
    def generation(self) -> int:
        """Rises with each connection to a master after a failure or a failover."""


class Look(NamedTuple):
    """The connected devices, as far as they can be known."""

    online: set[int]
    unknown: set[int]
    """Devices that may be connected or not."""
    leased: set[int]
    """The unknown devices that have a live route in the registry."""


class Decider:
    """Takes reached records, and gives the pushes to the lanes."""

    def __init__(
        self,
        *,
        registry: Registry,
        generations: Generations,
        gateways: Gateways,
        directory: Directory,
        floors: Mapping[int, Floor],
        lanes: Mapping[Provider, Lane],
        on_pending: Callable[[], None],
    ) -> None:
        """`on_pending` is called after a lane may have got new pushes."""
        self._registry = registry
        self._generations = generations
        self._gateways = gateways
        self._directory = directory
        self._floors = floors
        self._lanes = lanes
        self._on_pending = on_pending
        self._queue: asyncio.Queue[Reached] = asyncio.Queue(MAX_UNDECIDED)
        self._ahead: Reached | None = None
        self._open: deque[Reached] = deque()
        self._open_again_s = 0.0
        self._known: OrderedDict[int, str] = OrderedDict()
        self._watch = Watch(lambda reached: floors[reached.hold.partition].release(reached.hold.offset))
        self._generation = 0
        self._unsettled_until_s = 0.0
        self.decided = 0
        self.online = 0
        """The number of devices with a push token that were connected when a message for them was decided."""
        self.silent = 0
        """The number of pushes to devices that were connected and answered nothing."""
        self.asked = 0
        """The number of decisions that needed an answer from gateways."""

    @property
    def undecided(self) -> int:
        """The number of records that wait for their decision."""
        return self._queue.qsize() + (self._ahead is not None) + len(self._open)

    async def put(self, reached: Reached) -> None:
        """Take over a record with its hold on the floor; wait while too many are undecided."""
        await self._queue.put(reached)

    async def run(self) -> None:
        """Decide the records, for ever."""
        began_s = time.monotonic()
        # No event exists for this: links come and go.
        while not self._gateways.all_linked and time.monotonic() < began_s + START_S:  # noqa: ASYNC110
            await asyncio.sleep(RETRY_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_after())
            group.create_task(self._decide_on())

    async def _look_after(self) -> None:
        """Push to devices that were connected and answer nothing, for ever."""
        while True:
            await until_tick(LOOK_AGAIN_S)
            missed = self._watch.missed(self._gateways.silent())
            if missed:
                look = await self._look([device for _, device in missed])
                for watched, device in missed:
                    gone = device.device not in look.online | look.unknown and device in watched.devices
                    if gone and device.push is not None:
                        reached = watched.reached
                        self._lanes[device.push.provider].add(device, reached.conv, reached.seq, reached.hold)
                        watched.devices.remove(device)
                        self.silent += 1
                self._on_pending()
            self._watch.expire(time.monotonic())

    async def _decide_on(self) -> None:
        while True:
            batch = await self._due()
            while sum(map(len, self._lanes.values())) >= MAX_PENDING or len(self._open) >= MAX_UNDECIDED:
                await asyncio.sleep(RETRY_S)
                await self._decide_again()
            if batch:
                await self._decide(batch)
            await self._decide_again()

    async def _due(self) -> list[Reached]:
        """Return the records that are due now; an empty list after AGAIN_S without any."""
        if self._ahead is None:
            try:
                async with asyncio.timeout(AGAIN_S):
                    self._ahead = await self._queue.get()
            except TimeoutError:
                return []
        await asyncio.sleep(max(0.0, _due_s(self._ahead) + JOIN_S - time.monotonic()))
        batch = [self._ahead]
        users = len(self._ahead.users)
        self._ahead = None
        while len(batch) < MAX_BATCH and not self._queue.empty():
            following = self._queue.get_nowait()
            users += len(following.users)
            if _due_s(following) > time.monotonic() or users > MAX_BATCH_USERS:
                self._ahead = following
                break
            batch.append(following)
        return batch

    async def _decide(self, batch: list[Reached]) -> None:
        users = {user for reached in batch for user in reached.users}
        devices = await until_available(lambda: self._directory.devices_of(users), "push, for its devices,")
        concerned = [device for of_user in devices.values() for device in of_user if device.push is not None]
        look = await self._look(concerned)
        for reached in batch:
            self._decide_one(reached, devices, look)
        self.decided += len(batch)
        self._on_pending()

    def _decide_one(self, reached: Reached, devices: Mapping[int, tuple[RegisteredDevice, ...]], look: Look) -> None:
        still_open, there, late = False, [], time.monotonic() > reached.at_s + OPEN_S
        pushed: set[int] = set()
        for user in reached.users:
            for device in devices[user]:
                lane = self._lanes.get(device.push.provider) if device.push is not None else None
                if lane is None or device.device == reached.except_device or device.device in reached.pushed:
                    continue
                if self.is_online(device, look):
                    self.online += 1
                    there.append(device)
                elif device.device in look.unknown and not late:
                    still_open = True
                elif device.device in look.leased:
                    self.online += 1
                else:
                    lane.add(device, reached.conv, reached.seq, reached.hold)
                    pushed.add(device.device)
        if still_open:
            self._open.append(reached._replace(pushed=reached.pushed | pushed))
        elif there:
            self._watch.add(reached, there)
        else:
            self._floors[reached.hold.partition].release(reached.hold.offset)

    def is_online(self, device: RegisteredDevice, look: Look) -> bool:
        """Return True if the device is connected. A known-bad variant overrides this."""
        return device.device in look.online

    async def _decide_again(self) -> None:
        """Decide the open records again, for the devices that have no push requested yet."""
        now_s = time.monotonic()
        if not self._open or now_s < self._open_again_s:
            return
        self._open_again_s = now_s + AGAIN_S
        for _ in range(0, len(self._open), MAX_BATCH):
            await self._decide([self._open.popleft() for _ in range(min(MAX_BATCH, len(self._open)))])

    async def _look(self, devices: Iterable[RegisteredDevice]) -> Look:
        users = {device.device: device.user for device in devices}
        wanted = set(users)
        try:
            routes = await self._registry.routes(list(set(users.values())))
        except Unavailable:
            routes = None
        if routes is None or not self._settled():
            look = await self._ask_all(wanted)
        else:
            look = await self._ask_about_gone(users, routes)
        for device in wanted - look.online - look.unknown:
            self._known.pop(device, None)
        return look

    async def _ask_about_gone(self, users: Mapping[int, int], routes: Mapping[int, tuple[Route, ...]]) -> Look:
        """Look in the registry; ask its last known gateway about a device that has no route any more.

        `users`: device -> user.
        """
        wanted = set(users)
        online: set[int] = set()
        unknown: set[int] = set()
        for of_user in routes.values():
            for route in of_user:
                if self._gateways.silent_since(route) is not None:
                    continue
                if route.device in wanted and (life := self._gateways.life(route)) != Life.DEAD:
                    (online if life == Life.ALIVE else unknown).add(route.device)
                    self._remember(route.device, route.node)
        unsure = frozenset(self._gateways.unsure)
        for device in [d for d in online if self._known.get(d) in unsure]:
            online.discard(device)  # its route dates from when its gateway could reach the registry
        leased = set(unknown)
        if not self._gateways.all_linked:
            await self._remember_lapsed({device: users[device] for device in wanted - online - unknown})
        gone: defaultdict[str, list[int]] = defaultdict(list)
        for device in wanted - online - unknown:
            if (node := self._known.get(device)) is not None:
                gone[node].append(device)
        for node in unsure:
            gone[node] = list(wanted - online)
        if gone:
            self.asked += 1
            found, silent = await self._gateways.ask(gone)
            online |= found
            unknown.update(d for node in silent for d in gone[node] if self._known.get(d) == node)
        return Look(online, unknown, leased)

    async def _remember_lapsed(self, users: Mapping[int, int]) -> None:
        """Remember the gateways of ended leases: a gateway that is only stopped still has these devices."""
        with contextlib.suppress(Unavailable):
            for of_user in (await self._registry.lapsed(list(set(users.values())))).values():
                for route in of_user:
                    if route.device in users and self._gateways.life(route) == Life.SILENT:
                        self._remember(route.device, route.node)

    async def _ask_all(self, wanted: set[int]) -> Look:
        """Look without the registry. Devices last seen at a gateway that does not answer are unknown."""
        self.asked += 1
        online, silent = await self._gateways.ask_all(wanted)
        unknown = {device for device in wanted - online if self._known.get(device, "") in silent}
        return Look(online, unknown, set())

    def _remember(self, device: int, node: str) -> None:
        self._known[device] = node
        self._known.move_to_end(device)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _settled(self) -> bool:
        """Return True if the registry has had time to recover since it last may have forgotten entries."""
        now_s, generation = time.monotonic(), self._generations.generation
        if generation != self._generation:
            if self._generation:  # the first connection of this process is no failover
                self._unsettled_until_s = now_s + SETTLE_S
            self._generation = generation
        return now_s >= self._unsettled_until_s


def _due_s(reached: Reached) -> float:
    return reached.at_s + (GRACE_S if reached.fresh else 0.0)
