"""The kit itself: the pace shows what else runs on the cores, and waits end when they should."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from tests.kit import pace, waits


@pytest.fixture
def at_pace(monkeypatch: pytest.MonkeyPatch):
    """Sets the pace of this session, on a machine without load."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))

    def at(factor: float) -> None:
        monkeypatch.setattr(pace, "measured", lambda: factor)

    return at


def test_programs_beside_slow_the_pace_down() -> None:
    """With four busy programs a core, the work takes more than 1.5 times as long as just before."""
    before = pace.measure()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.3)
        assert pace.measure() > min(1.5 * before, pace.HIGHEST - 0.1)
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("told", "factor"), [("0.2", 1.0), ("3", 3.0), ("90", 8.0)])
def test_the_pace_is_bounded_and_handed_to_workers(monkeypatch: pytest.MonkeyPatch, told: str, factor: float) -> None:
    monkeypatch.setenv(pace.VARIABLE, told)
    assert pace.measured.__wrapped__() == factor


@pytest.mark.parametrize(("load_per_core", "factor"), [(0.5, 2.0), (3.0, 3.0), (30.0, 8.0)])
def test_deadlines_follow_the_pace_or_the_load_whichever_is_more(
    at_pace, monkeypatch: pytest.MonkeyPatch, load_per_core: float, factor: float
) -> None:
    at_pace(2.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (load_per_core * (os.cpu_count() or 1), 0.0, 0.0))
    assert pace.scaled(5.0) == 5.0 * factor


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_wait_fails_at_its_scaled_deadline_and_tells_why(at_pace, factor: float) -> None:
    at_pace(factor)
    for wait in (
        lambda: waits.wait_until(lambda: False, 0.2, told=lambda: "the screen is empty"),
        lambda: asyncio.run(waits.until(lambda: False, 0.2, told=lambda: "the screen is empty")),
    ):
        began_s = time.monotonic()
        with pytest.raises(AssertionError, match=r"not within 0\.2 s .*:\nthe screen is empty"):
            wait()
        assert time.monotonic() - began_s >= 0.2 * factor


def test_a_wait_ends_when_its_condition_holds(at_pace) -> None:
    at_pace(1.0)
    holds_at_s = time.monotonic() + 0.1
    waits.wait_until(lambda: time.monotonic() > holds_at_s)
    assert asyncio.run(waits.until(lambda: True)) < 0.1
