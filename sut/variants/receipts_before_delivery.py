"""Known bad: "delivered" is said when the notification goes out, to save the devices' own word.

The other members may be offline, or their gateway may die before it has written a byte: two ticks on a message that
nobody has seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sut.ports import Kind, LogRecord
from sut.protocol.frames import encode
from sut.protocol.signals import Receipt, ReceiptKind, Receipts
from sut.services.sequencer import rule
from sut.services.sequencer.emitter import Notification
from sut.services.sequencer.live import Live
from sut.services.sequencer.receipts import MAX_ENTRIES
from sut.services.sequencer.worker import PartitionWorker

if TYPE_CHECKING:
    from sut.deploy.topology import Topology


class HastyReceipts(PartitionWorker):
    """Promises delivery along with the notification."""

    def settle(self, live: Live, record: LogRecord, outcome: rule.Outcome) -> Notification | None:
        """Tell the author at once that everybody has it."""
        notification = super().settle(live, record, outcome)
        if isinstance(outcome, rule.Sequenced) and record.kind == Kind.MESSAGE:
            others = [user for user in live.state.members() if user != record.user][:MAX_ENTRIES]
            said = tuple(Receipt(record.conv, outcome.message.seq, ReceiptKind.DELIVERED, user) for user in others)
            self._emitter.offer(Notification(encode(Receipts(said)), (record.user,), 0, signal=True))
        return notification


def worker_class(_topology: Topology) -> type[PartitionWorker]:
    """The sequencers'."""
    return HastyReceipts
