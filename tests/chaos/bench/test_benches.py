"""Benches: what a group message costs with real processes, counted at the client and in the store; the arithmetic."""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import chaos.bench
from chaos.bench import NAMES, benches
from chaos.bench import fanout as bench_fanout
from chaos.errors import HarnessError, UsageError
from chaos.run import whole
from load.bench.crowd import Measured
from load.bench.phone import _whole


def bench(name: str, out: Path, *arguments: str, status: int | None = 0) -> list[dict[str, Any]]:
    """The rows of a bench. `status`: its exit status; None: whatever its verdict is."""
    command = [sys.executable, "-m", "chaos.cli.petrel", "bench", name, "--json", "--out", str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=290)
    assert done.returncode in ((0, 1, 2) if status is None else (status,)), done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == json.loads((out / "bench.json").read_text())
    rows: list[dict[str, Any]] = told["rows"]
    return rows


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_group_of_500_online_is_one_body_stored_and_16_bytes_a_notification(tmp_path: Path) -> None:
    """Five messages a second; all 499 others get each one. How soon is for the check of latency to judge."""
    (row,) = bench("fanout", tmp_path / "out", "--points", "500", "--duration", "10")
    assert (row["members"], row["messages"], row["missing"]) == (500, 50, 0)
    assert (row["rows/message"], row["stored B/message"]) == (1, 250)
    # A busy gateway confirms some too late, and gets them again by another way.
    assert (row["notify B/member"], row["with frame"]) == pytest.approx((16, 19), rel=0.05)
    assert 0 < row["p50 ms"] <= row["p99 ms"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_copy_for_each_member_shows_in_rows_and_bytes(tmp_path: Path) -> None:
    (row,) = bench("fanout", tmp_path / "out", "--points", "50", "--duration", "4", "--variant", "body_per_member")
    assert row["missing"] == 0
    assert (row["rows/message"], row["stored B/message"]) == (51, 51 * 250)
    assert row["notify B/member"] == 0
    assert row["body B/member"] > 250


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_in_a_storm_nobody_is_refused_and_nothing_is_missing(tmp_path: Path) -> None:
    (row,) = bench("storm", tmp_path / "out", "--points", "200", "--duration", "8")
    assert (row["missing"], row["not back"], row["refused"], row["refused "]) == (0, 0, 0, 0)
    assert row["pages"] >= 200 * 20


def test_an_interrupted_bench_is_an_error_of_the_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(whole.deploy, "start", start)
    request = benches.Request(directory=tmp_path, variant=None, duration_s=None, points=(), say=lambda _text: None)
    with pytest.raises(HarnessError, match="interrupted"), benches.running(request):
        pass


def measured(**changes: Any) -> Measured:
    told = {
        "messages": 10,
        "deliveries": 40,
        "frames": {"NOTIFY": 40, "PAGE": 40},
        "bytes": {"NOTIFY": 760, "PAGE": 8000},
    }
    return Measured(**(told | changes))


def test_a_row_counts_what_each_member_and_each_message_cost() -> None:
    used = {"sequencer": 0.1, "chat": 0.2, "gateway": 0.3}
    row = bench_fanout.row(5, measured(), used, rows=10, stored=2500)
    assert (row["notify B/member"], row["with frame"], row["body B/member"]) == (16, 19, 200)
    assert (row["rows/message"], row["stored B/message"]) == (1, 250)
    assert [round(row[f"{kind} ms"]) for kind in used] == [10, 20, 30]
    with pytest.raises(HarnessError):
        bench_fanout.row(5, measured(messages=0), used, rows=0, stored=0)


def test_the_table_has_a_column_a_point() -> None:
    console = Console(width=60, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(benches.table("costs", [{"members": 2, "p50 ms": 1.25}, {"members": 500, "p50 ms": 12_345.6}]))
    lines = [line.split() for line in console.export_text().splitlines()[1:]]
    assert lines == [["members", "2", "500"], ["p50", "ms", "1.25", "12,345.6"]]


def test_every_bench_is_there_and_others_are_refused() -> None:
    assert all(benches.find(name).summary for name in NAMES)
    modules = [info.name for info in pkgutil.iter_modules(chaos.bench.__path__, "chaos.bench.")]
    assert {f"chaos.bench.{name}" for name in NAMES} == {
        module for module in modules if hasattr(importlib.import_module(module), "BENCH")
    }
    with pytest.raises(UsageError):
        benches.find("nothing")


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_message_is_cut_from_the_stream_when_all_of_it_is_there(size: int) -> None:
    head = bytes([size]) if size < 126 else b"\x7e" + (size & 0xFFFF).to_bytes(2, "big")
    if size >= 1 << 16:
        head = b"\x7f" + size.to_bytes(8, "big")
    data = bytearray(b"xx\x82" + head + bytes(size))
    assert _whole(data, 2) == (size, 1 + len(head))
    assert all(_whole(data[:cut], 2) is None for cut in (2, 3, 2 + len(head), len(data) - 1))
