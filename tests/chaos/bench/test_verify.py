"""Large histories for the bench of the verdict: whole, valid, and judged in a process of its own."""

from pathlib import Path

import pytest

from chaos.bench import histories, verify
from chaos.bench.histories import Shape
from chaos.errors import HarnessError
from chaos.verdict.history.history import load_run
from chaos.verdict.judge import judge, judge_run
from chaos.verdict.model import encode


@pytest.mark.parametrize("shape", verify.SHAPES.values(), ids=verify.SHAPES)
def test_a_written_history_is_valid_however_it_is_judged(shape, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(histories, "CHUNK_EVENTS", 7_000)
    events = histories.write(shape(20_000), tmp_path)
    history = load_run(tmp_path)
    assert history.events.height == events
    assert 18_000 < events < 22_000
    expected = judge(history, by_blocks=False)
    assert expected.verdict == "valid"
    assert expected.counts.deliveries == expected.counts.deliveries_expected > 5_000
    assert encode(judge_run(tmp_path)) == encode(expected)


def test_a_judge_is_measured_and_its_history_removed(tmp_path: Path) -> None:
    shape = Shape(conversations=3, members=4, messages=20)
    judged = verify._measure(shape, tmp_path / "run")
    assert judged.events == sum((4 * 2, 3 * 4, 3 * 20 * (2 + 3 + 3 + 4), 3 * 4))  # people, members, messages, ends
    assert judged.wall_s > 0 < judged.cpu_s
    assert judged.peak_mb > 10
    assert not (tmp_path / "run").exists()


def test_only_a_valid_verdict_is_measured(tmp_path: Path) -> None:
    histories.write(Shape(conversations=1, members=3, messages=5), tmp_path)
    (tmp_path / "history" / "readback-1.bin").unlink()
    with pytest.raises(HarnessError, match="was judged unknown"):
        verify._judge(tmp_path, 1)
