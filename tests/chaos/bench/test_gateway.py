"""The bench of a gateway's connections: its arithmetic."""

import pytest

from chaos.bench import gateway
from chaos.bench.gateway import KINDS, Look
from chaos.errors import HarnessError


def look(at_s: float, *, cpu_s: float, pss: int, frames: float) -> Look:
    return Look(at_s, dict.fromkeys(KINDS, cpu_s), dict.fromkeys(KINDS, pss), frames)


def test_figures_are_of_what_a_device_adds() -> None:
    idle = look(0, cpu_s=0.5, pss=50_000_000, frames=100)
    before = look(10, cpu_s=0.6, pss=50_000_000, frames=100)
    online = look(20, cpu_s=1.2, pss=51_000_000, frames=1_100)
    rested = look(30, cpu_s=1.4, pss=52_000_000, frames=3_100)
    row = gateway.row(1000, 4.0, idle=idle, before=before, online=online, rested=rested)
    assert (row["devices"], row["connected/s"]) == (1000, 250)
    assert row["gateway: us to connect"] == row["redis: us to connect"] == pytest.approx(500)
    assert row["gateway: B a device"] == 2000
    assert row["heartbeats/s"] == 200
    assert row["gateway: us a heartbeat"] == pytest.approx(50)
    with pytest.raises(HarnessError, match="no heartbeat came"):
        gateway.row(1000, 4.0, idle=idle, before=before, online=online, rested=online)
