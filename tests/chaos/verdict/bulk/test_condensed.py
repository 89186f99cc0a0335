"""Judged in blocks and judged row by row: the same verdict, byte for byte, however the history is cut."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import chaos.verdict.judge
from chaos.verdict.bulk import condensed, pairs, run
from chaos.verdict.bulk.condensed import Condensed, InMemory, Source, condense
from chaos.verdict.checks import QUICK
from chaos.verdict.history.history import History, load_jsonl, load_run
from chaos.verdict.judge import judge, judge_run
from chaos.verdict.model import encode
from load.history.events import Event
from load.history.writer import HistoryWriter
from tests.chaos.verdict.cases import DIRECTORY
from tests.chaos.verdict.help import Line, history_of
from tests.chaos.verdict.mutations import MUTATIONS
from tests.chaos.verdict.test_load import write_native
from tests.chaos.verdict.world import S, World

NAMES = sorted(path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*.jsonl"))
HISTORIES = [pytest.param(name, marks=[pytest.mark.long] if n % 5 else []) for n, name in enumerate(NAMES)]
CUTS = [1, 7, 64, 1 << 16]
SEEDS = [seed if seed < 4 else pytest.param(seed, marks=pytest.mark.long) for seed in range(12)]


def cut(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let blocks, chunks and parts have this many rows."""
    for module, names in (
        (condensed, ("BLOCK_ROWS", "PART_ROWS")),
        (pairs, ("CHUNK_PAIRS",)),
        (run, ("BLOCK_RECORDS",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, size)


def row_by_row(history: History) -> bytes:
    return encode(judge(history, by_blocks=False))


def check_both_ways(monkeypatch: pytest.MonkeyPatch, load: Callable[[], History]) -> None:
    """Check that both ways give the same verdict. What cannot be condensed is judged row by row either way."""
    made: list[Condensed | None] = []

    def kept(source: Source) -> Condensed | None:
        made.append(condense(source))
        return made[-1]

    monkeypatch.setattr(chaos.verdict.judge, "condense", kept)
    by_blocks = encode(judge(load()))
    if made[0] is not None:
        assert by_blocks == row_by_row(load())


def lines_of(seed: int, *, mutations: int) -> list[Line]:
    choice = random.Random(seed)
    world = World(choice, users=3 + seed % 4, convs=1 + seed % 3, sends=40, faults=seed % 3, own=bool(seed % 2))
    for name in choice.sample(sorted(MUTATIONS), mutations):
        MUTATIONS[name][1](world.lines, choice)
    return world.lines


@pytest.mark.parametrize("name", HISTORIES)
def test_every_hand_made_history_gets_the_same_verdict(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 7)
    check_both_ways(monkeypatch, lambda: load_jsonl(DIRECTORY / name))


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_every_anomaly_gets_the_same_verdict(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(random.Random(1), users=4, convs=2, sends=40, faults=1)
    MUTATIONS[mutation][1](world.lines, random.Random(2))
    cut(monkeypatch, 64)
    check_both_ways(monkeypatch, lambda: history_of(world.lines))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_size_of_the_blocks_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(seed, mutations=seed % 3)
    expected = row_by_row(history_of(lines))
    for size in CUTS:
        cut(monkeypatch, size)
        assert encode(judge(history_of(lines))) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_gets_the_same_verdict_from_its_files(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_native(tmp_path, lines_of(seed, mutations=seed % 2))
    expected = row_by_row(load_run(tmp_path))
    for size in CUTS:
        cut(monkeypatch, size)
        assert encode(judge_run(tmp_path)) == expected


def test_a_clean_history_is_never_looked_at_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in lines_of(3, mutations=0) if line["e"] != "receipt"]
    write_native(tmp_path, lines)
    assert judge(load_run(tmp_path)).verdict == "valid"

    def fail(*_: object) -> History:
        raise AssertionError("the whole history was loaded")

    monkeypatch.setattr(chaos.verdict.judge, "load_run", fail)
    assert judge_run(tmp_path).verdict == "valid"


def test_most_worlds_are_condensed() -> None:
    condensed_ = [condense(InMemory(history_of(lines_of(seed, mutations=0)))) for seed in range(12)]
    assert sum(bulk is not None for bulk in condensed_) >= 8


@pytest.mark.parametrize("check", sorted(QUICK))
def test_a_check_without_a_quick_reading_sees_every_row(check: str, tmp_path: Path, monkeypatch) -> None:
    write_native(tmp_path, lines_of(5, mutations=0))
    expected = row_by_row(load_run(tmp_path))
    monkeypatch.delitem(QUICK, check)
    assert encode(judge_run(tmp_path)) == expected


@pytest.mark.parametrize("spoil", [lambda data: data[:-4], lambda data: data + bytes(64), lambda data: data[:-64]])
def test_a_file_that_is_not_whole_is_judged_as_a_whole(spoil, tmp_path: Path) -> None:
    write_native(tmp_path, lines_of(2, mutations=0))
    path = tmp_path / "history" / "worker-0.bin"
    path.write_bytes(spoil(path.read_bytes()))
    assert encode(judge_run(tmp_path)) == row_by_row(load_run(tmp_path))


def test_a_message_that_was_read_twice_counts_once(tmp_path: Path) -> None:
    lines = lines_of(4, mutations=0)
    lines += [line for line in lines if line["e"] in ("wire", "final")]
    write_native(tmp_path, lines)
    assert encode(judge_run(tmp_path)) == row_by_row(load_run(tmp_path))


def test_a_huge_number_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    writer = HistoryWriter(tmp_path / "history" / "worker-1.bin")
    writer.append(Event.DEVICE, t=1, device=1, msg=1)
    writer.append(Event.MEMBER, t=1, conv=1, msg=1, arg=1)
    writer.append(Event.SEND, t=S, device=1, conv=1, msg=1, hash_=1)
    writer.append(Event.ACK, t=S, device=1, conv=1, msg=1, seq=1 << 60)
    writer.append(Event.FINAL, t=2 * S, device=1, conv=1, msg=1, hash_=1, seq=1 << 60)
    writer.append(Event.FINAL_DONE, t=2 * S, device=1, conv=1, seq=1 << 60)
    writer.close()
    assert encode(judge_run(tmp_path)) == row_by_row(load_run(tmp_path))
