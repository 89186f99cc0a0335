"""Answers to senders and notifications to members, grouped per edge node and sent at once.

An answer goes straight to the connection that the record came from. A notification needs the members' routes: one
registry round trip for everything that waits. Without the registry the last known routes serve, and those that the
gateways announce. What finds no route then is tried again when one is announced, or the registry is back. Every gateway
is also told that notifications may be missing (Missed), so that its devices SYNC within a heartbeat. Correctness does
not depend on any of it: the sender repeats, or the device catches up, whatever does not arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sut.ports import Origin, Registry, Route, Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import Announce, Deliver, Missed, PassOn, PeerFrame, Took
from sut.services.sequencer.announced import Announced
from sut.services.sequencer.edge import Edge
from sut.services.waiting import next_batch, until_tick

MAX_QUEUED: Final = 10_000
MAX_BATCH: Final = 500
"""Notifications that share one registry round trip, and items of one Deliveries frame."""
MAX_KNOWN: Final = 200_000
"""Users whose last known routes are remembered for times without a registry."""
MISSED_EVERY_S: Final = 0.5
LOOK_S: Final = 0.1
"""Interval in which frames without a confirmation are looked at."""
PROBE_S: Final = 0.5
MAX_UNROUTED: Final = 5_000
"""Notifications that wait for a route while the registry is away."""


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

    def __init__(
        self,
        registry: Registry,
        links: Mapping[str, PeerLink],
        *,
        confirming: Iterable[str] = (),
        pass_on: Callable[[PassOn], bool] = lambda _frame: False,
    ) -> None:
        """`confirming`: the nodes that confirm what they get. `pass_on`: as in Edge."""
        self._registry = registry
        self._links = links
        confirms = frozenset(confirming)
        self._edges = {node: Edge(link, pass_on=pass_on if node in confirms else None) for node, link in links.items()}
        self._announced = Announced()
        self._unrouted: deque[Notification] = deque(maxlen=MAX_UNROUTED)
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(MAX_QUEUED)
        self._outgoing: defaultdict[str, list[Deliver]] = defaultdict(list)
        self._known: OrderedDict[int, tuple[Route, ...]] = OrderedDict()
        self._blind = False
        self._told_missed_s = 0.0
        self.answers = 0
        self.notifications = 0
        self.unrouted = 0
        """Notifications for users with no live route."""
        self.signals_dropped = 0
        self.dropped = 0
        """Frames that a full or broken link did not take."""

    def answer(self, origin: Origin, frame: bytes, *, close: int = 0) -> None:
        """Queue an answer for the connection a record came from; drop it if that incarnation is gone."""
        edge = self._edges.get(origin.node)
        if edge is None or not edge.serves(origin.incarnation):
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

    def on_frame(self, frame: PeerFrame) -> None:
        """Take a frame that an edge node sent over our link to it."""
        if isinstance(frame, Took) and frame.node in self._edges:
            self._edges[frame.node].taken(frame.number)
        elif isinstance(frame, Announce):
            self._announced.take(frame)
            if frame.there:
                self._try_again(frozenset(user for user, *_ in frame.there))

    def _try_again(self, users: frozenset[int] | None = None) -> None:
        """Queue what found no route once more, for these users or (None) for all."""
        waiting = list(self._unrouted)
        self._unrouted.clear()
        for item in waiting:
            found = item.users if users is None else tuple(user for user in item.users if user in users)
            rest = tuple(user for user in item.users if user not in found)
            if found:
                self.offer(replace(item, users=found))
            if rest:
                self._unrouted.append(replace(item, users=rest))

    async def watch(self) -> None:
        """Send again what was not confirmed, and look whether the registry is back where something waits for it."""
        probed_s = 0.0
        while True:
            await until_tick(LOOK_S)
            now_s = time.monotonic()
            for edge in self._edges.values():
                edge.look(now_s)
            if self._unrouted and now_s - probed_s > PROBE_S:
                probed_s = now_s
                self.offer(self._unrouted.popleft())

    @property
    def passed(self) -> int:
        """Number of frames that went another way."""
        return sum(edge.passed for edge in self._edges.values())

    async def run(self) -> None:
        """Route and send notifications, for ever."""
        while True:
            batch = await next_batch(self._queue, MAX_BATCH)
            routes = await self._routes({user for item in batch for user in item.users})
            for item in batch:
                self._fan_out(item, routes)

    def _fan_out(self, item: Notification, routes: Mapping[int, tuple[Route, ...]]) -> None:
        conns: defaultdict[str, list[int]] = defaultdict(list)
        nowhere: list[int] = []
        for user in item.users:
            live = False
            for route in self._announced.joined(user, routes.get(user, ())):
                edge = self._edges.get(route.node)
                if edge is None or not edge.serves(route.incarnation):
                    continue
                live = True
                if route.device != item.except_device:
                    conns[route.node].append(route.conn)
            if not live and not item.signal:
                nowhere.append(user)
        self.unrouted += len(nowhere)
        if nowhere and self._blind:
            self._unrouted.append(replace(item, users=tuple(nowhere)))
        for node, numbers in conns.items():
            self.notifications += len(numbers)
            self._put(node, Deliver(tuple(numbers), item.frame))

    def _put(self, node: str, item: Deliver) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing[node].append(item)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, defaultdict(list)
        now_s = time.monotonic()
        for node, items in outgoing.items():
            for start in range(0, len(items), MAX_BATCH):
                part = tuple(items[start : start + MAX_BATCH])
                if not self._edges[node].send(part, now_s):
                    self.dropped += len(part)

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
            self._try_again()
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
