"""What a SYNC asks of the store while the sequencer of 1,500 conversations is just being started again."""

import asyncio

import pytest

from sut.protocol.frames import SYNCED_STALE
from sut.services.chat.reader import Reader
from tests.defects.restart_slowed_by_clients.old_piece import Impatient
from tests.sut.services.test_reader import Away, ManyStore


@pytest.mark.parametrize(("kind", "asked"), [(Impatient, 1000), (Reader, 0)], ids=["old", "present"])
def test_how_many_heads_one_sync_asks_the_store_for(kind: type[Reader], asked: int) -> None:
    store = ManyStore()
    synced = asyncio.run(kind(store, {0: Away()}).sync(1, req=1, after_conv=0, cursors={}))
    assert synced.flags & SYNCED_STALE
    assert min(len(store.asked), 1000) == asked
