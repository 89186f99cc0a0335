"""The half of a device's connection that never waits: timed work, writes, the end. How it reads is its driver's.

A write passes only as many bytes as the socket takes, and the rest is retried soon: one device must not keep the others
of its process waiting.
"""

from __future__ import annotations

import math
import os
from typing import Final

from load.device.device import Device

CLOSE_S: Final = 1.0
"""Seconds after a close frame in which the gateway may end the connection."""
WRITE_AGAIN_S: Final = 0.02
MAX_UNWRITTEN: Final = 1 << 20
"""Bytes kept for a socket that takes none; beyond it the connection is dropped."""


class Line:
    """One device and its socket. `_fd` is -1 without one; its owner sets it."""

    __slots__ = ("_fd", "_kill_at", "_unwritten", "device")

    def __init__(self, device: Device) -> None:
        self.device = device
        self._fd = -1
        self._unwritten = b""
        self._kill_at = math.inf

    def on_alarm(self, now: float) -> None:
        """Do what is due. Never waits."""
        device = self.device
        device.on_time(now)
        self._flush()
        if device.leaving is not None and self._fd >= 0 and self._kill_at == math.inf:
            self._kill_at = now + CLOSE_S if device.leaving.clean else now
        if device.must_drop or now >= self._kill_at:
            self._drop()

    def wake_at(self, now: float) -> float:
        """Return when `on_alarm` has something to do."""
        at = min(self.device.wake_at(), self._kill_at)
        return min(at, now + WRITE_AGAIN_S) if self._unwritten else at

    def _flush(self) -> None:
        """Write as many bytes as the socket takes now and keep the rest. The socket must not block."""
        data = self._unwritten + self._sealed(self.device.output())
        if not data or self._fd < 0:
            self._unwritten = b""
            return
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            self._drop()
            return
        self._unwritten = data[written:]
        if len(self._unwritten) > MAX_UNWRITTEN:
            self._drop()

    def _sealed(self, data: bytes) -> bytes:
        """Return the bytes for the socket that carry `data`."""
        return data

    def _drop(self) -> None:
        """End the connection. What the device must know of it is its owner's to tell."""
        self._fd = -1
        self._unwritten = b""
        self._kill_at = math.inf
