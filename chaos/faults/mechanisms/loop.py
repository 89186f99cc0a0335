"""A crash loop: a helper kills one process again each time it is back, until it is ended.

`python -P -m chaos.faults.mechanisms.loop RUN_DIR SERVICE SERVES_S` is the helper. It ends with its standard input, so
it never outlives the runner. Nothing holds the process: the supervisor restarts it, as it does whatever died.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import ANSWER_S, alive_for, gone, peer_address, reborn
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.undo import End, Undo
from sut.deploy.probes import probe
from sut.deploy.supervise.state import clock_offset_ns, environment
from sut.deploy.system import System

LOOK_S: Final = 0.05
STEADY_S: Final = 3.0
"""Seconds for which it must have served before it counts as healed: longer than it ever served in the loop."""
DEATHS: Final = 3
"""Deaths that must be seen: the first, and two of processes that had come back."""


class CrashLoop(OnPeers):
    """SIGKILL of one service, and of each process that takes its place once that has served for `serves_s`."""

    effect_timeout_s = 30.0
    """Three deaths: two restarts, of up to 5 s each on a busy machine, and the time to serve."""
    heal_timeout_s = 40.0
    usual_heal_s = STEADY_S + 1.0
    options = MappingProxyType({"serves_s": 1.0})

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: the helper ends."""
        self._helper = f"loop-{self.target}"
        self._lives = dict.fromkeys([self.pids[self.target]])
        return (End(self._helper),)

    def inject(self) -> None:
        """Start the helper. It kills at once, and then again and again."""
        topology = self.world.topology
        marks = environment(topology, clock_offset_ns(os.environ), self._helper)
        serves_s = min(STEADY_S / 2, self.chosen["serves_s"])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, topology.dir, self.target, str(serves_s)],
            env={**os.environ, **marks},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def damage(self) -> Iterable[Look]:
        """Return one look: processes of the service were seen, and are gone."""
        return (self._dying,)

    def repair(self) -> Iterable[Look]:
        """Return looks: the process is one that the helper did not kill, and has served for some seconds."""
        self._process.wait()
        return (partial(alive_for, self.world, self.victim, STEADY_S),)

    def recovery(self) -> Iterable[Look]:
        """Return one look: it answers as a newer incarnation."""
        return (partial(reborn, self.world.topology, self.victim, self.incarnations[self.target]),)

    def _dying(self) -> Proof:
        if (pid := self.world.processes.pid(self.target)) is not None:
            self._lives[pid] = None
        dead = [str(pid) for pid in self._lives if gone(pid)]
        text = f"{len(dead)} processes of {self.target} are gone: {', '.join(dead)}"
        if self._process.poll() is not None:
            return Proof(ok=False, text=f"{text}; and no more are killed")
        return Proof(len(dead) >= DEATHS, text)


def main(arguments: list[str]) -> None:
    """Kill the service's process now, and each later one once it has served, until standard input ends."""
    system, name, serves_s = System.attach(Path(arguments[0])), arguments[1], float(arguments[2])
    address, secret = peer_address(system.topology.service(name)), system.topology.peer_secret
    killed = None
    while not _ended(LOOK_S):
        pid = system.pid(name)
        if pid is None or pid == killed:
            continue
        if killed is not None and (probe.peer_ping(address, ANSWER_S, secret) is None or _ended(serves_s)):
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed = pid


def _ended(within_s: float) -> bool:
    """Wait for the end of standard input; return whether it came."""
    return bool(select.select([sys.stdin], [], [], within_s)[0])


if __name__ == "__main__":
    main(sys.argv[1:])
