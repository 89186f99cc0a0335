"""The faults on containers, by the verbs of Docker Engine. Each may hit any service of ours that runs in one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import MappingProxyType

from chaos.faults.mechanisms.container import OnContainer
from chaos.faults.proofs.observe import gone, in_state, reborn, refuses, replaced
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.undo import Reconnect, Release, Undo, Unlimit, Unpause
from sut.deploy.docker.control import frozen, throttled
from sut.deploy.errors import DeployError
from sut.deploy.kinds import KINDS

MIB = 1 << 20


class _Ends(OnContainer):
    """The container ends, and starts again when the supervisor may start it."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: the supervisor may start it again."""
        return (Release(self.victim.name),)

    def damage(self) -> Iterable[Look]:
        """Return looks: the engine says so, the pid is gone, and nobody accepts connections."""
        pid = self.pids[self.victim.name]
        return self.status("exited"), partial(gone, pid), partial(refuses, self.victim)

    def repair(self) -> Iterable[Look]:
        """Return looks: the engine says that it runs, with a new pid."""
        return self.status("running"), partial(replaced, self.world, self.victim, self.pids[self.victim.name])

    def recovery(self) -> Iterable[Look]:
        """Return one look: it answers as a newer incarnation."""
        name = self.victim.name
        return (partial(reborn, self.world.topology, self.victim, self.incarnations[name]),)


class ContainerKill(_Ends):
    """The container of a service is killed, as by `docker kill`, and its address vanishes with it.

    Breaks: what the service had in memory is lost. Its address answers nothing at all: who dials it waits for a
    time-out, where a dead process on a living host refuses at once.
    Proven: the engine says exited, its pid is gone and nobody accepts connections at its address.
    Undone: the supervisor may start the container again.
    Healed: the engine says running, and a new pid answers a peer ping as a newer incarnation.
    """

    name = "container_kill"

    def inject(self) -> None:
        """Hold the service, then kill its container. Raises FaultError."""
        self.world.processes.hold(self.victim.name)
        self.act(self.control.kill)


class ContainerStop(_Ends):
    """The container of a service is stopped in order, as by `docker stop` before a machine is maintained.

    Breaks: the service has its time of grace to hand over; then its address vanishes. A gateway tells its devices to go
    elsewhere.
    Proven: the engine says exited, its pid is gone and nobody accepts connections at its address.
    Undone: the supervisor may start the container again.
    Healed: the engine says running, and a new pid answers a peer ping as a newer incarnation.
    """

    name = "container_stop"
    effect_timeout_s = 10.0

    def inject(self) -> None:
        """Hold the service, then stop its container. Raises FaultError."""
        self.world.processes.hold(self.victim.name)
        self.act(self.control.stop, KINDS[self.victim.kind].grace_s)


class ContainerRestart(_Ends):
    """The container of a service is restarted by the engine, as by `docker restart`.

    Breaks: the service hands over, is away for a second or two, and is back at the same address with nothing in memory.
    Proven: the old pid is gone, and the engine says that it runs with a new one.
    Undone: the supervisor, which was told not to interfere, watches it again.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "container_restart"
    effect_timeout_s = 10.0

    def inject(self) -> None:
        """Restart it while the supervisor is held, then let that watch the new life. Raises FaultError."""
        self.world.processes.hold(self.victim.name)
        self.act(self.control.restart, KINDS[self.victim.kind].grace_s)

    def damage(self) -> Iterable[Look]:
        """Return looks: the old pid is gone, and the engine says that it runs."""
        return partial(gone, self.pids[self.victim.name]), self.status("running")


class ContainerPause(OnContainer):
    """The container of a service is paused, as by `docker pause`: the kernel freezes all its processes.

    Breaks: its sockets stay open and silent. When it continues it believes that no time has passed.
    Proven: the engine says paused, the kernel has its control group frozen, and a peer ping gets no answer.
    Undone: it is unpaused.
    Healed: the engine says running, the kernel has it thawed, and the same incarnation answers a peer ping.
    """

    name = "container_pause"

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step."""
        return (Unpause(self.victim.name),)

    def inject(self) -> None:
        """Pause it. Raises FaultError."""
        self.act(self.control.pause)

    def damage(self) -> Iterable[Look]:
        """Return looks: the engine, the kernel, and silence."""
        return self.status("paused"), partial(self._frozen, expected=True), partial(self.silent, self.victim)

    def repair(self) -> Iterable[Look]:
        """Return looks: the engine and the kernel."""
        return self.status("running"), partial(self._frozen, expected=False)

    def _frozen(self, *, expected: bool) -> Proof:
        seen = frozen(self.pids[self.victim.name])
        return Proof(seen is expected, f"the kernel has its control group {'frozen' if seen else 'not frozen'}")


