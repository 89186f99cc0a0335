"""Starvation: one process gets a small share of the time, because a helper stops and continues it all the time.

`python -m chaos.faults.mechanisms.starve PID STOPPED_S RUNNING_S` is the helper. It ends with its standard input, so it
never outlives the runner, and it leaves the process running.
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
from types import MappingProxyType
from typing import Final

from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.observe import in_state, starved
from chaos.faults.proofs.proof import Look
from chaos.faults.undo import Continue, End, Undo
from sut.deploy.supervise.state import clock_offset_ns, environment

PERIOD_S: Final = 0.1


class Starve(OnPeers):
    """A process that stands still for `stopped` of each tenth of a second, as on a machine that others overload."""

    options = MappingProxyType({"stopped": 0.8})

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo steps: the helper ends, and the process continues."""
        self._pid = self.pids[self.target]
        self._helper = f"starve-{self.target}"
        return End(self._helper), Continue(self._pid)

    def inject(self) -> None:
        """Start the helper: in each PERIOD_S it stops the process for the chosen share, until it is ended."""
        stopped_s = PERIOD_S * min(0.95, self.chosen["stopped"])
        marks = environment(self.world.topology, clock_offset_ns(os.environ), self._helper)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(self._pid), str(stopped_s), str(PERIOD_S - stopped_s)],
            env={**os.environ, **marks},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def damage(self) -> Iterable[Look]:
        """Return one look: the kernel has the process stopped for most of the time, and running for some."""
        return (partial(starved, self._pid),)

    def repair(self) -> Iterable[Look]:
        """Return looks: the process is not stopped, and not again a little later."""
        self._process.wait()
        return (partial(in_state, self._pid, stopped=False),)


def main(arguments: list[str]) -> None:
    """Stop and continue the process until standard input ends, or the process does."""
    pid, stopped_s, running_s = int(arguments[0]), float(arguments[1]), float(arguments[2])
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, signal.SIGSTOP)
            over = bool(select.select([sys.stdin], [], [], stopped_s)[0])
            os.kill(pid, signal.SIGCONT)
            if over or select.select([sys.stdin], [], [], running_s)[0]:
                return


if __name__ == "__main__":
    main(sys.argv[1:])
