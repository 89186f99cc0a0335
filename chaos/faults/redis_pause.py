"""The Redis master stops (SIGSTOP) until another one is promoted, and goes on believing that it is still the master.

Breaks: calls hang instead of failing; after the promotion there is a zombie with the old routes, and for the seconds
that Sentinel takes to turn it into a replica whoever asks it gets an old answer and whoever writes to it loses that.
Proven: the kernel has it in state T, a PING is not answered, another node says that it is master, and so do most of
the Sentinels.
Undone: SIGCONT. Healed when it runs, is a replica in step with the new master, and the Sentinels see it.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from chaos.errors import FaultError
from chaos.faults.fault import Proof, in_turn
from chaos.faults.proofs.observe import in_state, living_pid, redis_address, redis_pings
from chaos.faults.proofs.redis_master import RedisMasterFault
from chaos.faults.undo import Continue, Undo


class RedisPause(RedisMasterFault):
    """SIGSTOP of whoever is master, SIGCONT after the hold."""

    name = "redis_pause"
    heal_timeout_s = 45.0
    usual_heal_s = 22.0
    """Measured: 20 s. Sentinel looks every 10 s, and waits until it has claimed the wrong role for 8 s."""

    def arm(self) -> tuple[Undo, ...]:
        """Find the master, and a replica in step with it."""
        self._master = self.find_master()
        self._pid = living_pid(self.world, self._master.name)
        return (Continue(self._pid),)

    def inject(self) -> None:
        """SIGSTOP."""
        try:
            os.kill(self._pid, signal.SIGSTOP)
        except ProcessLookupError:
            raise FaultError(f"pid {self._pid} was gone before it could be stopped") from None

    def effective(self) -> Proof:
        """State T, no answer, and a successor that the Sentinels agree on."""
        address = redis_address(self._master)
        return in_turn(
            partial(in_state, self._pid, stopped=True),
            partial(redis_pings, address, f"of {self._master.name}", expected=False),
            partial(self.promoted, self._master),
        )

    def healed(self) -> Proof:
        """It runs, and is a replica in step, and every Sentinel is content."""
        return in_turn(partial(in_state, self._pid, stopped=False), partial(self.follows, self._master))
