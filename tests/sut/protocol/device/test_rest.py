"""A client that rests and wakes all the time does exactly what one does that never rests."""

import math
import random

import pytest

from sut.protocol.device import rest as resting
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings, Stalled
from sut.protocol.frames import (
    Ack,
    Beat,
    Drain,
    Entry,
    Fetch,
    Heartbeat,
    Message,
    Notify,
    Page,
    Send,
    Sync,
    Synced,
    Welcome,
    decode_client,
    encode,
)
from sut.protocol.signals import PresenceNews, Receipt, Receipts, Typist, Typists

SETTINGS = ClientSettings(sync_every_beats=3, renumber=False, rewind=False)
CONVS = (3, 4, 1 << 62, 5 << 40)


class Everybody:
    """A causality in which each message names the last one of another conversation."""

    def __init__(self) -> None:
        self.latest: dict[int, int] = {}

    def named_by(self, message):
        return ()

    def shared(self, conv, other):
        return True

    def grows(self, conv):
        return conv % 2 == 0

    def may_be_in(self, user, conv):
        return True

    def member_of(self, conv):
        return conv in CONVS[:2]


class Twins:
    """Two clients with the same input. The second one rests whenever it can, and wakes for each input."""

    def __init__(self, seed: int, *, causal: bool) -> None:
        self.causality = Everybody() if causal else None
        self.seeds = random.Random(seed), random.Random(seed)
        self.wakeful, self.sleeper = (self.new(rng) for rng in self.seeds)
        self.rests = self.refusals = self.largest = self.beats = 0

    def new(self, rng: random.Random) -> Client:
        return Client(user=7, device=7, rng=rng, settings=SETTINGS, causality=self.causality)

    def do(self, name: str, *arguments) -> tuple[list[object], list]:
        """Do the same with both. Returns the frames and events, which must be the same."""
        results, said = [], []
        for client in (self.wakeful, self.sleeper):
            results.append(getattr(client, name)(*arguments))
            events = client.events()
            said.append(([decode_client(frame) for frame in client.frames()], events, client.next_wakeup()))
        assert results[0] == results[1], name
        assert said[0] == said[1], name
        assert self.wakeful.cursors == self.sleeper.cursors
        rested = resting.rest(self.sleeper)
        if rested is None:
            self.refusals += 1
        else:
            self.rests += 1
            self.largest = max(self.largest, len(rested))
            self.sleeper = self.new(self.seeds[1])
            resting.wake(self.sleeper, rested)
        return said[0][:2]

    def beat(self, now: float, heard_at: float | None) -> None:
        """The first sends its HEARTBEAT and hears a BEAT; the second is told that its owner did so."""
        self.wakeful.tick(now)
        assert [decode_client(frame) for frame in self.wakeful.frames()] == [Heartbeat()]
        if heard_at is not None:
            self.wakeful.receive(encode(Beat(0)), heard_at)
        assert not self.wakeful.events()
        self.sleeper.beaten(1, now, heard_at)
        self.beats += 1
        self.do("tick", now if heard_at is None else heard_at)


