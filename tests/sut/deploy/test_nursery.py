"""Processes that are forked: they are known by their name, cost little, come back, and need no nursery."""

import os
import signal

import psutil

from sut.deploy.supervise import state
from sut.deploy.supervise.nursery import NAME
from sut.deploy.supervise.reaper import members
from sut.deploy.system import System
from tests.kit.waits import wait_until
from tests.sut.deploy.conftest import Workshop

FORKED = "provider-1"
MOST_B = 12_000_000
"""Bytes of its own that a forked process may have; one that is started by itself has 30 million and more."""


def process(system: System) -> psutil.Process:
    pid = system.pid(FORKED)
    assert pid is not None
    return psutil.Process(pid)


def killed(system: System, pid: int) -> None:
    """Kill the process `pid`, and wait until the service has another one and is healthy."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: system.pid(FORKED) not in (None, pid))
    wait_until(lambda: system.problems() == {})


def nurseries(system: System) -> list[psutil.Process]:
    return [one for one, name in members(system.topology.run_id).items() if name == NAME]


def test_a_process_of_ours_is_forked_and_comes_back_with_and_without_a_nursery(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(FORKED))
    first = process(system)
    [nursery] = nurseries(system)
    environ = first.environ()
    assert {name: environ[name] for name in system.environment()} == system.environment()
    assert environ[state.SERVICE] == FORKED
    assert first.name() == FORKED
    parent = first.parent()
    assert parent is not None
    assert parent.pid == nursery.ppid(), "the supervisor waits for it"
    assert first.memory_full_info().uss < MOST_B
    assert first.num_fds() < 20
    assert first.cwd() == str(system.topology.path)

    killed(system, first.pid)
    assert system.state()[FORKED].ended == "SIGKILL"
    assert process(system).memory_full_info().uss < MOST_B

    nursery.kill()
    nursery.wait()
    second = process(system)
    assert second.is_running(), "it goes on"
    killed(system, second.pid)
    assert system.state()[FORKED].restarts == 2
    assert process(system).environ()[state.SERVICE] == FORKED
    assert process(system).memory_full_info().uss > MOST_B, "started by itself"

    system.stop()
    assert members(system.topology.run_id) == {}


def test_where_a_supervisor_is_killed_its_nursery_ends(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(FORKED))
    [nursery] = nurseries(system)
    os.kill(nursery.ppid(), signal.SIGKILL)
    nursery.wait(timeout=10)
    assert process(system).is_running()
