"""What each known-bad design does differently, piece by piece, without a system around it."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import random
import sys
import time
from importlib import import_module

import pytest

from sut.deploy.kinds import KINDS
from sut.ports import Kind, LogRecord, Route, Unavailable
from sut.protocol.device.reconnect import Reconnect
from sut.services import waiting
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from sut.variants import VARIANTS, UnknownVariant, dedup_window, find, global_counter, retry_storm
from sut.variants.blind_delete import BlindDelete
from sut.variants.dedup_window import ForgetfulWorker
from sut.variants.immortal_routes import ImmortalRoutes
from tests.sut.gateway.world import MemoryRegistry, topology

USER, DEVICE = 1, 11
OLD = Route(DEVICE, "gateway-1", 5, 1, 1000)
NEW = Route(DEVICE, "gateway-2", 7, 9, 2000)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_each_says_what_is_wrong_and_what_shows_it(variant):
    assert variant.module.__doc__.startswith("Known bad: ")
    assert 20 < len(variant.wrong) < 120
    assert bool(variant.caught_by) != bool(variant.measured_by)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_each_changes_some_piece_of_a_kind_that_can_take_it_or_the_swarm(variant, tmp_path):
    made = topology(tmp_path)
    changed = {kind: pieces for kind in KINDS if (pieces := variant.pieces(kind, made)) is not None}
    assert changed or variant.swarm({"crypto_share": 0.0})
    for kind, pieces in changed.items():
        usual = inspect.signature(import_module(KINDS[kind].serves).serve).parameters["pieces"].default
        assert type(pieces) is type(usual)
        assert pieces != usual


def test_the_swarm_of_plaintext_store_has_at_least_some_devices_with_keys():
    swarm = VARIANTS["plaintext_store"].swarm
    assert swarm({"crypto_share": 0.0}) == {"crypto_plaintext": True, "crypto_share": 0.1}
    assert swarm({"crypto_share": 0.5})["crypto_share"] == 0.5


def test_an_unknown_name_is_an_error_that_lists_the_known():
    with pytest.raises(UnknownVariant, match="'good'; there are ack_before_durable, "):
        find("good")
    with pytest.raises(UnknownVariant, match="'_passing_on'; there are"):
        find("_passing_on")


OLD_PIECE = '''"""Known bad: the old reader
of pages. More.

