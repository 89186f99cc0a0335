"""Time stamps of the steps of traced messages: DIR/metrics/trace-SERVICE.bin, one file for each process name.

A stamp is one record of RECORD_SIZE bytes. Its time is that of the run's clock, so stamps of different processes of one
machine can be subtracted. START opens each life of a process and names its machine. Stamps explain a run and judge
nothing. Stamps that a killed process had not written are lost, and so are stamps beyond the limits below.

`Trace` states what tracing costs.
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
"""Seconds that a stamp may wait to be written: SIGKILL loses these."""
MAX_BUFFERED: Final = 1 << 20
"""Bytes that wait while the disk accepts none; beyond it stamps are dropped."""
MAX_FILE: Final = 128 << 20
"""Bytes of one file, all lives together (2.8 million stamps); then tracing ends. A system may be up for weeks."""

log = logging.getLogger("trace")


class Hop(IntEnum):
    """One step of a message. The comments say which fields its stamp has."""

    START = 1  # the process has started; device = machine (see machine_id), client_seq = every
    OPENED = 2  # gateway: `device` connected
    HANDED_ON = 3  # gateway: took this SEND from its socket and gave it to a chat service
    TAKEN = 4  # chat service: has received it from the gateway
    APPENDING = 5  # chat service: now begins the append that includes it
    DURABLE = 6  # chat service: that append has returned
    APPLIED = 7  # sequencer: has given it conv and seq, and tells the members next
    TOLD = 8  # gateway: now writes NOTIFY (conv, seq) to the members that it has
    SENT = 9  # gateway: now writes MESSAGE (conv, seq) to the recipients that it has
    KEYS_PUBLISHED = 10  # api: `device` published its keys; seq = one-time prekeys left of it
    KEYS_TAKEN = 11  # api: `device` took the keys of device client_seq; seq = the one-time prekey, 0: without one


class Trace:
    """One process's stamps. Belongs to one event loop; nothing here waits for the disk or raises.

    CPU cost of our own code, one message in 16 traced, measured by tests/sut/process/trace_cost.py. Each message costs
    0.1 us in its gateway, 0.1 us in its chat service and 0.2 us in its sequencer. Each gateway that tells members
    spends 0.9 us on a group message (a stamp for its NOTIFYs) and 0.4 us on a direct one. For comparison, a message of
    a quick run costs 0.8 ms CPU of gateways, 1.2 ms of chat services and 1.3 ms of sequencers. That includes system
    calls and idling.
    """

    def __init__(self, path: Path | None, *, every: int, offset_ns: int = 0) -> None:
        """Trace one message in `every` to this file. Nothing is traced without a path or if it cannot be opened."""
        self.every = max(0, every) if path is not None else 0
        """0: off. Callers on a hot path check this first."""
        self.dropped = 0
        """Stamps dropped because the buffer was full."""
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
        """Stamp this message if it is a traced one."""
        if is_traced(device, client_seq, self.every):
            self.stamp(hop, device=device, client_seq=client_seq, conv=conv, seq=seq)

    def now_ns(self) -> int:
        """Time of the run's clock; 0 when nothing is traced."""
        return time.monotonic_ns() + self._offset_ns if self.every else 0

    def delivered(self, frame: bytes, at_ns: int) -> None:
        """Stamp that writing this frame to its recipients began at `at_ns`, if it announces a traced message.

        A device may read the frame before the write ends, so the caller takes the time before it.
        """
        place = announced(frame, self.every)
        if place is not None:
            conv, seq, has_body = place
            self.stamp(Hop.SENT if has_body else Hop.TOLD, conv=conv, seq=seq, at_ns=at_ns)

    def stamp(
        self, hop: int, *, device: int = 0, client_seq: int = 0, conv: int = 0, seq: int = 0, at_ns: int = 0
    ) -> None:
        """Add a stamp with the time `at_ns`; 0: now."""
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
            return  # _written schedules what arrives during a write
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
        """Log `why` and stop tracing; the system continues without it."""
        log.warning("no more tracing: %s", why)
        self.every = 0

    async def close(self) -> None:
        """Write the waiting stamps and close the file. Nothing is traced afterwards."""
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
"""A trace that records nothing."""


def open_trace(topology: Topology, name: str) -> Trace:
    """Return the trace of a service's process, as its topology configures it. Call on its event loop."""
    offset_ns = int(os.environ.get("PETREL_CLOCK_OFFSET_NS") or time.time_ns() - time.monotonic_ns())
    path = topology.path / "metrics" / f"trace-{name}.bin"
    return Trace(path, every=topology.settings.trace_every, offset_ns=offset_ns)


def machine_id() -> int:
    """A number that processes of one machine share until it reboots, as they share its clock. 0: not known."""
    try:
        return int(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").replace("-", "")[:15], 16)
    except (OSError, ValueError):
        return 0


def _write(fd: int, data: bytes) -> None:
    """Write all of `data`; runs in the writing thread. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
