"""Metrics are taken as they are: what can be read is used, what cannot is counted, nothing raises."""

from pathlib import Path

import pytest

from dashboards.report.metrics import MAX_POINTS, connections, read_usage, thinned
from dashboards.report.series import grid_over
from dashboards.report.usage import usage_table
from tests.dashboards.made_up import SECOND, START_NS, write_metrics


def write(run_dir: Path, *lines: str) -> None:
    (run_dir / "metrics").mkdir()
    (run_dir / "metrics" / "a.jsonl").write_text("\n".join(lines) + "\n")


def test_no_directory_is_no_usage(tmp_path: Path) -> None:
    usage = read_usage(tmp_path, origin_ns=0)
    assert usage.services == ()
    assert usage.unused_lines == 0


def test_cpu_is_a_rate_and_a_restart_is_a_gap(tmp_path: Path) -> None:
    def sample(second: int, cpu_s: float, more: str = "") -> str:
        return f'{{"t": {second * SECOND}, "service": "chat-1", "cpu_s": {cpu_s}{more}}}'

    write(
        tmp_path,
        sample(2, 1.5),
        sample(1, 1.0, ', "rss_bytes": 100, "stats": {"links": 4, "up": true}'),
        sample(3, 0.1, ', "rss_bytes": 80, "stats": {"links": 2, "x": null}'),
        sample(5, 0.3),
    )
    (service,) = read_usage(tmp_path, origin_ns=SECOND).services
    assert service.times_s == [0, 1, 2, 4]
    assert service.cpu_cores == [None, 0.5, None, pytest.approx(0.1)]
    assert service.peak_rss_bytes == 100
    assert {name: (number.peak, number.total) for name, number in service.numbers.items()} == {"links": (4, 6)}
    assert service.lives == 2


def test_a_counter_is_summed_over_lives_and_a_level_has_its_highest_value(tmp_path: Path) -> None:
    def sample(second: int, pid: int, appended: int, waiting: int, connections: int) -> str:
        stats = f'"appended": {appended}, "waiting_now": {waiting}, "connections": {connections}'
        return f'{{"t": {second * SECOND}, "service": "chat-2", "pid": {pid}, "stats": {{{stats}}}}}'

    write(
        tmp_path,
        *(sample(1, 7, 100, 9, 5), sample(2, 7, 2340, 3, 8), sample(4, 8, 0, 2, 0), sample(6, 8, 2516, 4, 6)),
    )  # fmt: skip
    usage = read_usage(tmp_path, origin_ns=0)
    grid = grid_over(origin_ns=0, first_ns=0, last_ns=6 * SECOND)
    (row,) = usage_table(usage, grid, bands=()).rows
    assert row.lives == "2 processes, one after the other"
    assert row.numbers.splitlines() == ["appended 4,856", "connections at most 8", "waiting_now at most 9"]
    assert connections(usage, grid) == {"chat-2": [None, 5, 8, None, 0, None, 6]}


def test_lines_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        '{"t": 1, "service": "chat-1", "unknown": [1, 2]}',
        "not json",
        '{"t": "soon", "service": "chat-1"}',
        "",
        '{"t": 2, "ser',
    )
    (tmp_path / "metrics" / "b.jsonl").write_bytes(b"\xff\xfe\x00\n")
    usage = read_usage(tmp_path, origin_ns=0)
    assert len(usage.services[0].times_s) == 1
    assert usage.unused_lines == 4


def test_thinning_keeps_the_peak(tmp_path: Path) -> None:
    write_metrics(tmp_path, services=("a", "b"), duration_s=1500)
    usage = read_usage(tmp_path, origin_ns=START_NS)
    assert len(usage.services) == 2
    for service in usage.services:
        points = thinned(service.times_s, service.rss_bytes)
        assert len(points) <= MAX_POINTS
        assert max(value for _, value in points if value is not None) == service.peak_rss_bytes
