"""Known bad: each member of a group gets a copy of each body, stored and sent: correct, but expensive.

This is fan-out on write. Nothing is lost and nothing is wrong, so no check of a history fails. The bench shows the
price: rows and bytes stored grow with the group, and a whole body is sent where sixteen bytes would do.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from sut.deploy.topology import Topology
from sut.ports import ConversationWrite, LogRecord
from sut.protocol.frames import Message, encode
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.rule import DIRECT, Outcome
from sut.services.sequencer.worker import PartitionWorker

MEASURED_BY = "fanout"


def inbox_of(conv: int, user: int) -> int:
    """Return the id that stores a member's copies of a conversation. The API never gives this id."""
    digest = hashlib.blake2b(f"inbox:{conv}:{user}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 or 1


class CopyingWorker(PartitionWorker):
    """Writes and sends each body once per member."""

    def settle(self, live: Live, record: LogRecord, outcome: Outcome) -> Notification | None:
        """Settle as the sequencer does, but notify a group with the whole message."""
        notification = super().settle(live, record, outcome)
        message = getattr(outcome, "message", None)
        if notification is None or message is None or live.state.kind == DIRECT:
            return notification
        frame = encode(
            Message(
                live.state.conv,
                message.seq,
                message.flags,
                message.user,
                message.device,
                message.client_seq,
                message.body,
            )
        )
        return Notification(frame, notification.users, notification.except_device)

    def take_writes(self) -> list[ConversationWrite]:
        """Return the normal writes, and a copy for the inbox of each member of a group."""
        writes = super().take_writes()
        copies = [
            ConversationWrite(replace(write.row, conv=inbox_of(write.row.conv, user)), write.messages, (), ())
            for write in writes
            if write.messages and write.row.kind != DIRECT and (live := self.live(write.row.conv)) is not None
            for user in live.state.members()
        ]
        return writes + copies


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=CopyingWorker)
