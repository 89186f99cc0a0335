"""The faults on the server of another chat system (chaos/targets). Our own profiles have none."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from chaos.faults.mechanisms.crash import Crash
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.mechanisms.services import OnServices
from chaos.faults.proofs.observe import serves
from chaos.faults.proofs.proof import Look, Proof, must
from sut.deploy.topology import Service


class _Server(OnServices):
    """The server of another system: all that is known of it is that its port answers HTTP."""

    kind = "other"
    heal_timeout_s = 60.0

    def look_before(self) -> None:
        """Check that the server answers. Raises FaultError."""
        must(serves(self.victim, expected=True))

    def silent(self, victim: Service) -> Proof:
        """Observe whether a request stays unanswered."""
        return serves(victim, expected=False)

    def recovery(self) -> Iterable[Look]:
        """Return one look: the server answers."""
        return (partial(serves, self.victim, expected=True),)


class ServerCrash(_Server, Crash):
    """The server of another chat system dies by SIGKILL, and what it held in memory is lost.

    Breaks: every device is cut off at once. What the server had acknowledged and not yet written is gone.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: it has a new pid and answers HTTP.
    """

    name = "server_crash"


class ServerPause(_Server, Pause):
    """The server of another chat system stops for a while (SIGSTOP) and continues as if no time had passed.

    Breaks: its connections stay open and silent. A client that waits without a limit hangs, and one that gives up does
    not know what became of its message.
    Proven: the kernel has it in state T and it does not answer HTTP.
    Undone: SIGCONT.
    Healed: it is no longer in state T and answers HTTP.
    """

    name = "server_pause"
