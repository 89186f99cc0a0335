"""Takes over the partitions of another sequencer while its process is gone.

A restart takes seconds, and nobody should wait for it. So each sequencer has an understudy: the next one in the
topology. When the port of the other one refuses connections, its process is dead. Then the understudy starts workers
on its partitions, which recover from the last commit as a restart does. It ends them when the other one is as far as
they are, and LINGER_S later: by then chat services have their link to it again.

For a moment both may work on one partition. That does no harm: numbers are a function of the log (rule.py), the store
refuses what is older than it has, a commit never moves back, and devices ignore what comes twice. A sequencer that is
only silent keeps its partitions: it may still answer, and its answers would be older than those of the understudy.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from sut.ports import Unavailable
from sut.process.peer import PeerLink
from sut.protocol.peer import Applied, AskApplied, Poke
from sut.services.sequencer.worker import PartitionWorker
from sut.services.waiting import until_tick

LOOK_S: Final = 0.05
NEVER_SEEN_S: Final = 3.0
"""One that was never up since our own start may just be starting too. It gets this long."""
ANSWER_S: Final = 0.5
LINGER_S: Final = 1.0
"""Longer than any peer waits before it dials again (BACKOFF_S)."""

log = logging.getLogger("sequencer")


class Understudy:
    """Stands in for one other sequencer."""

    def __init__(
        self,
        other: PeerLink,
        partitions: Iterable[int],
        workers: dict[int, PartitionWorker],
        *,
        make: Callable[[int], PartitionWorker],
    ) -> None:
        """`workers`: those of this process by partition; the workers of a takeover are in it as long as it lasts.

        `make`: returns a worker for a partition.
        """
        self._other = other
        self._partitions = tuple(partitions)
        self._workers = workers
        self._make = make
        self._refused_since_s: float | None = None
        self.takeovers = 0

    @property
    def took_over(self) -> bool:
        """True while the partitions of the other one are worked on here."""
        return any(partition in self._workers for partition in self._partitions)

    async def run(self) -> None:
        """Take over whenever the other one is gone, for ever."""
        while True:
            await until_tick(LOOK_S)
            if self._is_gone(time.monotonic()):
                self._refused_since_s = None
                await self._stand_in()

    def _is_gone(self, now_s: float) -> bool:
        if not self._other.refused:
            self._refused_since_s = None
            return False
        if self._refused_since_s is None:
            self._refused_since_s = now_s
        return bool(self._other.ups) or now_s - self._refused_since_s > NEVER_SEEN_S

    async def _stand_in(self) -> None:
        log.warning("%s is gone: its partitions are taken over", self._other.target)
        self.takeovers += 1
        mine = {partition: self._make(partition) for partition in self._partitions}
        self._workers.update(mine)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(worker.run()) for worker in mine.values()]
                await self._until_back(mine)
                for task in tasks:
                    task.cancel()
        finally:
            for partition in mine:
                del self._workers[partition]
        log.info("%s is back and has its partitions again", self._other.target)

    async def _until_back(self, mine: dict[int, PartitionWorker]) -> None:
        """Return when the other one was as far as `mine` LINGER_S ago, and is still there."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._other.up:
                continue
            life, reached = self._other.ups, {partition: worker.position for partition, worker in mine.items()}
            try:
                answer = await self._other.ask(AskApplied(), ANSWER_S)
            except Unavailable:
                continue
            assert isinstance(answer, Applied)
            if all(answer.positions.get(partition, -1) >= offset for partition, offset in reached.items()):
                await self._linger(mine)
                if self._other.up and self._other.ups == life:
                    return

    async def _linger(self, mine: dict[int, PartitionWorker]) -> None:
        """Work on for LINGER_S. Poke both, because who appends pokes one of them, and either may be asked."""
        for _look in range(round(LINGER_S / LOOK_S)):
            for partition, worker in mine.items():
                worker.poke()
                self._other.send(Poke(partition))
            await asyncio.sleep(LOOK_S)
