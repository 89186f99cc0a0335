"""This gateway's entries in the registry: its lease, and the route of every connection.

Many registrations and removals share a round trip. While Redis is away they wait, and devices are welcomed all the
same. The oldest removals are forgotten: deliveries to a connection that is gone are skipped, and the device's next
connection replaces its entry. When Redis is back, all routes are written again, at a limited rate, because a failover
may have lost any of them. They are also written once a heartbeat interval, because one may be lost unnoticed. An
example is a gateway that was stopped. It finds the handshake of a device that reconnected elsewhere and registers it as
the newest. It removes the route when it sees that the socket is dead. A missing route means missing notifications, so
that device is told to resync, unless all routes are announced. A failover may also have lost a removal, and a device
that seems to be here gets no push. So the latest removals are repeated as well.

Our routes are in doubt while the registry is away or another one, while our lease may have ended, and while no Sentinel
says that our master is the one that the others use. Then they are announced to the sequencers (announcer.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from sut.gateway.connection import Connection
from sut.gateway.losses import Losses
from sut.ports import Registry, Route, Unavailable
from sut.process.lateness import slack_s
from sut.protocol.frames import Close

log = logging.getLogger("registrar")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Batch sizes and intervals of the registrar."""

    batch: int = 500
    """Routes in one round trip."""
    gather_s: float = 0.05
    """Time between two round trips for changes: what comes meanwhile shares the next one. A lone change does not wait,
    nor do `enough` changes."""
    enough: int = 50
    """Changes that share a round trip well: one more costs as much with them as in the next."""
    welcome_by_s: float = 0.5
    """A device is welcomed this long after its upgrade, registered or not."""
    refresh_s: float = 30.0
    """All routes are written again in this time: the heartbeat interval, which limits the cost of a lost one."""
    recovery_gap_s: float = 0.02
    """Wait between batches that are written again after Redis was away: 25,000 routes a second at most."""
    retry_s: tuple[float, float] = (0.1, 1.0)
    """Bounds of the growing, jittered wait between failed attempts."""
    max_gone: int = 50_000
    """Removals that may wait, and as many that are repeated."""
    late_s: float = 0.5
    """A removal that takes longer is told: the push service decides a second after the message."""
    doubt_s: float = 60.0
    """A removal older than this is permanent: replicas do not lag as much."""
    certain_s: float = 5.0
    """The others may use another registry if ours was not certain for so long. Usually it is looked at each second."""


