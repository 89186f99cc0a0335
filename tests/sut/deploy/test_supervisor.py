"""Supervision of real processes: restarts, holds, the order and the bound of a stop."""

import os
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from sut.deploy.errors import DeployError
from sut.deploy.probes import probe
from sut.deploy.supervise import state
from sut.deploy.supervise.state import Files
from sut.deploy.supervise.supervisor import NICE
from sut.deploy.system import System
from sut.deploy.topology import Topology, TopologyError
from tests.kit.waits import wait_until
from tests.sut.deploy.conftest import Workshop, alter

PAIR = ("gateway-1", "chat-1")


def supervisor_log(topology: Topology) -> list[str]:
    return Files(topology.path).log(state.SUPERVISOR).read_text().splitlines()


def kill(system: System, name: str) -> int:
    pid = system.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def test_what_dies_is_restarted_and_what_is_held_is_not(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(*PAIR))
    assert system.problems() == {}
    first = kill(system, "chat-1")
    wait_until(lambda: system.pid("chat-1") not in (None, first))
    assert system.state()["chat-1"].restarts == 1
    assert system.state()["chat-1"].ended == "SIGKILL"
    assert system.state()["gateway-1"].restarts == 0

    system.hold("gateway-1")
    second = kill(system, "gateway-1")
    wait_until(lambda: system.state()["gateway-1"].status == "held")
    assert system.pid("gateway-1") is None
    assert system.state()["gateway-1"].pid == 0
    assert "gateway-1" in system.problems(0.1)
    # Another process has time to die and come back; the held one does not come back in that time.
    third = kill(system, "chat-1")
    wait_until(lambda: system.pid("chat-1") not in (None, third))
    assert system.state()["gateway-1"].status == "held"
    system.release("gateway-1")
    system.release("gateway-1")
    wait_until(lambda: system.pid("gateway-1") not in (None, second))
    wait_until(lambda: system.problems() == {})
    system.stop()
    assert not system.running


def test_every_process_of_a_run_names_its_run_its_clock_and_itself(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(*PAIR))
    marks = system.environment()
    pid = system.pid("chat-1")
    assert pid is not None
    environ = psutil.Process(pid).environ()
    assert {name: environ[name] for name in marks} == marks
    assert environ[state.SERVICE] == "chat-1"
    assert int(marks[state.CLOCK_OFFSET]) > 0
    assert System.attach(system.topology.path).pid("chat-1") == pid
    assert psutil.Process(pid).num_fds() < 20  # neither the reserved ports nor the lock
    with pytest.raises(TopologyError, match="no service 'chat-9'"):
        system.pid("chat-9")


def test_whoever_measures_a_system_goes_before_it(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology("chat-1"))
    pid = system.pid("chat-1")
    assert pid is not None
    assert psutil.Process(pid).nice() == min(19, psutil.Process().nice() + NICE)
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists() and (written := group.read_text().split()):
        assert written[-1] == str(NICE), "Linux weighs the session, not the process"
        ours = Path("/proc/self/autogroup").read_text().split()  # empty where this session has no group of its own
        assert ours[:1] != written[:1], "and this one keeps its weight"


def test_a_pid_that_is_somebody_elses_now_is_not_taken_for_ours(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(*PAIR))
    system.stop()
    stale = state.SystemState(
        run_id=system.topology.run_id,
        clock_offset_ns=0,
        supervisor_pid=os.getpid(),
        processes={"chat-1": state.ProcessState(status="running", pid=os.getpid())},
    )
    state.write_state(system.topology.path, stale)
    assert system.pid("chat-1") is None
    assert system.state()["chat-1"].status == "stopped"
    system.stop()  # must not signal this test


def stubborn(topology: Topology, name: str) -> Topology:
    return alter(topology, name, command=(*topology.service(name).command, "stubborn"))


def test_a_hangup_of_the_supervisor_is_a_stop(workshop: Workshop) -> None:
    """It would end without a word, and leave processes that nobody watches."""
    topology = workshop.topology(*PAIR)
    system = workshop.boot(topology)
    pids = [system.pid(service.name) or 0 for service in topology.services]
    now = state.read_state(topology.path)
    assert now is not None
    os.kill(now.supervisor_pid, signal.SIGHUP)
    wait_until(lambda: not system.running, timeout_s=10)
    assert [probe.process_state(pid) for pid in pids] == [None] * len(pids)
    assert {process.status for process in system.state().values()} == {"stopped"}


