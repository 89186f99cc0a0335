"""Known bad: a repeated SEND is recognised for 0.3 seconds only; one that comes later becomes a new message.

The window works as a cache with a time to live would. It looks like plenty where an answer takes ten milliseconds. But
a gateway hands on again what a chat service took in the second before it died, and a device repeats a SEND after two
seconds when its ACK was lost. By then the sequencer has forgotten the message and gives it a second number. Both
numbers are acknowledged, stored and shown. The numbers are no longer a function of the log either: the clock decides
what is a repeat.
"""

from __future__ import annotations

import time
from typing import Any, Final

from sut.deploy.topology import Topology
from sut.ports import Kind, LogRecord
from sut.services.sequencer.pieces import SequencerPieces
from sut.services.sequencer.worker import PartitionWorker

CAUGHT_BY = ("duplicates",)
WINDOW_S: Final = 0.3
MAX_REMEMBERED: Final = 100_000


class ForgetfulWorker(PartitionWorker):
    """Drops a sender's mark when a repeat comes later than the window."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taken: dict[tuple[int, int], tuple[int, float]] = {}
        """(conversation, device) -> (its last client_seq, monotonic s of its arrival)."""

    async def number(self, record: LogRecord) -> int | None:
        """Return None, for the rule to decide; removes the mark of a message that is older than the window."""
        live = self._live.get(record.conv)
        if record.kind == Kind.MESSAGE and live is not None:
            key, now_s = (record.conv, record.device), time.monotonic()
            client_seq, at_s = self._taken.get(key, (record.client_seq, 0.0))
            if client_seq == record.client_seq and now_s - at_s > WINDOW_S:
                live.state.marks.pop(record.device, None)
            if client_seq != record.client_seq or now_s - at_s > WINDOW_S:
                self._taken.pop(key, None)
                self._taken[key] = (record.client_seq, now_s)
            while len(self._taken) > MAX_REMEMBERED:
                del self._taken[next(iter(self._taken))]
        return None


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(worker=ForgetfulWorker)
