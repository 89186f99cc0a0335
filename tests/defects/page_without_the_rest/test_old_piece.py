"""A page from the store, where 100 messages are stored and 130 are numbered."""

import asyncio

import pytest

from sut.protocol.frames import Page, decode_server
from sut.protocol.peer import HotPage
from sut.services.chat.reader import Reader
from tests.defects.page_without_the_rest.old_piece import OnlyTheStore
from tests.sut.services.test_reader import CONV, MEMBER, Sequencer, Store


@pytest.mark.parametrize(("kind", "head"), [(OnlyTheStore, 100), (Reader, 130)], ids=["old", "present"])
def test_which_head_a_page_tells(kind: type[Reader], head: int) -> None:
    sequencer = Sequencer(HotPage(hit=False, member=True, head=130, page=b""))
    page = decode_server(asyncio.run(kind(Store(), {0: sequencer}).page(CONV, MEMBER, after=90, limit=50)))
    assert isinstance(page, Page)
    assert (page.messages[-1].seq, page.through, page.head) == (100, 100, head)
