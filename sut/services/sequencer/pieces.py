"""The parts of a sequencer that a known-bad variant can replace. The defaults are the right design."""

from __future__ import annotations

from dataclasses import dataclass

from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.signals import Signals
from sut.services.sequencer.understudy import Understudy
from sut.services.sequencer.worker import PartitionWorker


@dataclass(frozen=True, kw_only=True, slots=True)
class SequencerPieces:
    worker: type[PartitionWorker] = PartitionWorker
    """Numbers the records of one partition."""
    signals: type[Signals] = Signals
    """Handles receipts and typing."""
    emitter: type[Emitter] = Emitter
    """Brings answers and notifications to the gateways."""
    understudy: type[Understudy] = Understudy
    """Takes over from another sequencer that is gone."""
