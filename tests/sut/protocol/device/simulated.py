"""A small chat service and a bad network, in virtual time: what the state machine has to cope with, by seed.

Connections are ordered like TCP and break at any moment, losing what was under way in both directions, except that a
SEND of a broken connection may still reach the log, after those of the next one. The service drops and repeats
notifications, refuses, does not answer, reads from a store that lags, drains, and adds and removes a member, all at
random; but it never loses what it has numbered, unless it is told to be broken.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable

from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings

SETTINGS = ClientSettings(give_up_s=10_000.0, sync_every_beats=5)
HEARTBEAT_MS = 5_000
COMES_AND_GOES = 3
"""The user who is removed from the conversations with an even id, and added again."""
REFUSED = 0
"""The number in the mark of a message that was refused for good, as in the rule of the sequencer."""


class World:
    """Virtual time, one service, and devices whose users are in the same conversations. User 1 has two devices."""

    def __init__(self, seed: int, *, devices: int, convs: tuple[int, ...], trouble: float = 0.1) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.trouble = trouble
        self.convs = convs
        self.logs: dict[int, list[f.Message]] = {conv: [] for conv in convs}
        self.marks: dict[tuple[int, int], tuple[int, int]] = {}
        self.away: dict[int, list[list[int]]] = {conv: [] for conv in convs}
        """Of the user who comes and goes: [number of the removal, number of the adding or 0], in order."""
        self.forge: Callable[[World, f.Message], f.Message] | None = None
        """A broken service changes what it hands out."""
        self.frames = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self.devices = [Device(self, number) for number in range(1, devices + 1)]

    def at(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), action))

    def bad_luck(self, factor: float = 1.0) -> bool:
        return self.rng.random() < self.trouble * factor

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = until

    def settle(self, limit: float) -> bool:
        """No more trouble; whether all devices come to rest within `limit` virtual seconds."""
        self.trouble = 0.0
        end = self.now + limit
        while self.now < end:
            self.run(self.now + 1.0)
            if all(device.at_rest() for device in self.devices):
                return True
        return False

    def sees(self, user: int, conv: int, seq: int) -> bool:
        stays_away = self.away[conv] if user == COMES_AND_GOES else ()
        return not any(gone <= seq and (not back or seq <= back) for gone, back in stays_away)

    def visible(self, user: int, conv: int) -> list[f.Message]:
        return [row for row in self.logs[conv] if self.sees(user, conv, row.seq)]

    def head(self, user: int, conv: int, length: int) -> int:
        away = self.away[conv] if user == COMES_AND_GOES else ()
        return min(length, away[-1][0] - 1) if away and not away[-1][1] else length

    def change_member(self, conv: int) -> None:
        log, away = self.logs[conv], self.away[conv]
        seq = len(log) + 1
        added = bool(away) and not away[-1][1]
        if added:
            away[-1][1] = seq
        else:
            away.append([seq, 0])
        flag = f.Flag.MEMBER_ADD if added else f.Flag.MEMBER_REMOVE
        log.append(f.Message(conv, seq, flag, COMES_AND_GOES, 0, 0, b""))
        self._tell_members(log[-1], but=None)

    def orphan(self, link: Link, data: bytes) -> None:
        """A frame reached the gateway as its connection broke. A SEND is perhaps on its way to the log already."""
        frame = f.decode_client(data)
        if isinstance(frame, f.Send) and self.rng.random() < 0.5:
            self.at(self.rng.uniform(0, 4), lambda: self._send(link, frame.conv, frame.client_seq, frame.body))

    def handle(self, link: Link, data: bytes) -> None:
        self.frames += 1
        frame = f.decode_client(data)
        match frame:
            case f.Send(conv, client_seq, body):
                self._send(link, conv, client_seq, body)
            case f.Fetch(req, conv, after, limit):
                if self.bad_luck():
                    link.down(f.encode(f.Error(req, f.Nack.UNAVAILABLE)))
                elif not self.bad_luck(0.5):
                    link.down(f.encode(self._page(link.device.user, req, conv, after=after, limit=limit)))
            case f.Sync(req, after_conv, cursors):
                seen, user = dict(cursors), link.device.user
                heads = {conv: self.head(user, conv, len(self.logs[conv])) for conv in sorted(self.convs)}
                ahead = [
                    f.Entry(conv, head, 0)
                    for conv, head in heads.items()
                    if conv > after_conv and head > seen.get(conv, 0)
                ]
                more = len(ahead) > 2
                flags = f.SYNCED_MORE if more else (f.SYNCED_STALE if self.bad_luck() else 0)
                if not self.bad_luck(0.5):
                    link.down(f.encode(f.Synced(req, flags, tuple(ahead[:2]))))
            case f.Heartbeat():
                link.down(f.encode(f.Beat(f.BEAT_RESYNC if link.missed else 0)))
                link.missed = False
            case f.Recv(conv, seq):
                assert self.forge or seq <= len(self.logs[conv])

    def _page(self, user: int, req: int, conv: int, *, after: int, limit: int) -> f.Page:
        length = len(self.logs[conv])
        if self.bad_luck():
            length = max(0, length - self.rng.randint(1, 3))  # the store lags
        head = self.head(user, conv, length)
        through = min(after + limit, head)
        rows = tuple(self._out(row) for row in self.visible(user, conv) if after < row.seq <= through)
        return f.Page(req, conv, head, through, rows)

    def _send(self, link: Link, conv: int, client_seq: int, body: bytes) -> None:
        if self.bad_luck():
            link.down(f.encode(f.Refused(conv, client_seq, f.Nack.UNAVAILABLE)))
            return
        device, user = link.device.number, link.device.user
        last = self.marks.get((conv, device), (0, 0))
        if client_seq < last[0]:
            link.down(f.encode(f.Refused(conv, client_seq, f.Nack.STALE)))
            return
        if client_seq > last[0]:
            seq = len(self.logs[conv]) + 1
            if not self.sees(user, conv, seq):
                self.marks[conv, device] = (client_seq, REFUSED)
                link.down(f.encode(f.Refused(conv, client_seq, f.Nack.NOT_MEMBER)))
                return
            self.marks[conv, device] = (client_seq, seq)
            self.logs[conv].append(f.Message(conv, seq, 0, user, device, client_seq, body))
            self._tell_members(self.logs[conv][-1], but=link.device)
        if self.marks[conv, device][1] == REFUSED:  # a copy of it came first, before its sender was added again
            link.down(f.encode(f.Refused(conv, client_seq, f.Nack.NOT_MEMBER)))
            return
        if self.bad_luck():
            return  # the ACK is lost: the device repeats
        for _ in range(1 + self.bad_luck()):
            link.down(f.encode(f.Ack(conv, client_seq, self.marks[conv, device][1])))

    def _tell_members(self, message: f.Message, *, but: Device | None) -> None:
        """Membership changes are told to the user concerned too, who may not be able to read that number."""
        conv, seq = message.conv, message.seq
        for device in self.devices:
            told = self.sees(device.user, conv, seq) or (message.flags and device.user == message.user)
            if told and device.link is not None and device is not but:
                self._notify(device.link, message)

    def _notify(self, link: Link, message: f.Message) -> None:
        if self.bad_luck(2.0):
            link.missed = True
            return
        brings_body = message.conv % 2
        entry = f.Entry(message.conv, message.seq, message.flags)
        for _ in range(1 + self.bad_luck()):
            link.down(f.encode(self._out(message) if brings_body else f.Notify((entry,))))

    def _out(self, message: f.Message) -> f.Message:
        return self.forge(self, message) if self.forge else message


class Link:
    """One connection: ordered both ways until it breaks."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.alive = True
        self.missed = False
        self._last_up = self._last_down = 0.0

    def up(self, data: bytes) -> None:
        world = self.device.world
        self._last_up = max(self._last_up, world.now + world.rng.uniform(0.001, 0.1))
        world.at(self._last_up - world.now, lambda: (world.handle if self.alive else world.orphan)(self, data))

    def down(self, data: bytes) -> None:
        world = self.device.world
        self._last_down = max(self._last_down, world.now + world.rng.uniform(0.001, 0.1))
        world.at(self._last_down - world.now, lambda: self.device.feed(self, data) if self.alive else None)


