"""Known bad: a message counts as delivered to everybody when its notification goes out, seen or not.

The other members may be offline, or their gateway may die before it has written a byte. The author sees two ticks on a
message that nobody has seen.
"""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.ports import Kind, LogRecord
from sut.protocol.frames import encode
from sut.protocol.signals import Receipt, ReceiptKind, Receipts
from sut.services.sequencer import rule
from sut.services.sequencer.live import Live
from sut.services.sequencer.notification import Notification
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.receipts import MAX_ENTRIES
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("receipts",)
SHOWN_IN = "everything"


class HastyReceipts(PartitionWorker):
    """Sends receipts of delivery together with the notification."""

    def settle(self, live: Live, record: LogRecord, outcome: rule.Outcome) -> Notification | None:
        """Tell the author at once that everybody has received the message."""
        notification = super().settle(live, record, outcome)
        if isinstance(outcome, rule.Sequenced) and record.kind == Kind.MESSAGE:
            others = [user for user in live.state.members() if user != record.user][:MAX_ENTRIES]
            said = tuple(Receipt(record.conv, outcome.message.seq, ReceiptKind.DELIVERED, user) for user in others)
            self._emitter.offer(Notification(encode(Receipts(said)), (record.user,), 0, signal=True))
        return notification


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=HastyReceipts)