class Service:
    """A random service: it answers sooner or later, tells of messages in any way, and loses some words."""

    def __init__(self, twins: Twins, rng: random.Random) -> None:
        self.twins, self.rng = twins, rng
        self.now = 100.0
        self.rows: dict[int, list[Message]] = {conv: [] for conv in CONVS}
        self.open = self.online = False

    def do(self, name: str, *arguments) -> None:
        frames, _ = self.twins.do(name, *arguments)
        for frame in frames:
            self.answer(frame)

    def tell(self, frame) -> None:
        if self.open:
            self.do("receive", encode(frame), self.now)

    def answer(self, frame) -> None:
        if not self.open or self.rng.random() < 0.1:
            return
        match frame:
            case Heartbeat():
                self.tell(Beat(int(self.rng.random() < 0.2)))
            case Sync(req, _, cursors):
                seen = dict(cursors)
                heads = [(conv, len(rows)) for conv, rows in sorted(self.rows.items())]
                self.tell(Synced(req, 0, tuple(Entry(c, n, 0) for c, n in heads if n > seen.get(c, 0))))
            case Fetch(req, conv, after, limit):
                rows = tuple(self.rows[conv][after : after + limit])
                head = len(self.rows[conv])
                self.tell(Page(req, conv, head, rows[-1].seq if rows else head, rows))
            case Send(conv, client_seq, body):
                known = [row.seq for row in self.rows[conv] if (row.device, row.client_seq) == (7, client_seq)]
                if not known:
                    self.rows[conv].append(Message(conv, len(self.rows[conv]) + 1, 0, 7, 7, client_seq, body))
                    known = [len(self.rows[conv])]
                self.tell(Ack(conv, client_seq, known[0]))

    def step(self) -> None:
        rng, conv = self.rng, self.rng.choice(CONVS)
        self.now += rng.choice((0.01, 0.3, 1.0, 4.0))
        while (at := self.twins.wakeful.next_wakeup()) <= self.now:
            due, _, left = self.twins.wakeful.beats_ahead()
            if at == due and left:
                heard = rng.random() < 0.8
                self.twins.beat(self.now, self.now + 0.02 if heard and left > 1 else None)
                if heard and left == 1:
                    self.tell(Beat(0))
            else:
                self.do("tick", self.now)
        if not self.open:
            self.do("connected", self.now)
            self.open = True
            self.tell(Welcome(7, 7, 1, 10_000, 16384))
            return
        other = Message(conv, len(self.rows[conv]) + 1, 0, 9, 9, len(self.rows[conv]) + 1, b"x" * 40)
        match rng.randrange(14):
            case 0:
                self.open = False
                self.do("disconnected", self.now)
            case 1 | 2 | 3:
                self.rows[conv].append(other)
                self.tell(other)
            case 4 | 5:
                self.rows[conv].append(other)
                self.tell(Notify((Entry(conv, other.seq, 0),)))
            case 6:
                self.rows[conv].append(other)
            case 7 | 8:
                self.do("submit", conv, b"mine", self.now)
            case 9:
                self.do("mark_read", conv, len(self.rows[conv]), self.now)
            case 10:
                self.do("typing", conv, self.now)
            case 11:
                self.do("watch", [rng.randrange(20) for _ in range(3)])
                self.tell(PresenceNews(((rng.randrange(20), rng.randrange(2), 5),)))
            case 12:
                self.tell(Receipts((Receipt(conv, 1 + rng.randrange(5), 0, 9),)))
                self.tell(Typists((Typist(conv, 9, 1),)))
            case 13:
                self.tell(Drain(500))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_a_client_that_rests_is_the_same_as_one_that_never_does(seed: int, causal: bool) -> None:
    twins = Twins(seed, causal=causal)
    service = Service(twins, random.Random(seed))
    for _ in range(300):
        service.step()
    assert twins.rests > 100
    assert twins.refusals > 20


def test_heartbeats_that_its_owner_sends_are_as_good_as_its_own() -> None:
    twins, syncs = Twins(1, causal=True), 0
    twins.do("connected", 1.0)
    twins.do("receive", encode(Welcome(7, 7, 1, 10_000, 16384)), 1.0)
    twins.do("receive", encode(Synced(1, 0, ())), 1.1)
    for turn in range(30):
        at, every_s, left = twins.wakeful.beats_ahead()
        assert (at, every_s) == (twins.wakeful.next_wakeup(), 10.0)
        if left > 1 and turn % 7 < 5:
            twins.beat(at, at + 0.01)
            continue
        if left:
            twins.beat(at, None)
        else:
            twins.do("tick", at)
        frames, _ = twins.do("receive", encode(Beat(0)), at + 0.3)
        for frame in frames:
            syncs += 1
            twins.do("receive", encode(Synced(frame.req, 0, ())), at + 0.4)
    assert twins.beats > 15
    assert syncs >= 9, "one in three beats brings a SYNC"
    at = twins.wakeful.next_wakeup()
    twins.beat(at, None)
    _, events = twins.do("tick", at + 5.1)
    assert [type(event) for event in events] == [Stalled]


def test_a_client_with_something_under_way_does_not_rest() -> None:
    twins = Twins(1, causal=True)
    twins.do("connected", 1.0)
    twins.do("receive", encode(Welcome(7, 7, 1, 10_000, 16384)), 1.0)
    assert resting.rest(twins.wakeful) is None, "a SYNC is open"
    twins.do("receive", encode(Synced(1, 0, ())), 1.1)
    rested = resting.rest(twins.wakeful)
    assert rested is not None
    assert len(rested) < 250
    twins.wakeful.submit(3, b"mine", 1.2)
    assert resting.rest(twins.wakeful) is None
    assert math.isfinite(twins.wakeful.next_wakeup())
