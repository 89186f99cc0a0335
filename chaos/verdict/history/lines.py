"""The exchange format line by line: one struct an event, whose fields are the contract's.

Fields that a struct does not name are ignored, and so are events without a struct here. Times are integers of ns, ids
integers or text, numbers (seq, head) integers from 0. The second half holds what only our own runs record: the
bounds they are judged by, the plan, the phases, the proof of each fault, and the holes of the history.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1
Time = Annotated[int, msgspec.Meta(ge=I64_MIN // 4, le=I64_MAX // 4)]
"""ns; a quarter of the i64 range, so that differences and deadlines never overflow. Year 2043 since 1970 fits."""
Seq = Annotated[int, msgspec.Meta(ge=0, le=I64_MAX // 4)]
AnyId = int | str


class Line(msgspec.Struct, tag_field="e", gc=False):
    """What all events have."""

    t: Time


class Member(Line, tag="member"):
    """A membership change and the number it took; 0: there at the creation."""

    conv: AnyId
    user: AnyId
    op: Literal["add", "remove"]
    seq: Seq


class Device(Line, tag="device"):
    """Whose device it is."""

    device: AnyId
    user: AnyId


class Online(Line, tag="online"):
    """Connected, and told what it missed."""

    device: AnyId


class Offline(Line, tag="offline"):
    """No longer connected; planned: the person wanted it so."""

    device: AnyId
    planned: bool = True


class Send(Line, tag="send"):
    """Invoked; due: when the workload wanted it sent."""

    due: Time
    device: AnyId
    conv: AnyId
    msg: AnyId
    hash: AnyId


class Ack(Line, tag="ack"):
    """The service took the message and gave it a number."""

    device: AnyId
    conv: AnyId
    msg: AnyId
    seq: Seq


class Nack(Line, tag="nack"):
    """The service refused; definite: it will never appear."""

    device: AnyId
    conv: AnyId
    msg: AnyId
    definite: bool


class Wire(Line, tag="wire"):
    """Arrived, duplicates included."""

    device: AnyId
    conv: AnyId
    seq: Seq
    msg: AnyId
    hash: AnyId


class Show(Wire, tag="show"):
    """Displayed to the user."""


class FinalRead(Wire, tag="final"):
    """Read back from seq 0 at the end."""


class FinalDone(Line, tag="final_done"):
    """The read-back is complete, up to head."""

    device: AnyId
    conv: AnyId
    head: Seq


class Push(Line, tag="push"):
    """A push notification for this number reached the device."""

    device: AnyId
    conv: AnyId
    seq: Seq


class Presence(Line, tag="presence"):
    """A viewer is told a user's state."""

    viewer: AnyId
    user: AnyId
    state: str | int | bool


class Receipt(Line, tag="receipt"):
    """A device is told that `by` has everything up to seq."""

    device: AnyId
    conv: AnyId
    seq: Seq
    kind: Literal["delivered", "read"]
    by: AnyId


Event: TypeAlias = (
    Member
    | Device
    | Online
    | Offline
    | Send
    | Ack
    | Nack
    | Wire
    | Show
    | FinalRead
    | FinalDone
    | Push
    | Presence
    | Receipt
)


Bound = Annotated[float, msgspec.Meta(ge=0, le=1e7)]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """By what a run is judged. The defaults are those of our own runs."""

    latency_ms: Bound = 200.0
    catch_up_s: Bound = 10.0
    liveness_s: Bound = 20.0
    recovery_s: Bound = 10.0
    push_s: Bound = 5.0
    presence_s: Bound = 60.0
    min_acked: int = 1000
    min_deliveries: int = 1000


class Meta(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="meta"):
    """What the run was."""

    t: Time = 0
    experiment: str = "history"
    profile: str = "foreign"
    variant: str | None = None
    seed: int = 0
    duration_s: float | None = None
    bounds: Bounds = Bounds()
    checks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    """The checks that the run is judged by; null: all."""
    push: bool = False
    """Pushes are recorded: that there is none proves something."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="plan"):
    """A fault is meant to be injected."""

    t: Time
    fault: str
    name: str
    target: str
    at_s: float
    for_s: float


class Phase(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="phase"):
    """A phase of the run begins at t."""

    t: Time
    name: str


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="fault"):
    """A fault is injected or healed; ok: proven from outside."""

    t: Time
    name: str
    target: str
    phase: Literal["inject", "heal"]
    fault: str = ""
    ok: bool = True
    evidence: str = ""


class Hole(msgspec.Struct, frozen=True, kw_only=True, tag_field="e", tag="hole"):
    """Something happened that this history does not hold."""

    t: Time
    process: str
    detail: str


Control: TypeAlias = Meta | Plan | Phase | Fault | Hole
CONTROL: Final = (Meta, Plan, Phase, Fault, Hole)

EVENT_NAMES: Final = (
    "member", "device", "online", "offline", "send", "ack", "nack", "wire", "show", "final", "final_done", "push",
    "presence", "receipt",
)  # fmt: skip
"""In the order of load.history.history.Event, which counts from 1."""
