"""Waits until a sequencer has applied a record: only then does the sequencer notify the members.

Push reads the log by itself. While a sequencer is away, push would decide that a connected device needs no push. But
the device might leave before the sequencer is back and notifies it. So a record waits here for its sequencer, and its
partition waits too. The ack waits for the same; pushes are due from the ack on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from sut.ports import MessageLog, Unavailable
from sut.protocol.peer import Applied, AskApplied
from sut.services.covered import Way
from sut.services.waiting import until_tick

LOOK_S: Final = 0.15
ANSWER_S: Final = 1.0
SECOND_OPINION_S: Final = 2.0
"""Seconds without an answer until the log is asked for the sequencer's commit, which comes later."""

log = logging.getLogger("push")


class Progress:
    """The applied offsets of all partitions, asked for while a caller waits."""

    def __init__(self, links: Mapping[int, Way], message_log: MessageLog) -> None:
        """`links`: the way to each partition's sequencer; the caller starts and closes the links."""
        self._links = links
        self._log = message_log
        self._applied: dict[int, int] = dict.fromkeys(links, 0)
        self._waiting: dict[int, int] = {}
        self._moved = asyncio.Condition()

    async def wait(self, partition: int, offset: int) -> None:
        """Return when the sequencer has applied this record. One waiter per partition."""
        if self._applied[partition] >= offset:
            return
        self._waiting[partition] = offset
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: self._applied[partition] >= offset)
        finally:
            del self._waiting[partition]

    async def run(self) -> None:
        """Ask the sequencers while a caller waits for them, for ever."""
        links = {link.target: link for link in self._links.values()}
        async with asyncio.TaskGroup() as group:
            for link in links.values():
                group.create_task(self._ask(link))

    async def _ask(self, link: Way) -> None:
        loop = asyncio.get_running_loop()
        mine = [partition for partition, of in self._links.items() if of is link]
        answered_s = loop.time()
        while True:
            await until_tick(LOOK_S)
            if not any(partition in self._waiting for partition in mine):
                answered_s = loop.time()
                continue
            try:
                answer = await link.ask(AskApplied(), ANSWER_S)
                assert isinstance(answer, Applied)
                if not answer.positions.keys() >= set(mine):
                    raise Unavailable(f"nobody works on the partitions of {link.target}")
            except Unavailable as error:
                if loop.time() - answered_s > SECOND_OPINION_S:
                    log.warning("no answer from a sequencer: %s", error)
                    await self._ask_log(partition for partition in mine if partition in self._waiting)
                    answered_s = loop.time()
                continue
            answered_s = loop.time()
            await self._note({p: offset for p, offset in answer.positions.items() if p in mine})

    async def _ask_log(self, partitions: Iterable[int]) -> None:
        for partition in tuple(partitions):
            try:
                await self._note({partition: await self._log.committed(partition)})
            except Unavailable as error:
                log.warning("partition %d: %s", partition, error)

    async def _note(self, positions: Mapping[int, int]) -> None:
        for partition, offset in positions.items():
            self._applied[partition] = max(offset, self._applied[partition])
        async with self._moved:
            self._moved.notify_all()
