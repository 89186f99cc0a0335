"""The bench of floods: each flood is what it says, the arithmetic, and a short one with real processes."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from chaos.bench import benches, hostile
from chaos.errors import HarnessError, UsageError
from load.bench.crowd import Measured
from load.bench.hostile import BACKLOG, FLOODS
from sut.protocol.frames import Close, Fetch, History, Recv, Send, Sync
from sut.protocol.server import MAX_FRAMES_PER_S, Answer, End, Forward, ServerSession
from sut.protocol.signals import Typing, Watch
from tests.chaos.bench.test_benches import bench

FORWARDED = {
    "watches": Watch, "syncs": Sync, "fetches": Fetch, "histories": History, "receipts": Recv, "typing": Typing,
    "sends": Send, "big": Send,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({*FORWARDED, "heartbeats", "pings"}))
def test_a_flood_is_understood_by_the_gateway_and_is_of_its_kind(name: str) -> None:
    session = ServerSession(0)
    data = b"".join(itertools.islice(FLOODS[name](7), 3))
    decisions = session.receive(data, mark=0, second=1)
    assert decisions
    assert not any(isinstance(decision, End) for decision in decisions)
    kinds = Counter(type(one.frame) if isinstance(one, Forward) else type(one) for one in decisions)
    if name in FORWARDED:
        assert kinds[FORWARDED[name]] == min(len(decisions), MAX_FRAMES_PER_S)
    else:
        assert set(kinds) == {Answer}


def test_empty_fragments_never_end_and_are_no_violation() -> None:
    session = ServerSession(0)
    assert session.receive(b"".join(itertools.islice(FLOODS["fragments"](7), 3)), mark=0, second=1) == []
    assert session.receive(b"\x80\x80\0\0\0\0", mark=0, second=2)[0] == End(Close.MALFORMED, "empty frame")


def test_sends_have_numbers_of_their_own() -> None:
    session = ServerSession(0)
    decisions = session.receive(b"".join(itertools.islice(FLOODS["sends"](7), 3)), mark=0, second=1)
    numbers = [one.frame.client_seq for one in decisions if isinstance(one, Forward) and isinstance(one.frame, Send)]
    assert numbers == list(range(BACKLOG + 1, BACKLOG + 97))


def test_a_row_compares_the_flood_with_the_calm_beside_it() -> None:
    calm, flooded = [n * 1_000_000 for n in range(1, 101)], [n * 1_100_000 for n in range(1, 101)]
    row = hostile.row(
        "syncs",
        Measured(calm_ns=calm, flood_ns=flooded, missing=1),
        Measured(sent_bytes=3_000_000, attempts=2),
        {"gateway": 1.0, "chat": 2.0, "sequencer": 3.0},
    )
    assert (row["p50 ms"], row["p99 ms"], row["p99 ms "]) == (50, 99, pytest.approx(108.9))
    assert row["p99 x"] == pytest.approx(1.1)
    assert (row["flood"], row["missing"], row["flood MB"], row["its connections"]) == ("syncs", 1, 3, 2)
    assert benches.table("costs", [row]).row_count == len(row) - 1
    with pytest.raises(HarnessError, match="the time is too short"):
        hostile.row("syncs", Measured(calm_ns=calm), Measured(), {})


def test_a_point_that_is_no_flood_is_refused(tmp_path: Path) -> None:
    request = benches.Request(directory=tmp_path, variant=None, duration_s=None, points=(99,), say=lambda _text: None)
    with pytest.raises(UsageError, match=r"from 1 to 12: watches, fragments"):
        hostile.run(request)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_beside_a_flood_no_message_is_missing(tmp_path: Path) -> None:
    rows = bench("hostile", tmp_path / "out", "--points", "2,10", "--duration", "6")
    assert [(row["flood"], row["missing"]) for row in rows] == [("fragments", 0), ("sends", 0)]
    assert all(row["flood MB"] > 0 for row in rows)
