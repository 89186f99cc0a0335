"""Faults on the container of a service, by the engine's own verbs: what `docker kill`, `pause`, `update`... do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.world import ContainerControl
from sut.deploy.errors import DeployError
from sut.deploy.kinds import KINDS
from sut.deploy.topology import Topology


class OnContainer(OnPeers):
    """A fault on the container of one of the system's own services, which answers a peer ping."""

    kind = "container"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every service of ours that runs in a container."""
        kinds = {kind.name for kind in KINDS.values() if kind.serves and not kind.server}
        return tuple(service.name for service in topology.services if service.image and service.kind in kinds)

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Say that only some profiles have containers."""
        return f"the processes of the {topology.profile} profile run without containers"

    @property
    def control(self) -> ContainerControl:
        """The control over containers."""
        assert self.world.containers is not None, "a target in a container, and no control over containers"
        return self.world.containers

    def act(self, verb: Callable[..., None], *arguments: object) -> None:
        """Call a verb of the control for the victim. Raises FaultError if the engine refuses."""
        try:
            verb(self.victim.name, *arguments)
        except DeployError as error:
            raise FaultError(str(error)) from None

    def status(self, wanted: str) -> Look:
        """Return a look: the engine says this of the container."""

        def look() -> Proof:
            try:
                seen = self.control.look(self.victim.name)
            except DeployError as error:
                return Proof(ok=False, text=str(error))
            code = f" with status {seen.exit_code}" if seen.status == "exited" else ""
            return Proof(seen.status == wanted, f"the engine says {seen.status}{code}")

        return look

    def repair(self) -> Iterable[Look]:
        """Return one look: the engine says that it runs."""
        return (self.status("running"),)
