"""Presence at a gateway: reports who is connected here, and looks up the users whom its devices watch. Lazy.

Reports (`Keeper`): the first connection of a user is reported at once, and so is the end of the last one. All users are
reported again in every heartbeat interval, a share every few seconds. When a gateway dies its reports lapse
(Settings.presence_ttl_s).

Look-ups (`Watchers`, presence_watch.py): only users whom a device here watches, only while one does, all in one look
per period. Users connected here need no look.

While the presence store is away, pictures stay as they are. They are right again at most one period after it is back;
only users who left meanwhile are told one grace later.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from sut.gateway.presence_watch import Watchers
from sut.ports import Presence, Unavailable
from sut.protocol import websocket
from sut.protocol.frames import encode
from sut.protocol.peer import Changed
from sut.protocol.signals import PresenceNews, SignalType

JOIN_S: Final = 0.1
"""Changes within this time share a round trip."""
MAX_CHANGES: Final = 500
"""Changes written in one round trip."""
MAX_DIRTY: Final = 100_000
"""Users whose change may wait. Beyond it, users who left are not written and lapse."""
STEP_S: Final = 2.0
"""Interval in which one share of all users is reported again, at most."""
RETRY_S: Final = (0.2, 1.0)

log = logging.getLogger("presence")


class Client(Protocol):
    """The part of a device's connection that presence needs."""

    number: int
    user: int

    def send(self, data: bytes) -> None:
        """Write one whole WebSocket frame."""


class Keeper:
    """Reports to the presence store who is connected here."""

    def __init__(self, presence: Presence, *, node: str, incarnation: int, heartbeat_s: float) -> None:
        self._presence = presence
        self._node = node
        self._incarnation = incarnation
        self._heartbeat_s = heartbeat_s
        self._connections: Counter[int] = Counter()
        self._dirty: dict[int, None] = {}
        self._work = asyncio.Event()
        self._generation = -1
        self._round: list[int] = []
        self.lapses = 0
        """Times that all users had to be reported again because the store may have forgotten them."""

    def __contains__(self, user: int) -> bool:
        return user in self._connections

    def opened(self, user: int) -> bool:
        """Count a connection. Returns True if it is the user's first here."""
        self._connections[user] += 1
        if self._connections[user] > 1:
            return False
        self._change(user)
        return True

    def left(self, user: int) -> bool:
        """Stop counting a connection. Returns True if it was the user's last here."""
        self._connections[user] -= 1
        if self._connections[user] > 0:
            return False
        del self._connections[user]
        self._change(user)
        return True

    def _change(self, user: int) -> None:
        if len(self._dirty) < MAX_DIRTY or user in self._connections:
            self._dirty[user] = None
            self._work.set()

    async def run(self) -> None:
        """Write changes at once, and all users again in every heartbeat interval, for ever."""
        steps = max(1, int(self._heartbeat_s / STEP_S))
        step_s = self._heartbeat_s / steps
        next_s = time.monotonic() + step_s
        low_s, high_s = RETRY_S
        wait_s = low_s
        while True:
            await self._changed_until(next_s)
            try:
                await self._write_changes()
                if self._generation != self._presence.generation:
                    await self._note_all()
                elif time.monotonic() >= next_s:
                    next_s = time.monotonic() + step_s
                    await self._note_some(math.ceil(len(self._connections) / steps))
                wait_s = low_s
            except Unavailable as error:
                if wait_s == low_s:
                    log.warning("presence is away: %s", error)
                await asyncio.sleep(random.uniform(low_s, wait_s))
                wait_s = min(high_s, wait_s * 2)

    async def _note_all(self) -> None:
        """Write all users again: the store may have forgotten them. Raises Unavailable."""
        generation = self._presence.generation
        self.lapses += self._generation > 0
        await self._presence.here(self._node, self._incarnation, list(self._connections))
        self._generation = generation

    async def _note_some(self, count: int) -> None:
        """Write the next users of the present round. Raises Unavailable; they lapse only if the next round fails."""
        self._round = self._round or list(self._connections)
        some, self._round = self._round[:count], self._round[count:]
        here = [user for user in some if user in self._connections]
        if here:
            await self._presence.here(self._node, self._incarnation, here)

    async def _changed_until(self, until_s: float) -> None:
        if self._dirty:
            return
        try:
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await self._work.wait()
        except TimeoutError:
            return
        await asyncio.sleep(JOIN_S)

    async def _write_changes(self) -> None:
        """Write the waiting changes. Raises Unavailable; the changes then wait again."""
        self._work.clear()
        while self._dirty:
            some = list(islice(self._dirty, MAX_CHANGES))
            for user in some:
                del self._dirty[user]
            came = [user for user in some if user in self._connections]
            went = [user for user in some if user not in self._connections]
            try:
                if came:
                    await self._presence.here(self._node, self._incarnation, came)
                if went:
                    await self._presence.gone(self._node, self._incarnation, went)
            except Unavailable:
                self._dirty = dict.fromkeys(some) | self._dirty
                raise

    async def leave(self) -> None:
        """Write the last changes when the gateway ends. Users that cannot be written lapse."""
        try:
            await self._write_changes()
        except Unavailable:
            log.warning("presence is away at the end: %d users will lapse", len(self._dirty))