class ContainerDisconnect(OnContainer):
    """The container of a service is disconnected from all its networks, as by `docker network disconnect`.

    Breaks: the service lives and reaches nobody. Connections through it stay open on both sides and carry nothing;
    new ones find no way. It is told by nothing but silence.
    Proven: the engine lists no address of it, the same pid lives, and a peer ping gets no answer.
    Undone: it is connected again, under the addresses that it had.
    Healed: the engine lists all its addresses, and the same incarnation answers a peer ping.
    """

    name = "container_disconnect"

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step."""
        return (Reconnect(self.victim.name),)

    def inject(self) -> None:
        """Disconnect it. Raises FaultError."""
        self.act(self.control.disconnect)

    def damage(self) -> Iterable[Look]:
        """Return looks: no address, a living process, and silence."""
        alive = partial(in_state, self.pids[self.victim.name], stopped=False)
        return partial(self._has, ()), alive, partial(self.silent, self.victim)

    def repair(self) -> Iterable[Look]:
        """Return one look: all its addresses."""
        return (partial(self._has, tuple(self.victim.zones.values())),)

    def _has(self, wanted: tuple[str, ...]) -> Proof:
        try:
            seen = self.control.look(self.victim.name).addresses
        except DeployError as error:
            return Proof(ok=False, text=str(error))
        return Proof(sorted(seen) == sorted(wanted), f"the engine lists {', '.join(seen) or 'no address'}")


class ContainerMemory(_Ends):
    """The container of a service gets less memory than it needs, and the kernel ends it again and again.

    Breaks: the service dies while it starts, whenever the supervisor starts it. It is away until somebody gives it more
    memory; each attempt costs the machine a start.
    Proven: the engine says that the limit is in force and that its last process died for lack of memory. Nobody accepts
    connections at its address.
    Undone: the limit is what it was, and the supervisor may start it.
    Healed: the limit is gone, and a new pid answers a peer ping as a newer incarnation.
    """

    name = "container_memory"
    options = MappingProxyType({"limit_mb": 16.0})
    effect_timeout_s = 15.0
    usual_heal_s = 5.0
    """The supervisor waits up to 5 s before it starts a process again that died at once several times."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo steps."""
        return Unlimit(self.victim.name), Release(self.victim.name)

    def inject(self) -> None:
        """Kill it, set the limit, and let it start. Raises FaultError.

        A running container cannot be given less than it uses: the engine refuses that.
        """
        self.world.processes.hold(self.victim.name)
        self.act(self.control.kill)
        self.act(self.control.limit_memory, self._limit)
        self.world.processes.release(self.victim.name)

    def damage(self) -> Iterable[Look]:
        """Return looks: the engine says why it died, and nobody accepts connections."""
        return self._starved, partial(refuses, self.victim)

    def repair(self) -> Iterable[Look]:
        """Return looks: no such limit, and a new pid."""
        return self._unlimited, *super().repair()

    @property
    def _limit(self) -> int:
        return round(self.chosen["limit_mb"] * MIB)

    def _starved(self) -> Proof:
        try:
            seen = self.control.look(self.victim.name)
        except DeployError as error:
            return Proof(ok=False, text=str(error))
        text = f"memory limit {seen.memory_limit / MIB:.0f} MiB; " + ("killed for lack of memory" if
                seen.out_of_memory else "not killed for lack of memory")  # fmt: skip
        return Proof(seen.memory_limit == self._limit and seen.out_of_memory, text)

    def _unlimited(self) -> Proof:
        try:
            seen = self.control.look(self.victim.name)
        except DeployError as error:
            return Proof(ok=False, text=str(error))
        return Proof(seen.memory_limit > self._limit, f"memory limit {seen.memory_limit / MIB:.0f} MiB")


class ContainerCpu(OnContainer):
    """The container of a service gets a small share of one core, and the kernel makes it wait for the rest.

    Breaks: everything that the service does takes many times as long; queues before it grow. It is slow and not dead,
    so health checks may pass. What it must do in time (a lease, a heartbeat) may be late.
    Proven: the engine says that the limit is in force. The kernel counts more and more periods in which it had to wait.
    Undone: the limit is taken off.
    Healed: the engine says that there is no limit and the count stands still. The same incarnation answers a peer ping.
    """

    name = "container_cpu"
    options = MappingProxyType({"cores": 0.02})
    effect_timeout_s = 10.0
    _before = _last = 0
    """The count before the injection, and at the last look."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step."""
        return (Unlimit(self.victim.name),)

    def inject(self) -> None:
        """Set the limit. Raises FaultError."""
        self._before = self._last = throttled(self.pids[self.victim.name]) or 0
        self.act(self.control.limit_cpu, self.chosen["cores"])

    def damage(self) -> Iterable[Look]:
        """Return looks: the limit, and the count."""
        return partial(self._limited, expected=True), self._waits

    def repair(self) -> Iterable[Look]:
        """Return looks: no limit, and a count that stands still."""
        return partial(self._limited, expected=False), self._waits_no_more

    def _limited(self, *, expected: bool) -> Proof:
        try:
            share = self.control.look(self.victim.name).cpu_share
        except DeployError as error:
            return Proof(ok=False, text=str(error))
        return Proof((share > 0) is expected, f"CPU limit {share:g} cores" if share else "no CPU limit")

    def _waits(self) -> Proof:
        count = throttled(self.pids[self.victim.name])
        if count is None:
            return Proof(ok=False, text="the kernel shows no count of waits for CPU")
        self._last = count
        waited = count - self._before
        return Proof(waited > 0, f"it had to wait for CPU in {waited} periods")

    def _waits_no_more(self) -> Proof:
        before = self._last
        self._waits()
        return Proof(self._last == before, f"and in {self._last - before} since")
