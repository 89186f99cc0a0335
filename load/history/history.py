"""The old name of two modules, for who still imports it: load/history/events.py and load/history/writer.py."""

from load.history.events import DTYPE, RECORD, RECORD_SIZE, Event, Explanation, Record, message_id
from load.history.writer import (
    CHUNK_BYTES,
    HistoryError,
    HistoryTail,
    HistoryWriter,
    clock_offset_ns,
    machine_id,
    now_ns,
)

__all__ = [
    "CHUNK_BYTES", "DTYPE", "RECORD", "RECORD_SIZE", "Event", "Explanation", "HistoryError", "HistoryTail",
    "HistoryWriter", "Record", "clock_offset_ns", "machine_id", "message_id", "now_ns",
]  # fmt: skip
