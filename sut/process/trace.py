"""Stamps of where a traced message is, and when: DIR/metrics/trace-SERVICE.bin, one file a process name.

A stamp is one record of RECORD_SIZE bytes with the time of the run's clock, so stamps of different processes of one
machine can be subtracted. START opens each life of a process and says on which machine it runs. Stamps explain a run
and judge nothing: what a killed process had not written yet is lost, and so is what does not fit.

What it costs is at `Trace`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from pathlib import Path
from typing import Final

from sut.deploy.topology import Topology
from sut.protocol.tracing import announced, is_traced

RECORD: Final = struct.Struct("<qQQQQB7x")
"""t i64 (ns of the run's clock), device u64, client_seq u64, conv u64, seq u64, hop u8, padding; 0: not known here."""
RECORD_SIZE: Final = 48
assert RECORD.size == RECORD_SIZE
FLUSH_S: Final = 0.1
"""How long a stamp waits to be written: what SIGKILL costs."""
MAX_BUFFERED: Final = 1 << 20
"""Bytes that wait while the disk does not take any; beyond it stamps are dropped."""
MAX_FILE: Final = 128 << 20
"""Bytes of one file, all lives together (2.8 million stamps); then tracing ends. A system may be up for weeks."""

log = logging.getLogger("trace")


class Hop(IntEnum):
    """What has just happened, and which fields tell of what."""

    START = 1  # of the process; device = machine (see machine_id), client_seq = every
    OPENED = 2  # gateway: `device` connected
    HANDED_ON = 3  # gateway: took this SEND from its socket and gave it to a chat service
    TAKEN = 4  # chat service: has it from the gateway
    APPENDING = 5  # chat service: now begins the append that has it
    DURABLE = 6  # chat service: that append has returned
    APPLIED = 7  # sequencer: has given it conv and seq, and tells the members next
    TOLD = 8  # gateway: now writes NOTIFY (conv, seq) to the members that it has
    SENT = 9  # gateway: now writes MESSAGE (conv, seq) to the recipients that it has


class Trace:
    """One process's stamps. Belongs to one event loop; nothing here waits for the disk or raises.

    Cost, one message in 16 traced, measured by tests/sut/process/trace_cost.py as CPU of our own code: 0.1 us for
    the gateway that takes a message, 0.1 us for its chat service, 0.2 us for its sequencer; for each gateway that
    tells members 0.9 us for a group message (every NOTIFY is stamped, once a gateway), 0.4 us for a direct one. A
    quick run spends 0.8 ms CPU of gateways, 1.2 ms of chat services and 1.3 ms of sequencers a message, system calls
    and idling included.
    """

    def __init__(self, path: Path | None, *, every: int, offset_ns: int = 0) -> None:
        """Trace one message in `every` to this file; without a path, or when it cannot be opened, nothing is traced."""
        self.every = max(0, every) if path is not None else 0
        """0: off. Callers on a hot path look here before they ask for more."""
        self.dropped = 0
        """Stamps that did not fit."""
        self._offset_ns = offset_ns
        self._path = path
        self._buffer = bytearray()
        self._flush_at: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._fd = -1
        self._size = 0
        if path is not None and self.every:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            size = os.fstat(self._fd).st_size
            self._size = size - size % RECORD_SIZE  # an earlier life was killed while it wrote
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            self._give_up(f"{path}: {error.strerror}")
            return
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="trace")
        self.stamp(Hop.START, device=machine_id(), client_seq=self.every)

    def message(self, hop: int, device: int, client_seq: int, conv: int = 0, seq: int = 0) -> None:
        """Stamp this message if it is one of the traced."""
        if is_traced(device, client_seq, self.every):
            self.stamp(hop, device=device, client_seq=client_seq, conv=conv, seq=seq)

    def now_ns(self) -> int:
        """Time of the run's clock; 0 when nothing is traced."""
        return time.monotonic_ns() + self._offset_ns if self.every else 0

    def delivered(self, frame: bytes, at_ns: int) -> None:
        """Stamp that this frame was written to those it is for from `at_ns` on, if it announces a traced message.

        A device may have read it before the writing is over, so that time has to be taken before.
        """
        place = announced(frame, self.every)
        if place is not None:
            conv, seq, has_body = place
            self.stamp(Hop.SENT if has_body else Hop.TOLD, conv=conv, seq=seq, at_ns=at_ns)

    def stamp(
        self, hop: int, *, device: int = 0, client_seq: int = 0, conv: int = 0, seq: int = 0, at_ns: int = 0
    ) -> None:
        """Stamp with the time it is now, or was."""
        buffer = self._buffer
        if not self.every:
            return
        if len(buffer) >= MAX_BUFFERED:
            self.dropped += 1
            return
        t_ns = at_ns or time.monotonic_ns() + self._offset_ns
        buffer += RECORD.pack(t_ns, device, client_seq, conv, seq, hop)
        if self._flush_at is None:
            self._flush_at = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flush_at = None
        if self._writing is not None or self._writer is None or not self._buffer:
            return  # _written comes back to what a write under way leaves
        data, self._buffer = bytes(self._buffer), bytearray()
        if self._size + len(data) > MAX_FILE:
            self._give_up(f"{self._path} has grown to {self._size >> 20} MiB")
            return
        self._size += len(data)
        self._writing = asyncio.get_running_loop().run_in_executor(self._writer, _write, self._fd, data)
        self._writing.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[None]) -> None:
        self._writing = None
        if not done.cancelled() and (error := done.exception()) is not None:
            self._give_up(f"{self._path}: {error}")
        elif self._buffer and self._flush_at is None:
            self._flush_at = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _give_up(self, why: str) -> None:
        """The system goes on without."""
        log.warning("no more tracing: %s", why)
        self.every = 0

    async def close(self) -> None:
        """Write what waits and close the file. Nothing is traced after it."""
        if self._flush_at is not None:
            self._flush_at.cancel()
        if self._writing is not None:
            with contextlib.suppress(OSError):
                await self._writing
        self._flush()
        if self._writing is not None:
            with contextlib.suppress(OSError):
                await self._writing
        self.every = 0
        if self._writer is not None:
            self._writer.shutdown()
            os.close(self._fd)
            self._writer = None
        if self.dropped:
            log.warning("%d stamps were dropped", self.dropped)


OFF: Final = Trace(None, every=0)
"""Traces nothing."""


def open_trace(topology: Topology, name: str) -> Trace:
    """The trace of a service's process, as its topology wants it. Call on its event loop."""
    offset_ns = int(os.environ.get("PETREL_CLOCK_OFFSET_NS") or time.time_ns() - time.monotonic_ns())
    path = topology.path / "metrics" / f"trace-{name}.bin"
    return Trace(path, every=topology.settings.trace_every, offset_ns=offset_ns)


def machine_id() -> int:
    """What processes of one machine have in common until it boots again, as their clock. 0: not known."""
    try:
        return int(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:15], 16)
    except (OSError, ValueError):
        return 0


def _write(fd: int, data: bytes) -> None:
    """In the writing thread: all of it, or whole records of it and OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
