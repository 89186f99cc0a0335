"""Anti-patterns: what a result says, and measurements with real processes whose outcome does not depend on load."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from chaos.bench import counter, fanout, reconnect
from chaos.bench.antipatterns import catalogue, clocks, indexed, repeated, systems
from chaos.bench.antipatterns.pattern import Figure, NotRun, Pattern, Place, Result, measured, percentile
from chaos.bench.benches import Request
from chaos.cli import petrel as cli
from chaos.errors import HarnessError
from load.bench.crowd import Measured


def result(*figures: Figure, **changes: Any) -> Result:
    return Result(name="x", wrong="w", right="r", figures=figures, **changes)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (result(Figure(name="ms", wrong=9.0, right=3.0)), "3.0 times worse"),
        (result(Figure(name="1/s", wrong=3.0, right=9.0, better="high")), "3.0 times worse"),
        (result(Figure(name="ms", wrong=3.0, right=3.0)), "no difference here (1.00 times)"),
        (result(Figure(name="ms", wrong=3.0, right=0.0)), "wrong: the right one costs nothing here"),
        (result(Figure(name="n", wrong=3.0, right=1.0), anomaly="3 twice"), "wrong: 3 twice"),
        (result(not_run="no server"), "not run"),
    ],
)
def test_a_verdict_says_what_was_measured(found: Result, said: str) -> None:
    assert found.verdict == said


def test_a_pattern_that_cannot_be_measured_is_not_left_out(tmp_path: Path) -> None:
    def measure(_place: Place) -> Result:
        raise NotRun("no such server here")

    found = measured(Pattern(name="x", wrong="w", right="r", measure=measure), place(tmp_path))
    assert (found.not_run, found.figures) == ("no such server here", ())


def place(directory: Path) -> Place:
    return Place(directory=directory, say=lambda _text: None)


@pytest.mark.timeout(120)
def test_without_a_key_repeats_are_stored_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "MESSAGES", 200)
    found = repeated.PATTERN.measure(place(tmp_path))
    (figure,) = found.figures
    assert figure.wrong > 5
    assert figure.right == 0
    assert found.anomaly


@pytest.mark.timeout(120)
def test_by_wrong_clocks_answers_stand_before_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "MESSAGES", 40)
    found = clocks.PATTERN.measure(place(tmp_path))
    assert found.figures[0].wrong >= 5
    assert found.figures[0].right == 0


def test_what_counts_as_before_its_question() -> None:
    assert clocks.before_question([1, 2, 3, 4]) == 0
    assert clocks.before_question([2, 1, 3, 4]) == 1
    assert clocks.before_question([4, 3, 2, 1]) == 3


@pytest.mark.skipif(shutil.which("initdb") is None, reason="PostgreSQL is not on PATH")
@pytest.mark.timeout(280)
def test_a_secondary_index_costs_more_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "BEFORE", 20_000)
    monkeypatch.setattr(indexed, "ROWS", 4000)
    try:
        log, pages = indexed.PATTERN.measure(place(tmp_path)).figures
    except NotRun as why:
        pytest.skip(str(why))
    assert log.ratio is not None
    assert log.ratio > 1.2
    assert pages.right >= 10


@pytest.mark.parametrize(
    ("line", "pages"),
    [("  Buffers: shared hit=5 read=2", 7), ("  Buffers: shared hit=3", 3), ("  Heap Fetches: 0", 0)],
)
def test_pages_of_a_plan(line: str, pages: int) -> None:
    assert indexed._pages(line) == pages


def told(**changes: Any) -> Measured:
    fields = {
        "messages": 10,
        "deliveries": 40,
        "frames": {"NOTIFY": 40, "PAGE": 40},
        "bytes": {"NOTIFY": 760, "PAGE": 8000},
    }
    return Measured(**(fields | changes))


def test_rows_of_the_benches_become_results() -> None:
    """With the rows that the benches make: a column that is called otherwise would be found here."""
    usual, counted = told(messages=600, p50_ms=2.0, p99_ms=9.0), told(messages=60, p50_ms=20.0, p99_ms=90.0)
    found = systems.of_counter(counter.row(16, [usual], [counted], duration_s=6.0))
    assert found.verdict == "10.0 times worse"
    used = {"sequencer": 0.1, "chat": 0.2, "gateway": 0.3}
    once = fanout.row(5, told(), used, rows=10, stored=2500)
    copied = fanout.row(5, told(), used, rows=50, stored=12_500)
    assert systems.of_copies(copied, once).verdict == "5.0 times worse"
    large = fanout.row(5, told(), {kind: 8 * seconds for kind, seconds in used.items()}, rows=10, stored=2500)
    assert systems.of_sizes(once, large).verdict == "8.0 times worse"
    back = {"attempts": 9, "caught_up_max_s": 5.0, "handshakes_peak": 10}
    jittered, fixed = told(dials_peak=20, **back), told(dials_peak=100, **back)
    assert systems.of_returns(reconnect.row(100, jittered, fixed)).verdict == "5.0 times worse"


def test_a_bench_gets_a_run_directory_and_its_failure_is_a_row(tmp_path: Path) -> None:
    made = place(tmp_path / "one")

    def run(request: Request) -> list[dict[str, float]]:
        assert (request.directory / "logs").is_dir()
        assert (request.points, request.variant) == ((3,), "v")
        return [{"a": 1.0}]

    def fail(_request: Request) -> list[dict[str, float]]:
        raise HarnessError("the crowd did not get ready")

    assert systems._rows(made, run, (3,), variant="v") == [{"a": 1.0}]
    with pytest.raises(NotRun, match="the crowd did not get ready"):
        systems._rows(place(tmp_path / "two"), fail, (3,))


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([], 0.5) == 0.0


def test_all_twelve_are_there_and_each_says_both_choices() -> None:
    assert len(catalogue.PATTERNS) == 12
    assert all(pattern.wrong and pattern.right for pattern in catalogue.PATTERNS.values())


@pytest.mark.timeout(120)
def test_the_command_writes_a_table_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["antipatterns", "--only", "no_idempotency_key", "--out", str(out), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["antipatterns"]
    assert row["verdict"].endswith("of 2000 messages are there twice")
    assert json.loads((out / "antipatterns.json").read_text()) == [row]
    page = (out / "antipatterns.html").read_text(encoding="utf-8")
    assert "no idempotency key" in page
    assert 'role="img"' in page
    assert cli.main(["antipatterns", "--only", "polling_"]) == 64
    assert "perhaps polling" in capsys.readouterr().err


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_are_measured_within_fifteen_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["antipatterns", "--out", str(tmp_path / "out"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["antipatterns"]
    assert len(rows) == 12
    assert sum(row["seconds"] for row in rows) < 900
    assert [row["name"] for row in rows if row["not_run"]] in ([], ["secondary_index"])
