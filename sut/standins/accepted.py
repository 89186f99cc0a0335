"""The file of accepted pushes, as phones would have got them: DIR/pushes/NAME.jsonl, one line per push.

One appending system call writes the line before the sender hears that the push was accepted: SIGKILL of this
process loses none. The times are the run's clock. The lines are `push` events of the history's exchange format.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

DIRECTORY: Final = "pushes"


class Accepted(msgspec.Struct, frozen=True, tag_field="e", tag="push"):
    """A line of the file: one push that its provider accepted for a phone."""

    t: int
    device: int
    conv: int
    seq: int
    provider: str
    token: str


class AcceptedPushes:
    """The file of one stand-in's accepted pushes."""

    def __init__(self, directory: Path, name: str) -> None:
        """Open the file, or create it. Raises OSError."""
        path = directory / DIRECTORY / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._offset_ns = int(os.environ.get("PETREL_CLOCK_OFFSET_NS") or time.time_ns() - time.monotonic_ns())
        self.count = 0

    def add(self, *, provider: str, token: str, device: int, conv: int, seq: int) -> None:
        """Append a line with the present time. Raises OSError."""
        now_ns = time.monotonic_ns() + self._offset_ns
        line = Accepted(now_ns, device, conv, seq, provider, token)
        os.write(self._fd, msgspec.json.encode(line) + b"\n")
        self.count += 1

    def close(self) -> None:
        os.close(self._fd)
