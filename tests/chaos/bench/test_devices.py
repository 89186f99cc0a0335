"""The bench of a swarm's memory: its arithmetic, and real swarms of both tiers against a small service."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos.bench import devices
from chaos.bench.benches import Request
from chaos.bench.devices import Held
from chaos.errors import HarnessError
from sut.deploy.topology import Service, Topology
from tests.load.conftest import MiniChat


@pytest.fixture
def system() -> Iterator[SimpleNamespace]:
    """What the bench needs of a system."""
    chat = MiniChat()
    chat.start()
    api = Service(name="api-1", kind="api", ports={"http": int(chat.api_url.rpartition(":")[2])})
    topology = Topology(run_id="r", profile="embedded", dir="/", services=(api,), token_key="00", api_key="key")
    yield SimpleNamespace(topology=topology, environment=dict)
    chat.stop()


def test_a_device_costs_what_each_one_more_adds() -> None:
    base = {"greenlet": Held(100, 90_000_000, 80_000_000, 1.0, 3), "fleet": Held(100, 70_000_000, 50_000_000, 1.0, 4)}
    held = {"greenlet": Held(1100, 140_000_000, 120_000_000, 5, 3), "fleet": Held(1100, 72_000_000, 51_000_000, 2, 4)}
    row = devices.row(held, base)
    assert row["devices"] == 1100
    assert (row["greenlet: KB a device"], row["fleet: KB a device"]) == (50.0, 2.0)
    assert (row["greenlet: private KB a device"], row["fleet: private KB a device"]) == (40.0, 1.0)
    assert row["greenlet / fleet"] == 25.0
    with pytest.raises(HarnessError, match="more than 100 devices"):
        devices.row(base, base)


@pytest.mark.parametrize("tier", ["greenlet", "fleet"])
def test_a_swarm_is_measured_while_all_of_it_is_online(tmp_path: Path, system: SimpleNamespace, tier: str) -> None:
    request = Request(directory=tmp_path, variant=None, duration_s=1.0, points=(), say=lambda _: None)
    held = devices._held(system, request, 40, tier)
    assert held.devices == 40
    assert held.processes == 3 + (tier == "fleet")
    assert 0 < held.private <= held.pss < 1e9
