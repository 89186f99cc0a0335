"""Typing and receipts between the processes: who is told, what is dropped, what is joined."""

from __future__ import annotations

import asyncio

import pytest

from sut.ports import Span
from sut.protocol.frames import decode_server
from sut.protocol.peer import PeerFrame, Progress, TypingIn
from sut.protocol.signals import Typist, Typists
from sut.services.chat import relay as chat_relay
from sut.services.chat.relay import Relay
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.rule import Conversation
from sut.services.sequencer.typing_relay import MAX_MEMBERS, MAX_REMEMBERED, SAME_AGAIN_S, TypingRelay

CONV, ANN, BOB, CID = 5, 1, 2, 3


class Room:
    """A relay on one conversation, a clock, and what was told."""

    def __init__(self, members: int = 3) -> None:
        state = Conversation(CONV, "g", ANN)
        state.spans = {user: [Span(user, 1)] for user in range(1, members + 1)}
        self.state = state
        self.now_s = 100.0
        self.told: list[tuple[Typist, tuple[int, ...]]] = []
        live = Live(state)
        self.relay = TypingRelay(
            live=lambda conv: live if conv == CONV else None, offer=self._offer, clock=lambda: self.now_s
        )

    def _offer(self, notification: Notification) -> bool:
        frame = decode_server(notification.frame)
        assert isinstance(frame, Typists)
        assert notification.signal
        self.told.append((frame.entries[0], notification.users))
        return True

    def types(self, user: int, state: int = 1, conv: int = CONV) -> None:
        self.relay.take(TypingIn(user, user, conv, state))


def test_the_other_members_are_told() -> None:
    room = Room()
    room.types(ANN)
    room.types(ANN, 0)
    assert room.told == [(Typist(CONV, ANN, 1), (BOB, CID)), (Typist(CONV, ANN, 0), (BOB, CID))]


def test_strangers_those_removed_and_other_conversations_are_not_heard() -> None:
    room = Room()
    room.state.spans[CID] = [Span(CID, 1, 4)]
    room.types(9)
    room.types(CID)
    room.types(ANN, conv=77)
    assert room.told == []
    assert room.relay.dropped == 3


@pytest.mark.parametrize(("members", "told"), [(MAX_MEMBERS, 1), (MAX_MEMBERS + 1, 0)])
def test_a_large_group_is_not_told(members: int, told: int) -> None:
    room = Room(members)
    room.types(ANN)
    assert len(room.told) == told


def test_the_same_word_too_soon_is_dropped() -> None:
    room = Room()
    for _ in range(3):
        room.types(ANN)
    room.types(BOB)
    assert [typist.user for typist, _ in room.told] == [ANN, BOB]
    room.now_s += SAME_AGAIN_S
    room.types(ANN)
    assert len(room.told) == 3


def test_what_is_remembered_is_bounded() -> None:
    room = Room()
    for user in range(MAX_REMEMBERED + 10):
        room.state.spans = {user: [Span(user, 1)], ANN: [Span(ANN, 1)]}
        room.types(user)
    assert len(room.relay._last) == MAX_REMEMBERED


class FakeLink:
    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.frames: list[PeerFrame] = []

    def send(self, frame: PeerFrame) -> bool:
        if self.up:
            self.frames.append(frame)
        return self.up


def test_the_chat_service_joins_words_and_sends_each_where_it_belongs() -> None:
    async def scenario() -> None:
        even, odd = FakeLink(), FakeLink()
        relay = Relay({partition: (odd if partition % 2 else even) for partition in range(8)})
        running = asyncio.create_task(relay.run())
        for seq in (3, 7, 5):
            for conv in range(20):
                relay.progress(conv, ANN, 0, seq, device=11)
        await asyncio.sleep(3 * chat_relay.FLUSH_S)
        (first,), (second,) = even.frames, odd.frames
        assert isinstance(first, Progress)
        assert isinstance(second, Progress)
        assert sorted(first.items + second.items) == [(conv, ANN, 0, 7, 11) for conv in range(20)]
        assert first.items
        assert second.items
        running.cancel()

    asyncio.run(scenario())


def test_what_no_sequencer_takes_is_counted_and_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_relay, "MAX_WAITING", 3)
    relay = Relay(dict.fromkeys(range(8), FakeLink(up=False)))
    for conv in range(5):
        relay.progress(conv, ANN, 0, 1, device=11)
    assert relay.lost == 2
    relay.flush()
    assert relay.lost == 5
    relay.typing(TypingIn(ANN, ANN, CONV, 1))
    assert relay.lost == 6
