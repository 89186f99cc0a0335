"""A restore: a store is put back to a copy that is some seconds old, while all that use it are stopped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil

from chaos.errors import FaultError
from chaos.faults.mechanisms.crash import PeerStop
from chaos.faults.proofs.proof import Look, Proof, every, in_turn
from chaos.faults.undo import Discard, Release, Undo
from chaos.faults.world import own
from sut.adapters.shared.site import DATA
from sut.adapters.sqlite import backup
from sut.deploy.supervise.reaper import members
from sut.deploy.topology import Service, ServiceKind, Topology

USERS_OF_THE_STORE: Final[tuple[ServiceKind, ...]] = ("api", "chat", "sequencer", "push")
COPY: Final = "older-store"


class Restore(PeerStop):
    """The message store of all services, in SQLite, is put back to a copy; the log is not.

    The copy is taken when the fault begins. When it is `behind_s` old and lacks messages, the services are stopped in
    order, and the copy takes the place of the store. They stay away until the heal.
    """

    effect_timeout_s = 45.0
    """`behind_s`, then the longest grace of the services, which a busy machine doubles, and the files."""
    heal_timeout_s = 60.0
    """The services start, and read the log again from where the copy ends."""
    options = MappingProxyType({"behind_s": 5.0})

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return one target, all sequencers, if they keep the store in files that the harness may replace."""
        kept_here = topology.store == "sqlite" and not topology.contained
        return (f"{cls.kind}s",) if kept_here and own(topology, cls.kind) else ()

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Return the reason: whose files these are."""
        if topology.store != "sqlite":
            return f"the store is on {topology.store}, and a copy of several nodes is no moment of the log"
        if topology.contained:
            return "the files of the store belong to its containers"
        return super().why_no_target(topology)

    def find_victims(self) -> tuple[Service, ...]:
        """Return all services that have the store open."""
        return tuple(service for kind in USERS_OF_THE_STORE for service in own(self.world.topology, kind))

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo steps: the copy goes, where it is left, and the services may start."""
        self._store = self.world.topology.path / DATA
        self._copy = self.world.topology.path / COPY
        self._gone: frozenset[backup.Row] = frozenset()
        self._stopped = False
        return Discard(COPY), *(Release(service.name) for service in self.victims)

    def inject(self) -> None:
        """Take the copy. Raises FaultError."""
        try:
            backup.copy(self._store, self._copy)
            self._copied = backup.rows(self._copy)
        except OSError as error:
            raise FaultError(f"the store could not be copied: {error}") from None
        self._taken_s = time.monotonic()

    def effective(self) -> Proof:
        """Observe how far it is, and take the next step: old enough, stopped, put back. Raises FaultError."""
        if not self._stopped:
            if not (old := self._old_enough()):
                return old
            super().inject()
            self._stopped = True
        if not (down := in_turn(*self.damage())):
            return down
        if not self._gone:
            if not (closed := _closed(self._store, self.world.topology.run_id)):
                return closed
            self._put_back()
        return every((down, self._held(expected=False)))

    def repair(self) -> Iterable[Look]:
        """Return looks: all are replaced, and every message that was gone is stored again as it was."""
        return (*super().repair(), partial(self._held, expected=True))

    def _old_enough(self) -> Proof:
        age_s = time.monotonic() - self._taken_s
        lacks = len(backup.rows(self._store) - self._copied) if age_s >= self.chosen["behind_s"] else 0
        return Proof(lacks > 0, f"the copy is {age_s:.1f} s old and lacks {lacks} messages")

    def _put_back(self) -> None:
        try:
            gone = frozenset(backup.rows(self._store) - self._copied)
            backup.put_back(self._copy, self._store)
        except OSError as error:
            raise FaultError(f"the store could not be put back: {error}") from None
        self._gone = gone

    def _held(self, *, expected: bool) -> Proof:
        """Observe whether the store has all, or none, of the messages that the copy lacked."""
        if not self._gone:
            return Proof(ok=False, text="the store was not put back")
        try:
            there = len(self._gone & backup.rows(self._store))
        except OSError as error:
            return Proof(ok=False, text=str(error))
        text = f"of {len(self._gone)} messages that the copy lacks the store has {there}"
        return Proof(there == (len(self._gone) if expected else 0), text)


def _closed(directory: Path, run_id: str) -> Proof:
    """Observe that no process of the run has a file of the store open: it would go on with the newer one."""
    for process, name in members(run_id).items():
        try:
            files = [Path(file.path) for file in process.open_files()]
        except psutil.Error:
            continue
        if any(path.parent == directory and path.name.startswith(("store-", "memberships")) for path in files):
            return Proof(ok=False, text=f"{name} still has the store open")
    return Proof(ok=True, text="no process has the store open")
