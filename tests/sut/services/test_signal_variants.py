"""The known-bad receipts and presence do what they are known for, and the system as it is does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sut.gateway.pieces import GatewayPieces
from sut.gateway.presence import GatewayPresence
from sut.ports import Kind, LogRecord, Span, StoredMessage
from sut.protocol.frames import decode_server
from sut.protocol.peer import Changed
from sut.protocol.signals import PresenceNews, Receipt, Receipts, Seen
from sut.services.api.pieces import ApiPieces
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.rule import Conversation
from sut.services.sequencer.signals import Signals
from sut.services.sequencer.worker import PartitionWorker
from sut.variants import find

ANN, BOB, CID, DAN = 1, 2, 3, 4


class Outbox:
    """An emitter that keeps what it is given."""

    signals_dropped = 0

    def __init__(self) -> None:
        self.offered: list[Notification] = []

    def offer(self, notification: Notification) -> bool:
        self.offered.append(notification)
        return True


def live(conv: int, *members: int) -> Live:
    state = Conversation(conv, "g", members[0], head=1)
    state.spans = {user: [Span(user, 1)] for user in members}
    return Live(state)


def pieces_of(kind: str, variant: str | None) -> Any:
    """What a variant changes in this kind of service, None where nothing."""
    return find(variant).pieces(kind, None) if variant is not None else None


def receipts_of(variant: str | None, tmp_path: Path) -> list[tuple[tuple[int, ...], tuple[Receipt, ...]]]:
    """What a worker says of receipts when it settles a message of ANN."""
    outbox = Outbox()
    pieces = pieces_of("sequencer", variant) or SequencerPieces()
    worker: PartitionWorker = pieces.worker(0, message_log=None, store=None, emitter=outbox, group_cap=500)
    row = StoredMessage(1, 0, ANN, ANN, 1, b"hi")
    record = LogRecord(Kind.MESSAGE, 5, ANN, ANN, 1, b"hi", (), None)
    room = live(5, ANN, BOB, CID)
    room.state.marks[ANN] = None
    assert worker.settle(room, record, rule.Sequenced(row)) is not None
    frames = [(item.users, decode_server(item.frame)) for item in outbox.offered]
    return [(users, frame.entries) for users, frame in frames if isinstance(frame, Receipts)]


def test_only_the_variant_says_delivered_before_anybody_has_shown_it(tmp_path: Path) -> None:
    assert receipts_of(None, tmp_path) == []
    assert receipts_of("receipts_before_delivery", tmp_path) == [
        ((ANN,), (Receipt(5, 1, 0, BOB), Receipt(5, 1, 0, CID)))
    ]


class Worker:
    def __init__(self, *lives: Live) -> None:
        self._lives = lives

    def all_live(self) -> tuple[Live, ...]:
        return self._lives


@pytest.mark.parametrize(
    ("variant", "told"), [(None, []), ("eager_presence", [((BOB, CID), PresenceNews((Seen(ANN, 0, 0),)))])]
)
def test_only_the_variant_tells_all_contacts_at_once(variant: str | None, told: list) -> None:
    outbox = Outbox()
    workers = {0: Worker(live(5, ANN, BOB)), 1: Worker(live(6, BOB, ANN, CID), live(7, BOB, DAN))}
    pieces = pieces_of("sequencer", variant) or SequencerPieces()
    signals: Signals = pieces.signals(workers, None, outbox, worker_of=workers.get)
    assert signals.on_frame(Changed(ANN, 0)) is None
    assert [(tuple(sorted(item.users)), decode_server(item.frame)) for item in outbox.offered] == told


class Client:
    def __init__(self, number: int, user: int) -> None:
        self.number, self.user = number, user

    def send(self, data: bytes) -> None:
        pass


@pytest.mark.parametrize(("variant", "told"), [(None, []), ("eager_presence", [Changed(ANN, 1), Changed(ANN, 0)])])
def test_only_the_variant_s_gateway_tells_of_each_coming_and_going(variant: str | None, told: list) -> None:
    said: list[Changed] = []
    pieces = pieces_of("gateway", variant) or GatewayPieces()
    presence: GatewayPresence = pieces.presence(
        None, node="gateway-1", incarnation=1, heartbeat_s=30, period_s=1, grace_s=3, tell_chats=said.append
    )
    first, second = Client(1, ANN), Client(2, ANN)
    for client in (first, second):
        presence.opened(client)
    for client in (first, second):
        presence.left(client)
    assert said == told


def test_only_the_variant_s_words_on_people_count_for_ever() -> None:
    for usual in (GatewayPieces(), ApiPieces()):
        assert usual.presence_ttl_s is None
    for kind in ("gateway", "api"):
        assert pieces_of(kind, "presence_without_ttl").presence_ttl_s > 1e8
