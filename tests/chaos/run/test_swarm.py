"""What the runner says of a swarm that ended."""

from pathlib import Path

import msgspec

from chaos.run import experiment, rundir
from chaos.run.swarm import configure, last_line
from load import workload
from sut.deploy.topology import Service, Topology

START = "[2026-11-25 19:52:14,283] here/INFO/locust.main: Starting Locust 2.47.0\n"
ERROR = "[2026-11-25 19:52:16,213] here/ERROR/petrel: /x/swarm-1.bin: No space left on device\n"
END = "[2026-11-25 19:52:16,410] here/INFO/locust.runners: The last worker quit, stopping test.\n"


def test_the_error_is_told_and_not_what_locust_says_after_it(tmp_path: Path) -> None:
    log = tmp_path / "swarm.log"
    assert last_line(log) == "it has no log"
    log.touch()
    assert last_line(log) == "it wrote nothing"
    log.write_text(START + END)
    assert last_line(log) == END.strip()
    log.write_text(START + ERROR + END)
    assert last_line(log) == ERROR.strip()


def test_the_swarm_gets_every_knob_of_the_experiment(tmp_path: Path) -> None:
    api = Service(name="api-1", kind="api", ports={"http": 8080})
    topology = Topology(run_id="r", profile="embedded", dir="/", services=(api,), token_key="00", api_key="k")
    wanted = experiment.load("everything")
    changes = {"churn": 5, "silent_share": 0.25, "group_cap": 9, "groups_per_user": 0.5, "causal": False}
    wanted = msgspec.structs.replace(wanted, **changes)
    directory = rundir.make(tmp_path / "run")
    config = configure(wanted, topology, directory, 7)
    assert config == workload.load(directory.swarm)
    assert config.seed == 7
    for name in workload.Workload.__struct_fields__:
        assert getattr(config, name) == getattr(wanted, name), name
