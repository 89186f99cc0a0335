"""What one connection may cost: seconds of CPU a second, of which it may save up some. Pure.

Frames are a bad measure: a SYNC costs a thousand times what a RECV costs, and a fragment of no bytes is no frame of
ours at all. So the gateway measures what each chunk of bytes cost it, and adds what the frames in it cost others. Most
of what a FETCH or HISTORY costs is the rows of its page, which are counted when it comes. A connection in debt is not
read until the debt is paid off; the kernel then slows the sender down.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sut.protocol.frames import Fetch, History, Recv, Send, Sync, Type
from sut.protocol.server import Decision, Forward
from sut.protocol.signals import Read, Typing, Watch

HEARTBEAT_S: Final = 0.0001
"""What a lone heartbeat costs at most. It is not measured each time: that would cost a tenth of it."""
SAVED_S: Final = 0.2
"""CPU seconds that a connection which was quiet may spend at once."""
_ELSEWHERE_S: Final[dict[type, float]] = {
    Send: 0.001,
    Sync: 0.001,
    History: 0.0005,
    Fetch: 0.0002,
    Read: 0.0002,
    Typing: 0.0002,
    Recv: 0.0001,
}
"""What a frame costs chat services, sequencers and the store, rounded; of others next to nothing."""
_PAGE_S_A_BYTE: Final = 5e-8
"""A byte of a page; an estimate. While only requests counted, a flood of FETCHes of 100 rows cost a chat service 5 s of
CPU in 12 s, where 0.6 s are allowed (`petrel bench hostile`, 2026-11-30)."""
_WATCHED_S: Final = 2e-6
"""A watched user, in this gateway's next look."""


def elsewhere_s(decisions: Iterable[Decision]) -> float:
    """What these decisions will cost beside the gateway's own work on them, in CPU seconds."""
    cost_s = 0.0
    for decision in decisions:
        if isinstance(decision, Forward):
            frame = decision.frame
            cost_s += len(frame.users) * _WATCHED_S if isinstance(frame, Watch) else _ELSEWHERE_S.get(type(frame), 0.0)
    return cost_s


def answer_s(frame: bytes) -> float:
    """What it cost to make this frame for a device, in CPU seconds beyond what its request counted."""
    return len(frame) * _PAGE_S_A_BYTE if frame[0] == Type.PAGE else 0.0


def left_s(saved_s: float, quiet_s: float, cost_s: float, *, share: float) -> float:
    """What is left of `saved_s` after `quiet_s` seconds and then this cost; below 0: a debt.

    `share`: CPU seconds that the connection may cost in a second (Settings.device_cpu_share).
    """
    return min(SAVED_S, saved_s + quiet_s * share) - cost_s


def pause_s(debt_s: float, *, share: float) -> float:
    """How long a connection with this debt (above 0) is not read."""
    return debt_s / share
