"""A device whose state was put back to an older copy, against the service's own rule: nothing is lost or doubled."""

from __future__ import annotations

import random

import pytest

from sut.ports import Kind, LogRecord
from sut.protocol import frames as f
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings
from sut.services.sequencer import rule

CONV, ME, DEVICE = 7, 1, 11


def record(kind: Kind, client_seq: int, body: bytes, members: tuple[int, ...] = ()) -> LogRecord:
    return LogRecord(kind, CONV, ME, DEVICE, client_seq, body, members, None)


class Service:
    """One conversation behind the rule. Answers what a device asks, as chat service and sequencer do."""

    def __init__(self) -> None:
        self.state, _ = rule.apply(None, 1, record(Kind.CREATE, 1, b"d", (2,)), group_cap=9)
        self.offset = 1
        self.rows: list[f.Message] = []

    @property
    def bodies(self) -> list[bytes]:
        return [row.body for row in self.rows]

    def answer(self, frame: f.ClientFrame) -> list[f.ServerFrame]:
        match frame:
            case f.Send():
                return self.send(frame)
            case f.Sync(req, _, cursors):
                ahead = len(self.rows) > dict(cursors).get(CONV, 0)
                return [f.Synced(req, 0, (f.Entry(CONV, len(self.rows), 0),) if ahead else ())]
            case f.Fetch(req, _, after, _):
                return [f.Page(req, CONV, len(self.rows), len(self.rows), tuple(self.rows[after:]))]
            case f.Heartbeat():
                return [f.Beat(0)]
        return []

    def send(self, frame: f.Send) -> list[f.ServerFrame]:
        self.offset += 1
        sent = record(Kind.MESSAGE, frame.client_seq, frame.body)
        self.state, outcome = rule.apply(self.state, self.offset, sent, group_cap=9)
        match outcome:
            case rule.Sequenced(row):
                self.rows.append(f.Message(CONV, row.seq, 0, ME, DEVICE, row.client_seq, row.body))
                return [f.Ack(CONV, frame.client_seq, row.seq)]
            case rule.Repeated(seq):
                return [f.Ack(CONV, frame.client_seq, seq)]
            case rule.Refused(code, highest):
                notice = [f.Refused(CONV, highest, f.Nack.USED_UP_TO)] if highest else []
                return [*notice, f.Refused(CONV, frame.client_seq, code)]
        raise AssertionError(outcome)


class Run:
    """A run of the device's program: from a copy of its state, against the service."""

    def __init__(self, service: Service, *, next_client_seq: int, cursor: int, unsettled=(), **settings) -> None:
        self.service, self.now, self.events = service, 0.1, []
        self.client = Client(
            user=ME, device=DEVICE, rng=random.Random(1), settings=ClientSettings(**settings),
            next_client_seq=next_client_seq,
        )  # fmt: skip
        self.client.resume({CONV: cursor} if cursor else {}, unsettled, 0.0)

    def connect(self) -> None:
        self.client.connected(0.0)
        self.client.receive(f.encode(f.Welcome(ME, DEVICE, 1, 30_000, f.MAX_BODY)), 0.1)
        self.turn()

    def turn(self) -> None:
        """Until nothing is said for some seconds."""
        until = self.now + 20.0
        while self.now < until:
            for data in self.client.frames():
                for answer in self.service.answer(f.decode_client(data)):
                    self.client.receive(f.encode(answer), self.now)
            self.events += self.client.events()
            self.now += 0.1
            self.client.tick(self.now)

    def say(self, *bodies: bytes) -> None:
        for body in bodies:
            self.client.submit(CONV, body, self.now)

    def seen(self, kind: str) -> list:
        return [event for event in self.events if type(event).__name__ == kind]


def lived(service: Service) -> None:
    """Two runs; a copy is made of the state between them."""
    for number, cursor, bodies in ((1, 0, (b"one 1", b"one 2", b"one 3")), (4, 3, (b"two 1", b"two 2", b"two 3"))):
        run = Run(service, next_client_seq=number, cursor=cursor)
        run.connect()
        run.say(*bodies)
        run.turn()
    assert service.bodies == [b"one 1", b"one 2", b"one 3", b"two 1", b"two 2", b"two 3"]


def test_a_key_with_another_body_is_refused_for_good_and_says_how_far_the_keys_go() -> None:
    service = Service()
    lived(service)
    assert service.send(f.Send(CONV, 6, b"two 3")) == [f.Ack(CONV, 6, 6)]
    used = f.Refused(CONV, 6, f.Nack.USED_UP_TO)
    assert service.send(f.Send(CONV, 6, b"another")) == [used, f.Refused(CONV, 6, f.Nack.REUSED)]
    assert service.send(f.Send(CONV, 5, b"another")) == [used, f.Refused(CONV, 5, f.Nack.STALE)]
    assert f.Refused(CONV, 6, f.Nack.REUSED).definite


@pytest.mark.parametrize("offline", [False, True])
def test_a_restored_device_goes_on_above_and_all_it_writes_arrives_once_in_order(offline: bool) -> None:
    service = Service()
    lived(service)
    run = Run(service, next_client_seq=4, cursor=3)
    texts = (b"three 1", b"three 2", b"three 3", b"three 4")
    if offline:  # written before it could know
        run.say(*texts)
    run.connect()
    if not offline:
        run.say(*texts)
    run.turn()
    assert service.bodies[6:] == list(texts)
    assert run.client.idle()
    assert run.seen("Outrun")[0].first == 4
    assert not run.seen("Nacked") and len(run.seen("Acked")) == 4
    assert len(run.seen("Renumbered")) == (4 if offline else 0)


def test_what_was_under_way_when_the_copy_was_made_is_not_sent_twice() -> None:
    service = Service()
    lived(service)
    unsettled = [(CONV, 4, b"two 1"), (CONV, 5, b"two 2"), (CONV, 6, b"never sent")]
    run = Run(service, next_client_seq=7, cursor=3, unsettled=unsettled)
    run.connect()
    assert service.bodies[6:] == [b"never sent"]
    assert [event.client_seq for event in run.seen("Acked")][:2] == [4, 5]
    assert run.client.idle()


def test_an_owner_that_encrypts_anew_is_told_instead() -> None:
    service = Service()
    lived(service)
    run = Run(service, next_client_seq=4, cursor=3, renumber=False)
    run.say(b"three 1")
    run.connect()
    assert [(event.client_seq, event.definite) for event in run.seen("Nacked")] == [(4, True)]
    assert service.bodies[6:] == [] and run.client.idle()
    run.say(b"three 1 again")
    run.turn()
    assert service.bodies[6:] == [b"three 1 again"]
