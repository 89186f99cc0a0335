"""The second task of a sequencer, because it knows members, rows and routes: receipts and typing.

Chat services pass it devices' reports; the API asks for a conversation's receipts.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from sut.ports import MessageStore
from sut.protocol.peer import Changed, Progress, ReadReceipts, ReceiptsOf, TypingIn
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.live import Live
from sut.services.sequencer.receipts import ReceiptDesk
from sut.services.sequencer.typing_relay import TypingRelay
from sut.services.visibility import known_to

if TYPE_CHECKING:
    from sut.services.sequencer.worker import PartitionWorker

SignalFrame = Progress | TypingIn | ReadReceipts | Changed


class Signals:
    """Handles receipts and typing of all partitions of a sequencer."""

    def __init__(
        self,
        workers: Mapping[int, PartitionWorker],
        store: MessageStore,
        emitter: Emitter,
        *,
        worker_of: Callable[[int], PartitionWorker | None],
    ) -> None:
        """`workers`: by partition. `worker_of`: returns the worker of a conversation; None: another process has it."""
        self._workers = workers
        self._worker_of = worker_of
        self._emitter = emitter
        self.receipts = ReceiptDesk(live=self._live, store=store, offer=emitter.offer)
        self.typing = TypingRelay(live=self._live, offer=emitter.offer)

    def _live(self, conv: int) -> Live | None:
        worker = self._worker_of(conv)
        return worker.live(conv) if worker is not None else None

    def on_frame(self, frame: SignalFrame) -> ReceiptsOf | None:
        """Process the frame. Returns its answer, or None if it has none."""
        match frame:
            case Progress(items):
                self.receipts.take(items)
            case TypingIn():
                self.typing.take(frame)
            case ReadReceipts(conv, user):
                return self._known(conv, user)
            case Changed():
                self.changed(frame)
        return None

    def changed(self, frame: Changed) -> None:
        """Ignore it: gateways handle presence. The variant eager_presence overrides this."""

    def _known(self, conv: int, user: int) -> ReceiptsOf:
        live = self._live(conv)
        items = tuple((by, kind, seq) for (by, kind), seq in self.receipts.told.of(conv).items())
        if live is None:
            return ReceiptsOf(hit=False, items=items)
        head, known = known_to(user, live.state.spans, live.state.head)
        return ReceiptsOf(hit=True, items=items, head=head, known=tuple(known))

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run as long as the sequencer does."""
        return [self.receipts.run(), self.receipts.run_cold(), self.receipts.save()]

    def stats(self) -> dict[str, float]:
        return {
            "receipts_taken": float(self.receipts.taken),
            "receipts_sent": float(self.receipts.sent),
            "receipts_dropped": float(self.receipts.dropped),
            "typing_told": float(self.typing.told),
            "typing_dropped": float(self.typing.dropped),
            "signals_dropped": float(self._emitter.signals_dropped),
        }
