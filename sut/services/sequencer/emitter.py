"""Answers to senders and notifications to members, grouped per edge node and sent at once.

An answer goes straight to the connection that the record came from. A notification needs the members' routes: one
registry round trip for everything that waits. Without the registry the last known routes serve, and those that the
gateways announce.

The registry may not show all routes while it is away, when another server has taken its place, and while no Sentinel
says which one it is. Then all gateways are asked for theirs, and each connection is sent what it was not told in the
last seconds (recent.py). A gateway also announces its routes unasked. Where too little is remembered, the gateway is
told that notifications may be missing (Missed), and its devices SYNC. Correctness does not depend on any of it: the
sender repeats, or the device catches up, whatever does not arrive.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sut.ports import Origin, Registry, Route, Unavailable
from sut.process.lateness import slack_s
from sut.process.peer import PeerLink
from sut.protocol.peer import Announce, AskRoutes, Deliver, Missed, PassOn, PeerFrame, Took
from sut.services.sequencer.announced import Announced
from sut.services.sequencer.edge import Edge
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.recent import Recent
from sut.services.waiting import next_batch, until_tick

MAX_QUEUED: Final = 10_000
MAX_BATCH: Final = 500
"""Notifications that share one registry round trip, and items of one Deliveries frame."""
MAX_KNOWN: Final = 200_000
"""Users whose last known routes are remembered for times without a registry."""
ASK_EVERY_S: Final = 0.5
"""Seconds between two questions to the gateways for their routes, while the registry is away."""
ASKED_S: Final = 3.0
"""Gateways that were asked announce for longer than this. So nothing was missed since."""
CERTAIN_S: Final = 5.0
"""The gateways may use another registry if ours was not certain for so long. Usually it is looked at each second."""
MARGIN_S: Final = 2.0
"""So much longer than somebody knows, notifications may have been missing: clocks and frames on their way differ."""
LOOK_S: Final = 0.1
"""Interval in which frames without a confirmation are looked at."""


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
        self._recent = Recent()
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(MAX_QUEUED)
        self._outgoing: defaultdict[str, list[Deliver]] = defaultdict(list)
        self._known: OrderedDict[int, tuple[Route, ...]] = OrderedDict()
        self._began_s = time.monotonic()
        self._blind = False
        self._generation = 0
        """The registry's generation that answered last; 0: none did."""
        self._asked_s = -math.inf
        """When the gateways were last asked for their routes."""
        self._unsaid: dict[str, list[PeerFrame]] = {}
        """Node -> what it is to be told as soon as its link takes it."""
        self._too_many: set[str] = set()
        """Gateways that announce more routes than there is room for."""
        self.answers = 0
        self.notifications = 0
        self.unrouted = 0
        """Notifications for users with no live route."""
        self.told_again = 0
        """Notifications for connections whose route was missing at first."""
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
        elif isinstance(frame, Announce) and frame.node in self._edges:
            self._take(frame)

    def _take(self, frame: Announce) -> None:
        """Note announced routes, and send them what was for their users in the last seconds and is not sent to them."""
        node, now_s = frame.node, time.monotonic()
        if frame.since_ms and not self._recent.reaches(now_s - frame.since_ms / 1000 - MARGIN_S):
            self._say(node, Missed())
        if frame.anew and not frame.since_ms and node in self._too_many:
            self._too_many.discard(node)
            self._say(node, Missed())
        if not self._announced.take(frame) and node not in self._too_many:
            self._too_many.add(node)
            self._say(node, Missed())
        if frame.there and self._edges[node].serves(frame.incarnation):
            for item, conns in self._recent.untold(frame, now_s):
                self.told_again += len(conns)
                self._put(node, Deliver(conns, item.frame))

    async def watch(self) -> None:
        """Send again what was not confirmed, and say what a link did not take. Look whether the registry is certain."""
        while True:
            await until_tick(LOOK_S)
            now_s = time.monotonic()
            for edge in self._edges.values():
                edge.look(now_s)
            if self._generation and now_s - max(self._began_s, self._registry.certain_s) > CERTAIN_S + slack_s():
                self._ask_routes(now_s)
            unsaid, self._unsaid = self._unsaid, {}
            for node, frames in unsaid.items():
                for frame in frames:
                    self._say(node, frame)

    def _say(self, node: str, frame: PeerFrame) -> None:
        """Send it now or soon. A gateway that has no link knows that it misses something."""
        if not self._links[node].send(frame) and self._links[node].up:
            waiting = self._unsaid.setdefault(node, [])
            if frame not in waiting:
                waiting.append(frame)

    @property
    def passed(self) -> int:
        """Number of frames that went another way."""
        return sum(edge.passed for edge in self._edges.values())

    async def run(self) -> None:
        """Route and send notifications, for ever."""
        while True:
            batch = await next_batch(self._queue, MAX_BATCH)
            routes = await self._routes({user for item in batch for user in item.users})
            now_s = time.monotonic()
            for item in batch:
                self._fan_out(item, routes, now_s)

    def _fan_out(self, item: Notification, routes: Mapping[int, tuple[Route, ...]], now_s: float) -> None:
        conns: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for user in item.users:
            live = False
            for route in self._announced.joined(user, routes.get(user, ())):
                edge = self._edges.get(route.node)
                if edge is None or not edge.serves(route.incarnation):
                    continue
                live = True
                if route.device != item.except_device:
                    conns[route.node, route.incarnation].append(route.conn)
            self.unrouted += not live and not item.signal
        for (node, _), numbers in conns.items():
            self.notifications += len(numbers)
            self._put(node, Deliver(tuple(numbers), item.frame))
        if not item.signal:
            self._recent.add(item, conns, now_s)

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
            self._ask_routes(time.monotonic())
            return {user: self._known[user] for user in asked if user in self._known}
        before, self._generation = self._generation, self._registry.generation
        if self._blind or before not in (0, self._generation):
            self._blind = False
            self._ask_routes(time.monotonic(), at_once=True)
        for user in asked:
            self._known[user] = routes.get(user, ())
            self._known.move_to_end(user)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return routes

    def _ask_routes(self, now_s: float, *, at_once: bool = False) -> None:
        """Ask all gateways for their routes. Whoever was missing in the registry until now is told by that."""
        if now_s - self._asked_s < ASK_EVERY_S and not at_once:
            return
        reaches = now_s - self._asked_s < ASKED_S or self._recent.reaches(self._registry.certain_s - MARGIN_S)
        self._asked_s = now_s
        for node in self._links:
            self._say(node, AskRoutes())
            if not reaches:
                self._say(node, Missed())
