"""The control lines beside a binary history: what the run intended and what befell it, one JSON object a line.

Rare events with text in them (phases, faults, holes) do not fit the fixed records of load/history/history.py. Each
process writes its own NAME.jsonl with one write a line, so that a killed process leaves whole lines and at most one
torn tail.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from load.history.history import now_ns

PhaseName = Literal["setup", "ramp", "steady", "quiesce", "final", "end"]


class Phase(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="phase"):
    """A phase of the run begins at `t` (which may lie a little ahead). Several processes may say the same."""

    t: int
    name: str


class Hole(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="hole"):
    """Something happened that this history does not hold; whatever depends on it can only be judged unknown."""

    t: int
    process: str
    detail: str


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="plan"):
    """A fault is to come, `at_s` after the first planned send, for `for_s`."""

    t: int
    fault: str
    name: str
    target: str
    at_s: float
    for_s: float


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="fault"):
    """A fault was injected or healed; `ok`: seen from outside to be so, with the evidence."""

    t: int
    fault: str
    name: str
    target: str
    phase: Literal["inject", "heal"]
    ok: bool
    evidence: str = ""


ControlEvent = Phase | Hole | Plan | Fault

_DECODER = msgspec.json.Decoder(ControlEvent)
_ENCODER = msgspec.json.Encoder()


class ControlWriter:
    """Appends control lines to one file. Each is in the page cache when the call returns."""

    def __init__(self, path: Path, *, process: str) -> None:
        """Open `path` for appending. Raises OSError."""
        self.process = process
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, event: ControlEvent) -> None:
        """Append one line. Raises OSError when the disk is full."""
        os.write(self._fd, _ENCODER.encode(event) + b"\n")

    def phase(self, name: PhaseName, t: int = 0) -> None:
        """A phase begins at `t`; 0 is now."""
        self.write(Phase(t=t or now_ns(), name=name))

    def hole(self, detail: str) -> None:
        """This process's history is incomplete."""
        self.write(Hole(t=now_ns(), process=self.process, detail=detail))

    def close(self) -> None:
        """Release the file. Closing twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ControlReader:
    """Follows every *.jsonl of a history directory: each call of `poll` gives what was added since the last one.

    A line without its end yet waits for the next call. Lines of other kinds are skipped, for the format may grow.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}

    def poll(self) -> list[ControlEvent]:
        """New events, by time. Raises OSError."""
        events: list[ControlEvent] = []
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.splitlines():
                try:
                    events.append(_DECODER.decode(line))
                except msgspec.DecodeError:
                    continue
        return sorted(events, key=lambda event: event.t)


def control_events(directory: Path) -> ControlReader:
    """Follow the control lines of a history directory."""
    return ControlReader(directory)
