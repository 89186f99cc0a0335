"""Sentinels that were not run for two seconds, with real ones: they say TILT, and a failover comes after it."""

import signal
import time
from pathlib import Path

import pytest

from sut.adapters.redis import admin
from sut.adapters.redis.tilt import DOWN_AFTER_MS, LINK_DOWN_FACTOR, TILT_S, tilt_problem
from tests.sut.adapters.redis_system import RedisSystem

STALL_S = 2.5


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_master_that_dies_during_tilt_is_replaced(tmp_path: Path) -> None:
    with RedisSystem(tmp_path, down_after_ms=DOWN_AFTER_MS) as system:
        for sentinel in system.sentinels:
            system.signal(sentinel, signal.SIGSTOP)
        time.sleep(STALL_S)
        system.signal(system.nodes[0], signal.SIGKILL)
        for sentinel in system.sentinels:
            system.signal(sentinel, signal.SIGCONT)
        time.sleep(1)
        views = {f"s-{n}": admin.sentinel_view(s, system.name, 1.0) for n, s in enumerate(system.sentinels)}
        assert all(view.tilt for view in views.values())
        assert "s-0, s-1, s-2 are in TILT" in (tilt_problem(views) or "")
        until_s = time.monotonic() + 3 * TILT_S
        while system.role(system.nodes[1]) != "master":
            assert time.monotonic() < until_s, "no failover"
            time.sleep(0.2)
        views = {f"s-{n}": admin.sentinel_view(s, system.name, 1.0) for n, s in enumerate(system.sentinels)}
        assert tilt_problem(views) is None


def test_the_down_after_time_lets_a_replica_outlast_a_tilt() -> None:
    """With 1.5 s the replica was without its master for too long when the Sentinels began to look: never promoted."""
    assert LINK_DOWN_FACTOR * DOWN_AFTER_MS / 1000 >= TILT_S + DOWN_AFTER_MS / 1000 + 2 * STALL_S