def test_a_stop_goes_in_order_and_ends_stopped_and_stubborn_processes(workshop: Workshop) -> None:
    topology = stubborn(workshop.topology(*PAIR, "chat-2", "sequencer-1"), "chat-2")
    system = workshop.boot(topology)
    pids = {service.name: system.pid(service.name) or 0 for service in topology.services}
    for name in ("gateway-1", "sequencer-1"):
        os.kill(pids[name], signal.SIGSTOP)
    begun_s = time.monotonic()
    assert system.stop() == ()  # the supervisor needed no help
    assert 1.5 < time.monotonic() - begun_s < 4.0
    assert [probe.process_state(pid) for pid in pids.values()] == [None] * 4
    asked_ns = {
        name: int(Files(topology.path).log(name).read_text().split()[1])
        for name in ("gateway-1", "chat-1", "chat-2", "sequencer-1")
    }
    assert asked_ns["gateway-1"] < min(asked_ns["chat-1"], asked_ns["chat-2"])
    assert max(asked_ns["chat-1"], asked_ns["chat-2"]) < asked_ns["sequencer-1"]
    killed = [line for line in supervisor_log(topology) if "killed" in line]
    assert len(killed) == 1
    assert "chat-2: did not end within 2.0 s, killed" in killed[0]


def test_a_second_sigterm_does_not_wait(workshop: Workshop) -> None:
    system = workshop.boot(stubborn(workshop.topology(*PAIR), "gateway-1"))
    now = state.read_state(system.topology.path)
    assert now is not None
    os.kill(now.supervisor_pid, signal.SIGTERM)
    wait_until(lambda: "stopping" in Files(system.topology.path).log("gateway-1").read_text())
    os.kill(now.supervisor_pid, signal.SIGTERM)
    wait_until(lambda: not system.running, timeout_s=1.0)
    assert system.stop() == ()


def test_a_service_that_dies_at_once_again_and_again_is_restarted_ever_more_slowly(workshop: Workshop) -> None:
    topology = workshop.topology(*PAIR)
    system = workshop.boot(topology)
    peer = topology.service("chat-1").ports["peer"]
    system.hold("chat-1")
    kill(system, "chat-1")
    wait_until(lambda: system.state()["chat-1"].status == "held")

    def waits() -> list[float]:
        return [float(line.split()[-2]) for line in supervisor_log(topology) if "chat-1: ended: exit 1" in line]

    with socket.create_server(("127.0.0.1", peer)):
        system.release("chat-1")
        wait_until(lambda: any(later > earlier for earlier, later in pairwise(waits())), timeout_s=30.0)
    last = Files(topology.path).log("chat-1").read_text().splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{peer}" in last
    wait_until(lambda: "chat-1" not in system.problems(0.1))  # the port is free again
    system.stop()


def orphaned(workshop: Workshop) -> System:
    """A pair of services whose supervisor was killed."""
    system = workshop.boot(workshop.topology(*PAIR))
    now = state.read_state(system.topology.path)
    assert now is not None
    os.kill(now.supervisor_pid, signal.SIGKILL)
    wait_until(lambda: not system.running)
    return system


def test_a_supervisor_that_was_killed_leaves_orphans_that_stop_ends(workshop: Workshop) -> None:
    system = orphaned(workshop)
    pids = [system.pid(name) for name in PAIR]
    assert None not in pids
    assert set(system.stop()) == set(PAIR)
    assert [probe.process_state(pid or 0) for pid in pids] == [None, None]


def test_a_start_ends_what_a_killed_supervisor_left_in_the_directory(workshop: Workshop) -> None:
    orphaned(workshop)
    second = workshop.boot(workshop.topology("chat-1"))
    assert "ended 2 processes that an earlier system left" in workshop.progress
    assert second.problems() == {}
    second.stop()


def test_state_that_is_none_is_refused_with_its_name(tmp_path: Path) -> None:
    assert state.read_state(tmp_path) is None
    (tmp_path / "state.json").write_text('{"run_id": 1}')
    with pytest.raises(DeployError, match=r"state\.json: .*run_id"):
        state.read_state(tmp_path)
