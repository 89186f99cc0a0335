"""FETCH of a member who joined an instant ago, whose addition the sequencer knows and the store does not."""

import asyncio

import pytest

from sut.ports import Unavailable
from sut.protocol.peer import HotPage
from sut.services.chat.reader import NotMember, Reader
from tests.defects.stranger_after_join.old_piece import Hasty
from tests.sut.services.test_reader import CONV, JOINED, Sequencer, Store


def fetch(kind: type[Reader]) -> bytes:
    sequencer = Sequencer(HotPage(hit=False, member=True, head=100, page=b""))
    return asyncio.run(kind(Store(), {0: sequencer}).page(CONV, JOINED, after=0, limit=10))


def test_the_old_piece_calls_the_member_a_stranger() -> None:
    with pytest.raises(NotMember):
        fetch(Hasty)


def test_the_present_piece_asks_the_member_to_wait() -> None:
    with pytest.raises(Unavailable):
        fetch(Reader)
