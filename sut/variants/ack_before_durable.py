"""Known bad: the ACK goes out when the chat service has the record in memory; the log gets it half a second later.

The sender has its ACK, and online members see the message, while it exists in memory only. A SIGKILL of the chat
service loses what it had not appended. A SIGKILL of the sequencer gives the message another number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from sut.deploy.topology import Topology
from sut.ports import LogRecord, StoredMessage
from sut.protocol.peer import Early
from sut.services.chat.accept import Acceptor
from sut.services.chat.pieces import ChatPieces
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("acked_lost",)
DELAY_S = 0.5
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LogRecord).decode


class VolatileAcceptor(Acceptor):
    """Sends the sequencer records that are in memory only."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> None:
        """Send the records to the sequencer now, and append them to the log DELAY_S later."""
        for record in records:
            self._sequencer.send(Early(partition, _encode(record)))
        await asyncio.sleep(DELAY_S)
        await super().append(partition, records)


class EarlyWorker(PartitionWorker):
    """Numbers and answers records that the log does not have yet; stores them once it does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._early: dict[tuple[int, int, int], StoredMessage] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def early(self, record: bytes) -> None:
        """Apply a record from a chat service's memory, if its conversation is here."""
        decoded = _decode(record)
        live = self._live.get(decoded.conv)
        if live is None:
            return
        _, outcome = rule.apply(live.state, live.state.applied + 1, decoded, group_cap=self._group_cap)
        live.state.applied -= 1
        if isinstance(outcome, rule.Sequenced):
            key = (decoded.conv, decoded.device, decoded.client_seq)
            self._early[key] = outcome.message
            live.hot.append(outcome.message)
            self._answer(decoded, outcome)
            task = asyncio.create_task(self._emitter.notify(self._tell_members(live, decoded, outcome)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def settle(self, live: Live, record: LogRecord, outcome: rule.Outcome) -> Notification | None:
        """Store an early record when its copy arrives in the log, which the rule sees as a repeat."""
        key = (record.conv, record.device, record.client_seq)
        message = self._early.pop(key, None)
        if message is not None and isinstance(outcome, rule.Repeated):
            unstored = live.changed()
            unstored.rows.append(message)
            unstored.marks[record.device] = live.state.marks[record.device]
        return super().settle(live, record, outcome)


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=EarlyWorker)


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(acceptor=VolatileAcceptor)
