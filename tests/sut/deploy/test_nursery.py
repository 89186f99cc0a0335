"""Processes that are forked: they are known by their name, cost little, come back, and need no nursery."""

import os
import signal
import subprocess
import sys
from typing import Final

import psutil

from sut.deploy.supervise import state
from sut.deploy.supervise.nursery import NAME
from sut.deploy.supervise.reaper import members
from sut.deploy.system import System
from sut.deploy.topology import save
from tests.kit.pace import scaled
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


SLOW: Final = """
import asyncio, os, signal, sys
from pathlib import Path
import psutil
from sut.deploy.supervise import state
from sut.deploy.supervise.nursery import Nursery, _end_unknown
from sut.deploy.topology import load

async def main():
    path = Path(sys.argv[1])
    topology = load(path)
    environ = {**os.environ, **state.environment(topology, 0)}
    late = Nursery(topology, path, environ)
    await late.start()
    known = await late.fork("provider-1")
    known.send_signal(signal.SIGSTOP)  # it cannot end by itself
    _end_unknown("provider-1")
    ended = await known.wait()
    assert ended == -signal.SIGKILL, ended
    await late.stop()
    stopped = Nursery(topology, path, environ, answer_s=0.5)
    await stopped.start()
    psutil.Process().children()[0].suspend()
    assert await stopped.fork("provider-1") is None
    assert await stopped.fork("provider-1") is None
    assert psutil.Process().children() == []

asyncio.run(main())
"""


def test_a_nursery_that_does_not_answer_is_ended_with_what_it_may_have_forked(workshop: Workshop) -> None:
    topology = workshop.topology(FORKED)
    state.Files(topology.path).prepare()
    ended = subprocess.run(
        [sys.executable, "-c", SLOW, str(save(topology))],
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(30),
    )
    assert ended.returncode == 0, ended.stderr


def test_where_a_supervisor_is_killed_its_nursery_ends(workshop: Workshop) -> None:
    system = workshop.boot(workshop.topology(FORKED))
    [nursery] = nurseries(system)
    os.kill(nursery.ppid(), signal.SIGKILL)
    nursery.wait(timeout=10)
    assert process(system).is_running()
