"""Answers to senders and notifications to members, grouped per edge node and sent at once.

An answer goes straight to the connection that the record came from. A notification needs the members' routes: one
registry round trip for everything that waits. Without the registry the last known routes serve. Every gateway is then
told that notifications may be missing (Missed), so that its devices SYNC within a heartbeat. Correctness does not
depend on any of it: the sender repeats, or the device catches up, whatever does not arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sut.ports import Origin, Registry, Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import Deliver, Deliveries, Missed
from sut.services.waiting import next_batch

MAX_QUEUED: Final = 10_000
MAX_BATCH: Final = 500
"""Notifications that share one registry round trip, and items of one Deliveries frame."""
MAX_KNOWN: Final = 200_000
"""Users whose last known routes are remembered for times without a registry."""
MISSED_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Notification:
    """One frame for every connected device of these users, except `except_device` (the sender's).

    `signal`: not about a message, so users who are offline miss nothing.
    """

    frame: bytes
    users: tuple[int, ...]
    except_device: int
    signal: bool = False


class Emitter:
    """Sends answers and notifications for all partitions of a sequencer."""

    def __init__(self, registry: Registry, links: Mapping[str, PeerLink]) -> None:
        self._registry = registry
        self._links = links
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(MAX_QUEUED)
        self._outgoing: defaultdict[str, list[Deliver]] = defaultdict(list)
        self._known: OrderedDict[int, tuple[Route, ...]] = OrderedDict()
        self._blind = False
        self._told_missed_s = 0.0
        self._owe_missed: set[str] = set()
        self.answers = 0
        self.notifications = 0
        self.unrouted = 0
        """Notifications for users with no live route."""
        self.signals_dropped = 0
        self.dropped = 0
        """Frames that a full or broken link did not take."""

    def answer(self, origin: Origin, frame: bytes, *, close: int = 0) -> None:
        """Queue an answer for the connection a record came from; drop it if that incarnation is gone."""
        link = self._links.get(origin.node)
        if link is None or link.peer_incarnation != origin.incarnation:
            return
        self.answers += 1
        self._put(origin.node, Deliver((origin.conn,), frame, close))

    async def notify(self, notification: Notification) -> None:
        """Queue a notification; waits while the queue is full."""
        await self._queue.put(notification)

    def offer(self, notification: Notification) -> bool:
        """Queue a notification that may be lost. False: dropped, because messages, which come first, fill the queue."""
        if self._queue.qsize() > MAX_QUEUED // 4:
            self.signals_dropped += 1
            return False
        self._queue.put_nowait(notification)
        return True

    async def run(self) -> None:
        """Route and send notifications, for ever."""
        while True:
            batch = await next_batch(self._queue, MAX_BATCH)
            routes = await self._routes({user for item in batch for user in item.users})
            for item in batch:
                self._fan_out(item, routes)

    def _fan_out(self, item: Notification, routes: Mapping[int, tuple[Route, ...]]) -> None:
        conns: defaultdict[str, list[int]] = defaultdict(list)
        for user in item.users:
            live = False
            for route in routes.get(user, ()):
                link = self._links.get(route.node)
                if link is None or link.peer_incarnation != route.incarnation:
                    continue
                live = True
                if route.device != item.except_device:
                    conns[route.node].append(route.conn)
            self.unrouted += not live and not item.signal
        for node, numbers in conns.items():
            self.notifications += len(numbers)
            self._put(node, Deliver(tuple(numbers), item.frame))

    def _put(self, node: str, item: Deliver) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing[node].append(item)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, defaultdict(list)
        for node, items in outgoing.items():
            link = self._links[node]
            if node in self._owe_missed and link.send(Missed()):
                self._owe_missed.discard(node)
            for start in range(0, len(items), MAX_BATCH):
                part = tuple(items[start : start + MAX_BATCH])
                if not link.send(Deliveries(part)):
                    self.dropped += len(part)
                    self._owe_missed.add(node)

    async def _routes(self, users: Iterable[int]) -> Mapping[int, tuple[Route, ...]]:
        asked = list(users)
        try:
            routes = await self._registry.routes(asked)
        except Unavailable:
            self._blind = True
            self._tell_missed()
            return {user: self._known[user] for user in asked if user in self._known}
        if self._blind:
            self._blind = False
            self._told_missed_s = 0.0
            self._tell_missed()
        for user in asked:
            self._known[user] = routes.get(user, ())
            self._known.move_to_end(user)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return routes

    def _tell_missed(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_missed_s < MISSED_EVERY_S:
            return
        self._told_missed_s = now_s
        for link in self._links.values():
            link.send(Missed())
