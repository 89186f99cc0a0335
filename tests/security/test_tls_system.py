"""The whole system by TLS: its health, its API, and the swarm with the system's own authority."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from load import workload as configs
from load.history.events import Event
from load.history.ledger import LedgerReader
from load.history.writer import HistoryTail
from load.plan import plan as plans
from load.plan import population as populations
from sut.deploy import system
from sut.deploy.topology import Settings
from tests.kit.waits import wait_until
from tests.security.people import Answer, Api

pytestmark = [pytest.mark.long, pytest.mark.slow]

USERS, SECONDS = 12, 4.0


def test_a_swarm_talks_to_a_system_by_tls(tmp_path: Path) -> None:
    started = system.start(
        profile="embedded",
        directory=tmp_path / "system",
        settings=Settings(heartbeat_s=5),
        tls=True,
        on_progress=lambda _line: None,
    )
    try:
        topology = started.topology
        assert topology.api_url.startswith("https://")
        urls = Api(topology).call("GET", "/v1/discovery")["gateways"]
        assert [url.partition(":")[0] for url in urls] == ["wss"] * len(topology.of_kind("gateway"))
        with pytest.raises(Answer, match="401"):
            Api(topology).call("POST", "/v1/tokens", "wrong", {"devices": [{"user": 1, "device": 1}]})
        config = configs.by_hand(topology.path, seed=3, users=USERS, duration_s=SECONDS, rate_per_s=20.0)
        assert topology.tls is not None
        assert config.ca_file == topology.tls.ca
        # Nobody is removed, so nobody may be refused; and all run throughout.
        config = msgspec.structs.replace(config, churn=0, users=USERS, at_start=0, rate_per_s=20.0)
        swarm_json = Path(config.history_dir).parent / "swarm.json"
        configs.save(config, swarm_json)
        population = populations.make(config)
        sends = [send for its in plans.make(config, population).devices.values() for send in its.sends]
        planned = len(sends)
        due = sum(len(population.conversations[send.conversation].members) - 1 for send in sends)
        environment = os.environ | {"PETREL_SWARM": str(swarm_json)}
        locustfile = Path(configs.__file__).parent / "locustfile.py"
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "-u", str(USERS), "-r", "100"]
        with (tmp_path / "locust.log").open("wb") as log:
            swarm = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
            try:
                wait_until(config.history.exists, timeout_s=20.0)
                reader = LedgerReader(config.history)
                wait_until(lambda: reader.update().sends == planned and reader.all_drained(), timeout_s=40.0)
            finally:
                swarm.terminate()
                swarm.wait(20)
        records = [record for path in config.history.glob("*.bin") for record in HistoryTail(path).read()]
        counts = {event: sum(record[7] == event for record in records) for event in Event}
        assert (counts[Event.SEND], counts[Event.ACK], counts[Event.NACK]) == (planned, planned, 0), counts
        shows = [(record[2], record[4]) for record in records if record[7] == Event.SHOW]
        shown = [(device, msg) for device, msg in shows if msg >> 32 != device]
        assert len(shown) == len(set(shown)) == due > planned
        readback = subprocess.run(
            [sys.executable, "-m", "load.readback.readback", str(swarm_json)],
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert readback.returncode == 0, readback.stderr
    finally:
        started.stop(15.0)