class Registrar:
    """Keeps the registry equal to `connections`, the open connections by number."""

    def __init__(
        self,
        registry: Registry,
        *,
        node: str,
        incarnation: int,
        address: str,
        ttl_s: float,
        connections: Mapping[int, Connection],
        losses: Losses,
        pace: Pace | None = None,
        on_doubt: Callable[[float], None] = lambda _since_s: None,
        on_certain: Callable[[], None] = lambda: None,
        covered: Callable[[], bool] = lambda: False,
        on_late: Callable[[int, int, float], None] = lambda _user, _device, _left_s: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_doubt`: others may not see our routes, since the given time. `on_certain`: they see all of them.

        Both are called again and again. `covered`: no route is needed, as all are announced. `on_late`: with user,
        device and time of a device that has left, and that the registry still has.
        """
        self._on_doubt, self._on_certain, self._covered, self._on_late = on_doubt, on_certain, covered, on_late
        self._registry = registry
        self._node = node
        self._incarnation = incarnation
        self._address = address
        self._ttl_s = ttl_s
        self._connections = connections
        self._losses = losses
        self._pace = pace or Pace()
        self._clock = clock
        self._began_s = clock()
        self._new: dict[int, Connection] = {}  # waiting to be registered, oldest first
        self._unwelcomed: deque[tuple[float, Connection]] = deque()
        self._gone: deque[tuple[int, Route]] = deque(maxlen=self._pace.max_gone)
        self._leaving: dict[int, tuple[float, int, int]] = {}
        """Connection -> when it ended, its user and device, until its removal is written or told as late."""
        self._removed: deque[tuple[float, tuple[int, Route]]] = deque(maxlen=self._pace.max_gone)  # when, oldest first
        self._work = asyncio.Event()
        self._enough = asyncio.Event()
        """Set when `enough` changes wait."""
        self._wrote_s = -math.inf
        """When changes were last written."""
        self._writing = asyncio.Lock()  # one write at a time: a removal never overtakes the registration it undoes
        self._recovered = asyncio.Event()
        self._was_leased = False
        self._generation = 0
        """The generation of the registry that holds our lease; 0: none does."""
        self._moved = asyncio.Event()
        self._rewritten = False  # all routes, since the registry last failed
        self.up = False
        """True if the registry's last answer was no failure."""
        self.written = self.removed = 0
        """Routes that the registry took, and that were removed from it."""
        self.lapses = 0
        """Times that the lease may have ended before its renewal."""

    @property
    def waiting(self) -> int:
        """The number of registrations and removals that have not reached the registry."""
        return len(self._new) + len(self._gone)

    def add(self, connection: Connection) -> None:
        """Register it as soon as possible, and welcome it then, or after `welcome_by_s`."""
        self._new[connection.number] = connection
        self._unwelcomed.append((self._clock() + self._pace.welcome_by_s, connection))
        self._changed()

    def remove(self, connection: Connection) -> None:
        """Remove its route, even if no registration is known to have arrived: its effect may be unknown."""
        self._new.pop(connection.number, None)
        self._gone.append(self._entry(connection))
        if len(self._leaving) < self._pace.max_gone:
            self._leaving[connection.number] = self._clock(), connection.user, connection.device
        self._changed()

    def _changed(self) -> None:
        self._work.set()
        if self.waiting >= self._pace.enough:
            self._enough.set()

    def tick(self) -> None:
        """Welcome the devices that have waited `welcome_by_s`. Look for a new registry. Called ten times a second."""
        now_s = self._clock()
        if self._moved_on:
            self._moved.set()
        if self._was_leased and (self._moved_on or not self._is_certain(now_s)):
            self._doubt()
        self._look_if_back()
        while self._unwelcomed and (self._unwelcomed[0][0] <= now_s or self._unwelcomed[0][1].welcomed):
            self._unwelcomed.popleft()[1].welcome()
        while self._leaving:
            number, (left_s, user, device) = next(iter(self._leaving.items()))
            if left_s + self._pace.late_s > now_s:
                break
            del self._leaving[number]
            self._on_late(user, device, left_s)

    @property
    def _moved_on(self) -> bool:
        """True if another server is the registry since our lease was taken. It may have had nothing of ours."""
        return self._generation not in (0, self._registry.generation)

    def _is_certain(self, now_s: float) -> bool:
        """Return True if our lease lives, in the registry that the others use."""
        unsure_s = now_s - max(self._began_s, self._registry.certain_s)
        return now_s <= self._losses.lease_until_s and unsure_s <= self._pace.certain_s + slack_s()

    def _doubt(self) -> None:
        """Others may not see our routes: at the earliest since the lease ended, or the registry was certain."""
        self._on_doubt(max(self._began_s, min(self._losses.lease_until_s, self._registry.certain_s)))

    async def hold_lease(self) -> None:
        """Take the lease and renew it every third of its time, for ever; at once where the registry is a new one."""
        while True:
            asked_s = self._clock()
            self._moved.clear()
            try:
                await self._registry.lease(self._node, self._incarnation, self._ttl_s, self._address)
            except Unavailable as error:
                self._failed(error)
                await asyncio.sleep(random.uniform(self._pace.retry_s[0], self._pace.retry_s[1]))
            else:
                self._leased(asked_s)
                await self._look_at_replaced()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._ttl_s / 3):
                        await self._moved.wait()

    async def _look_at_replaced(self) -> None:
        """Write the routes again that a newer connection elsewhere took. If that one is there, ours ends now.

        If it is gone already (a handshake that its device had given up), our route is restored.
        """
        with contextlib.suppress(Unavailable):
            numbers = await self._registry.replaced(self._node, self._incarnation)
            if numbers:
                await self._rewrite(numbers, at_once=True)

    def _leased(self, asked_s: float) -> None:
        moved = self.up and self._moved_on
        lapsed = moved or self._clock() > self._losses.lease_until_s
        if lapsed and self._was_leased:
            self.lapses += 1
            self._doubt()
        self._losses.lease_renewed(asked_s=asked_s, ttl_s=self._ttl_s)
        self._generation = self._registry.generation
        self._was_leased = True
        if lapsed or not self.up:
            self.up, self._rewritten = True, False
            self._recovered.set()

    def _failed(self, error: Unavailable) -> None:
        if self.up:
            log.warning("registry is away: %s", error)
        self.up = self._rewritten = False
        self._doubt()

    async def release_lease(self) -> None:
        """Release the lease, so that nothing is routed to us any more. Only after hold_lease was cancelled."""
        with contextlib.suppress(Unavailable):
            await self._registry.release(self._node, self._incarnation)

    async def write_changes(self) -> None:
        """Register new connections and unregister closed ones, in batches, for ever."""
        low_s, high_s = self._pace.retry_s
        delay_s = low_s
        while True:
            await self._work.wait()
            self._work.clear()
            while self._new or self._gone:
                try:
                    await self._gather()
                    await self._register_some()
                    await self._unregister_some()
                    delay_s = low_s
                    self._look_if_back()
                except Unavailable as error:
                    self._failed(error)
                    await asyncio.sleep(random.uniform(low_s, delay_s))
                    delay_s = min(high_s, delay_s * 2)

    async def _gather(self) -> None:
        """Wait until the last round trip is `gather_s` ago: each costs as much as the routes of some ten devices."""
        self._enough.clear()
        if (wait_s := self._wrote_s + self._pace.gather_s - self._clock()) > 0 and self.waiting < self._pace.enough:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, self._pace.gather_s)):
                    await self._enough.wait()
        self._wrote_s = self._clock()

    async def _register_some(self) -> None:
        async with self._writing:
            batch = list(islice(self._new.values(), self._pace.batch))
            for connection in batch:
                del self._new[connection.number]
            try:
                await self._write(batch)
            except Unavailable:
                self._new = {c.number: c for c in batch if c.is_open} | self._new
                raise

    async def _unregister_some(self) -> None:
        async with self._writing:
            batch = [self._gone.popleft() for _ in range(min(len(self._gone), self._pace.batch))]
            if not batch:
                return
            try:
                await self._registry.unregister(batch)
            except Unavailable:
                self._gone.extendleft(reversed(batch))
                raise
            self.removed += len(batch)
            for _, route in batch:
                self._leaving.pop(route.conn, None)
            now_s = self._clock()
            self._removed.extend((now_s, entry) for entry in batch)

    async def _remove_again(self) -> None:
        oldest_s = self._clock() - self._pace.doubt_s
        while self._removed and self._removed[0][0] < oldest_s:
            self._removed.popleft()
        entries = [entry for _, entry in self._removed]
        for start in range(0, len(entries), self._pace.batch):
            async with self._writing:
                await self._registry.unregister(entries[start : start + self._pace.batch])

    async def rewrite_routes(self) -> None:
        """Write all routes again, for ever: within `refresh_s` normally, at once after Redis was away."""
        recovered = False
        while True:
            recovered = await self._rewrite_all(fast=recovered)

    async def _rewrite_all(self, *, fast: bool) -> bool:
        """Write one round. Returns True if Redis came back meanwhile, which requires another, fast one."""
        pace = self._pace
        numbers = list(self._connections)
        starts = range(0, max(1, len(numbers)), pace.batch)
        gap_s = pace.recovery_gap_s if fast else pace.refresh_s / len(starts)
        for start in starts:
            if await self._came_back(gap_s):
                return True
            try:
                if start == 0:
                    await self._remove_again()
                await self._rewrite(numbers[start : start + pace.batch], at_once=not fast)
            except Unavailable as error:
                self._failed(error)
                return await self._came_back(pace.refresh_s)
        self._rewritten = self.up and not self._recovered.is_set()
        self._look_if_back()
        return False

    def _look_if_back(self) -> None:
        if self._rewritten and not self._new and not self._moved_on and self._is_certain(self._clock()):
            self._on_certain()

    async def _came_back(self, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._recovered.wait()
        came_back = self._recovered.is_set()
        self._recovered.clear()
        return came_back

    async def _rewrite(self, numbers: list[int], *, at_once: bool) -> None:
        async with self._writing:
            found = (self._connections.get(number) for number in numbers)
            await self._write([c for c in found if c is not None and c.routed], at_once=at_once)

    async def _write(self, connections: list[Connection], *, at_once: bool = False) -> None:
        """Write routes; `at_once`: resync devices without one now, else as there is room, which avoids a storm."""
        if not connections:
            return
        entries = [self._entry(connection) for connection in connections]
        answers = await self._registry.register(entries)
        self.written += len(entries)
        for connection, (_, route), found in zip(connections, entries, answers, strict=True):
            self._settle(connection, route, found, at_once=at_once)

    def _settle(self, connection: Connection, mine: Route, found: Route | None, *, at_once: bool) -> None:
        """Act on the entry that the registry held before this route."""
        if not connection.is_open:
            return
        same = found is not None and _place(found) == _place(mine)
        if found is not None and not same and found.epoch > mine.epoch:
            if connection.welcomed:
                connection.close(Close.REPLACED, "a newer connection of this device took over")
            else:  # the clock of its previous gateway is ahead of ours
                connection.epoch = found.epoch + 1
                self._new[connection.number] = connection
            return
        if found is not None and not same and _place(found)[:2] == _place(mine)[:2]:
            older = self._connections.get(found.conn)
            if older is not None:
                older.close(Close.REPLACED, "a newer connection of this device took over")
        if connection.welcomed and not (same and connection.routed) and not self._covered():
            connection.resync(at_once=at_once)  # the connection had no route for a time
        connection.routed = True
        connection.welcome()

    def _entry(self, connection: Connection) -> tuple[int, Route]:
        route = Route(connection.device, self._node, self._incarnation, connection.number, connection.epoch)
        return connection.user, route


def _place(route: Route) -> tuple[str, int, int]:
    return route.node, route.incarnation, route.conn