class Device:
    """A driver of one Client, as small as a driver can be."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.user = max(1, number - 1)
        self.client = Client(user=self.user, device=number, rng=random.Random(number), settings=SETTINGS)
        self.link: Link | None = None
        self.events: list[object] = []
        self.shown: defaultdict[int, list[f.Message]] = defaultdict(list)
        self.submitted: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self._epoch = 0
        self._wake_at = float("inf")
        world.at(world.rng.uniform(0, 1), self.connect)

    def at_rest(self) -> bool:
        return self.link is not None and self.client.idle() and self.shown == self.due()

    def due(self) -> dict[int, list[f.Message]]:
        """What this device has to have shown, membership changes included, by conversation."""
        rows = {conv: self.world.visible(self.user, conv) for conv in self.world.convs}
        return {conv: visible for conv, visible in rows.items() if visible}

    def connect(self) -> None:
        world = self.world
        if world.bad_luck(3.0):
            world.at(self.client.disconnected(world.now), self.connect)
            return
        self.link = link = Link(self)
        self.client.connected(world.now)
        self._epoch += 1
        link.down(f.encode(f.Welcome(self.user, self.number, self._epoch, HEARTBEAT_MS, f.MAX_BODY)))
        if world.trouble:
            world.at(world.rng.expovariate(1 / 8.0), lambda: self.cut(link))
            if world.bad_luck():
                link.alive = False  # half open: nothing arrives any more, and nobody is told
            elif world.bad_luck():
                world.at(world.rng.uniform(0, 5), lambda: link.down(f.encode(f.Drain(1_000))))
        self.drain()

    def cut(self, link: Link) -> None:
        if self.link is link and self.world.trouble:
            self._lost(link)

    def _lost(self, link: Link) -> None:
        link.alive = False
        self.link = None
        self.world.at(self.client.disconnected(self.world.now), self.connect)
        self.drain()

    def say(self, conv: int, body: bytes) -> None:
        self.submitted[conv].append((self.client.submit(conv, body, self.world.now), body))
        self.drain()

    def feed(self, link: Link, data: bytes) -> None:
        if self.link is link:
            self.client.receive(data, self.world.now)
            self.drain()

    def drain(self) -> None:
        stalled = False
        for event in self.client.events():
            self.events.append(event)
            name = type(event).__name__
            if name == "Show":
                self.shown[event.message.conv].append(event.message)
            elif name == "MemberChange":
                flag = f.Flag.MEMBER_ADD if event.added else f.Flag.MEMBER_REMOVE
                self.shown[event.conv].append(f.Message(event.conv, event.seq, flag, event.user, 0, 0, b""))
            stalled = stalled or name == "Stalled"
        for data in self.client.frames():
            if self.link is not None:
                self.link.up(data)
        if stalled and self.link is not None:
            self._lost(self.link)
            return
        at = self.client.next_wakeup()
        if at < self._wake_at:
            self._wake_at = at
            self.world.at(max(0.0, at - self.world.now), lambda: self.wake(at))

    def wake(self, at: float) -> None:
        if self._wake_at == at:
            self._wake_at = float("inf")
            self.client.tick(self.world.now)
            assert self.client.next_wakeup() > self.world.now, "a tick that leaves something due would spin"
            self.drain()
