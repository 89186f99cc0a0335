"""The control lines of a history: the plan of the run, its faults and phases, and its bounds, one JSON object each.

Rare events with text do not fit the fixed records of load/history/writer.py. Each process writes its own NAME.jsonl
with one write per line, so that a killed process leaves whole lines and at most one torn tail.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from load.history.events import Time
from load.history.writer import now_ns

PhaseName = Literal["setup", "ramp", "steady", "quiesce", "final", "end"]
PHASES: Final = {
    "": "not started",
    "setup": "preparing",
    "ramp": "connecting",
    "steady": "sending",
    "quiesce": "waiting for the last deliveries",
    "final": "reading everything back",
    "end": "ended",
}
"""Each phase in words for people; "" before the first."""
Bound = Annotated[float, msgspec.Meta(ge=0, le=1e7)]
Least = Annotated[int, msgspec.Meta(ge=0)]


STALL_S: Final = 0.02
"""A process that wakes this much too late is late. Above it even a tight bound of latency is not yet in danger; below
it are the pauses of any Python process."""
FOREIGN: Final = "foreign"
"""The profile of a history that none of our runs recorded."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds by which a history is judged.

    The defaults apply to a history without bounds; it must hold operations.
    """

    latency_ms: Bound = 200.0
    """`latency`: p99 from the intended send to the display."""
    catch_up_s: Bound = 10.0
    """`catch_up`: from coming online to the display of what was missed."""
    liveness_s: Bound = 20.0
    """`liveness`: from the ack, or from the heal of the fault, to the display."""
    recovery_s: Bound = 10.0
    """Longest time after a heal that still counts as the fault's window."""
    back_s: Bound | None = None
    """`goodput`: from the heal of a fault until 95 % of what is due is acked and shown in a second again; null: any."""
    push_s: Bound = 5.0
    """`push`: from the ack to the push on a device that is away."""
    silence_s: Bound | None = None
    """`push`: time beyond `push_s` in which a device that seems online is told, by the message or a push; null: any."""
    presence_s: Bound = 60.0
    """`presence`: how stale a picture may be, and when a watcher is told again after a reconnect."""
    answer_s: Bound = 10.0
    """`answers`: from the send to its ack."""
    receipt_s: Bound = 10.0
    """`receipts`: from the display to the receipt at the author."""
    clock_error_ms: Bound = 10.0
    """`clocks`: how far the clocks of two recorders may be apart; above 10, in `order` and `receipts`, too."""
    min_acked: Least = 1
    """`vacuity`: least number of acked sends."""
    min_deliveries: Least = 0
    """`vacuity`: least number of deliveries."""


class Meta(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="meta"):
    """The parameters of the run, and its bounds."""

    t: Time = 0
    """When the line was written."""
    experiment: str = "history"
    """Name of the experiment."""
    profile: str = FOREIGN
    """What ran; `foreign`: another system than ours."""
    variant: str | None = None
    """The known-bad design that ran; null: none."""
    seed: int = 0
    """Seed of the plan and of the schedule."""
    duration_s: float | None = None
    """Seconds from the first planned send to the last; null: from the first event to the last."""
    bounds: Bounds = Bounds()
    """The limits that the verdict checks against."""
    checks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    """The checks that the run is judged by; null: all."""
    push: bool = False
    """Pushes are recorded, so the lack of a push proves something."""
    manifest: bool = False
    """The run directory is closed by a manifest.json; without it the run was cut off."""
    elastic: bool = False
    """Users were added and taken away by hand, so a device that never did anything had no user."""
    provenance: dict[str, str] = {}
    """Where the history comes from: version, commit, interpreter, machine; for people."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="plan"):
    """A fault is planned `at_s` after the first planned send, for `for_s`."""

    t: Time
    fault: str
    name: str
    target: str
    at_s: float
    for_s: float
    felt_s: Bound | None = None
    """`felt`: the most that the p99 of any second in its window may be; null: not judged."""


class Phase(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="phase"):
    """A phase of the run begins at `t` (which may lie a little ahead). Several processes may record the same."""

    t: Time
    name: str


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="fault"):
    """A fault was injected or healed; `ok`: seen from outside to be so, with the evidence.

    Phase `skip`: it was due, and nothing was broken; the evidence says why.
    """

    t: Time
    name: str
    target: str
    phase: Literal["inject", "heal", "skip"]
    fault: str = ""
    ok: bool = True
    evidence: str = ""


class Hole(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="hole"):
    """The history has a gap here; results that depend on it can only be judged unknown."""

    t: Time
    process: str
    detail: str


class Machine(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="machine"):
    """What a process of the run saw of the machine in the `span_s` before `t`."""

    t: Time
    process: str
    span_s: float
    stalls_s: tuple[float, ...] = ()
    """How much too late the process woke from short sleeps, each time that was above STALL_S."""
    cores: int = 0
    """0: it did not measure who used them, and the times below mean nothing."""
    own_s: float = 0.0
    """CPU seconds of all processes of the run."""
    others_s: float = 0.0
    """CPU seconds of everybody else on the machine."""
    steal_s: float = 0.0
    """CPU seconds that the host of the virtual machine gave to others."""


class Sends(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="sends"):
    """How many sends a process of the swarm had planned, and how many of them it never made."""

    t: Time
    process: str
    planned: int
    unsent: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One file or key in which the hunt found a text."""

    where: str
    """A file relative to the run directory, or a key of a Redis node."""
    form: str
    """raw, hex or base64."""
    at: int
    """Byte offset of the first time."""
    times: int


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="canary"):
    """What the hunt for plaintext found: devices with real encryption put a canary into all that they encrypt."""

    t: Time = 0
    found: tuple[Place, ...] = ()
    """Places where the canary stands."""
    tracer: tuple[Place, ...] = ()
    """The tracer: some of the places, at most."""
    tracer_expected: bool = False
    files: int = 0
    bytes: int = 0
    keys: int = 0
    """Number of Redis keys searched."""
    unsearched: tuple[str, ...] = ()
    """Each place that was not searched, with the reason."""


ControlEvent: TypeAlias = Phase | Hole | Plan | Fault | Machine | Sends
"""A line that a process of the run appends during the run."""
Control: TypeAlias = Meta | Plan | Phase | Fault | Hole | Machine | Sends | Canary
CONTROL: Final = (Meta, Plan, Phase, Fault, Hole, Machine, Sends, Canary)
CONTROL_NAMES: Final = tuple(str(kind.__struct_config__.tag) for kind in CONTROL)

_DECODER = msgspec.json.Decoder(ControlEvent)
_ENCODER = msgspec.json.Encoder()


class ControlWriter:
    """Appends control lines to one file. Each is in the page cache when the call returns."""

    def __init__(self, path: Path, *, process: str) -> None:
        """Open `path` for appending. Raises OSError."""
        self.process = process
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, event: ControlEvent) -> None:
        """Append one line. Raises OSError if the disk is full."""
        os.write(self._fd, _ENCODER.encode(event) + b"\n")

    def phase(self, name: PhaseName, t: int = 0) -> None:
        """Write that a phase begins at `t` in ns; 0 is now."""
        self.write(Phase(t=t or now_ns(), name=name))

    def hole(self, detail: str) -> None:
        """Write that this process's history is incomplete."""
        self.write(Hole(t=now_ns(), process=self.process, detail=detail))

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class ControlReader:
    """Follows every *.jsonl of a history directory: each `poll` returns what was added since the last one.

    An unfinished line waits for the next call. Lines of other kinds are skipped, because the format may grow.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}

    def poll(self) -> list[ControlEvent]:
        """Return new events, by time. Raises OSError."""
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