class GatewayPresence:
    """The reports and look-ups of a gateway's presence together."""

    def __init__(
        self,
        presence: Presence,
        *,
        node: str,
        incarnation: int,
        heartbeat_s: float,
        period_s: float,
        grace_s: float,
        tell_chats: Callable[[Changed], object] = lambda _frame: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tell_chats` passes a frame to a chat service. Only the variant eager_presence calls it."""
        self._presence = presence
        self._tell_chats = tell_chats
        self._period_s = period_s
        self._clock = clock
        self._clients: dict[int, Client] = {}
        """Connection number -> the client, for those that watch users."""
        self._wanted: dict[int, tuple[int, ...]] = {}
        """Connection number -> the users that it asked for since the last look. Only the last request counts."""
        self.keeper = Keeper(presence, node=node, incarnation=incarnation, heartbeat_s=heartbeat_s)
        self.watchers = Watchers(grace_s=grace_s)
        self._watched = asyncio.Event()
        self.told = 0
        """States sent to devices: the events that presence costs."""
        self.looks = 0
        self.looked = 0
        """Users asked about in all looks together."""
        self.frozen = 0
        """Looks that got no answer."""

    def opened(self, client: Client) -> None:
        self.keeper.opened(client.user)

    def left(self, client: Client) -> None:
        self.keeper.left(client.user)
        self._clients.pop(client.number, None)
        self._wanted.pop(client.number, None)
        self.watchers.forget(client.number)

    def silent(self, client: Client) -> None:
        """A device that is connected answers nothing: it counts as gone."""
        self.keeper.left(client.user)

    def heard(self, client: Client) -> None:
        """A silent device is heard again."""
        self.keeper.opened(client.user)

    def watch(self, client: Client, users: tuple[int, ...]) -> None:
        """Make the device watch these users and no others. The next look includes them.

        So any number of calls within a period cost no more than one.
        """
        self._clients[client.number] = client
        self._wanted[client.number] = users
        self._watched.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.keeper.run())
            group.create_task(self._look_on())

    async def _look_on(self) -> None:
        while True:
            await self._watched.wait()
            await asyncio.sleep(self._period_s)
            wanted, self._wanted = self._wanted, {}
            for number, asked in wanted.items():
                self.watchers.watch(number, asked)
            users = self.watchers.due()
            if users:
                await self._look(users)
            else:
                self._watched.clear()

    async def _look(self, users: list[int]) -> None:
        elsewhere = [user for user in users if user not in self.keeper]
        self.looks += 1
        self.looked += len(elsewhere)
        try:
            found = dict(await self._presence.look(elsewhere)) if elsewhere else {}
        except Unavailable:
            self.frozen += 1
            self.watchers.freeze()
            return
        found |= {user: (True, 0) for user in users if user in self.keeper}
        for number, news in self.watchers.news(found, self._clock()).items():
            client = self._clients.get(number)
            if client is not None:
                self.told += len(news)
                client.send(websocket.binary(encode(PresenceNews(tuple(news)))))

    def delivered(self, frame: bytes, count: int) -> None:
        """Count the presence frames that others push through this gateway (eager_presence only)."""
        if frame[0] == SignalType.PRESENCE:
            self.told += count

    def stats(self) -> dict[str, float]:
        return {
            "presence_told": float(self.told),
            "presence_looks": float(self.looks),
            "presence_looked": float(self.looked),
            "presence_frozen": float(self.frozen),
            "presence_watched": float(self.watchers.watched),
            "presence_cut": float(self.watchers.cut),
            "presence_lapses": float(self.keeper.lapses),
        }