Why.
"""

from sut.services.chat.pieces import ChatPieces
from sut.services.chat.reader import Reader

CAUGHT_BY = ("liveness",)


class OldReader(Reader):
    pass


def chat(topology):
    return ChatPieces(reader=OldReader)
'''


def test_a_variant_can_be_a_module_outside_the_package(tmp_path, monkeypatch):
    (tmp_path / "old_defects").mkdir()
    (tmp_path / "old_defects" / "pages.py").write_text(OLD_PIECE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UnknownVariant, match=r"^variant old_defects\.pages: No module named 'old_defects'$"):
        find("old_defects.pages")
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    found = find("old_defects.pages")
    assert (found.wrong, found.caught_by, found.measured_by) == ("the old reader of pages. More", ("liveness",), "")
    for text, words in (("", "has no function that is named like a kind of service"), ("def chat(:", "invalid syntax")):
        (tmp_path / "old_defects" / "wrong.py").write_text(text)
        sys.modules.pop("old_defects.wrong", None)
        importlib.invalidate_caches()
        with pytest.raises(UnknownVariant, match=f"^variant old_defects.wrong: .*{words}"):
            find("old_defects.wrong")
    made = topology(tmp_path)
    assert found.pieces("chat", made).reader.__name__ == "OldReader"
    assert found.pieces("sequencer", made) is None


# dedup_window


def numbered(monkeypatch, *sends: tuple[float, int]) -> list[rule.Outcome]:
    """What becomes of these SENDs of one device to one conversation: (when, client_seq)."""
    state, _ = rule.apply(None, 1, LogRecord(Kind.CREATE, 5, USER, 0, 0, b"g", (2,), None), group_cap=9)
    worker = ForgetfulWorker(0, message_log=None, store=None, emitter=None, group_cap=9)
    worker._live[5] = Live(state)
    outcomes = []
    for offset, (at_s, client_seq) in enumerate(sends, 2):
        monkeypatch.setattr(dedup_window.time, "monotonic", lambda now=at_s: 100.0 + now)
        record = LogRecord(Kind.MESSAGE, 5, USER, DEVICE, client_seq, b"x", (), None)
        assert asyncio.run(worker.number(record)) is None
        outcomes.append(rule.apply(state, offset, record, group_cap=9)[1])
    return outcomes


def test_a_repeat_within_the_window_is_known_and_one_after_it_is_numbered_again(monkeypatch):
    first, soon, late, soon_after = numbered(monkeypatch, (0, 1), (0.2, 1), (2, 1), (2.2, 1))
    assert (first.message.seq, soon, late.message.seq, soon_after) == (1, rule.Repeated(1), 2, rule.Repeated(2))


def test_the_window_begins_anew_with_each_message(monkeypatch):
    *_, repeat = numbered(monkeypatch, (0, 1), (0.2, 2), (0.4, 2))
    assert repeat == rule.Repeated(2)


# no_catch_up: see tests/system/test_variants.py; there is nothing to it but silence.

# immortal_routes, blind_delete


def test_a_route_of_a_dead_gateway_keeps_the_new_one_away_and_its_own_gateway_can_take_it_out():
    async def scenario() -> None:
        memory = MemoryRegistry()
        first, second = ImmortalRoutes(memory), ImmortalRoutes(memory)
        assert await first.register([(USER, OLD)]) == [None]
        assert await first.register([(USER, OLD)]) == [OLD]
        assert await second.register([(USER, NEW)]) == [NEW]  # it is told that all is well
        assert memory.entries[USER, DEVICE].node == "gateway-1"
        await second.unregister([(USER, NEW)])
        assert memory.entries[USER, DEVICE].node == "gateway-1"
        await first.unregister([(USER, OLD)])
        assert not memory.entries
        assert await second.register([(USER, NEW)]) == [None]
        await second.lease("gateway-2", 7, 0.0, "ws://x")
        assert "gateway-2" in await memory.gateways()

    asyncio.run(scenario())


def test_a_late_clean_up_takes_the_route_of_the_connection_that_came_after():
    async def scenario() -> None:
        memory = MemoryRegistry()
        first, second = BlindDelete(memory, late_s=0.05), BlindDelete(memory)
        await first.register([(USER, OLD)])
        await first.unregister([(USER, OLD)])
        await second.register([(USER, NEW), (USER, Route(12, "gateway-2", 7, 10, 2000))])
        await first.lease("gateway-1", 5, 6.0, "ws://x")
        assert memory.entries[USER, DEVICE] == NEW  # not yet
        await asyncio.sleep(0.1)
        await first.lease("gateway-1", 5, 6.0, "ws://x")
        assert [device for _, device in memory.entries] == [12]  # only this device's

    asyncio.run(scenario())


# global_counter


class Counter:
    """Says no now and then; never two at a time."""

    def __init__(self, *_args):
        self.taken = 0
        self.busy = False

    async def ticket(self, name):
        assert not self.busy
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        self.taken += 1
        if self.taken % 3 == 0:
            raise Unavailable("no replica")
        return self.taken


def test_each_message_takes_a_ticket_one_at_a_time_and_the_rule_numbers_it(tmp_path, monkeypatch):
    counter = Counter()
    monkeypatch.setattr(global_counter, "RedisCounter", lambda *_args: counter)
    monkeypatch.setattr(waiting, "RETRY_S", 0.0)
    worker_class = global_counter.sequencer(topology(tmp_path)).worker
    workers = [worker_class(p, message_log=None, store=None, emitter=None, group_cap=9) for p in range(2)]
    message = LogRecord(Kind.MESSAGE, 5, USER, DEVICE, 1, b"x", (), None)
    change = LogRecord(Kind.ADD, 5, USER, 0, 0, b"", (3,), None)

    async def scenario() -> list[int | None]:
        return await asyncio.gather(*(worker.number(message) for worker in workers * 5), workers[0].number(change))

    assert asyncio.run(scenario()) == [None] * 11
    assert counter.taken == 14  # 10 that were had, 4 that no replica had


# fixed_reconnect


def test_a_fixed_wait_never_varies_and_heeds_no_drain():
    reconnect = Reconnect(find("fixed_reconnect").swarm({})["reconnect_fixed_s"])
    reconnect.draining(30.0)
    waits = {reconnect.next_wait_s(random.Random(seed), base_s=0.2, cap_s=5.0) for seed in range(20)}
    assert waits == {1.0}


# retry_storm


def test_each_copy_is_scanned_after_the_others_of_its_chat_service(tmp_path):
    taken: list[int] = []

    class Log:
        async def append(self, partition, records):
            taken.extend(record.client_seq for record in records)

    acceptor_class = retry_storm.chat(topology(tmp_path)).acceptor
    acceptors = [acceptor_class(partition, Log(), None) for partition in range(2)]
    copies = [LogRecord(Kind.MESSAGE, 5, USER, DEVICE, 1, b"x", (), None)] * 5

    async def scenario() -> float:
        began_s = time.monotonic()
        await asyncio.gather(*(acceptor.append(0, copies) for acceptor in acceptors))
        return time.monotonic() - began_s

    assert asyncio.run(scenario()) >= 10 * retry_storm.SCAN_S
    assert taken == [1] * 10
    assert all(acceptor.patience_s > 1e9 for acceptor in acceptors)
