"""What Locust's web page and its desk (chaos.run.desk) tell each other: orders one way, news the other, a line each.

The desk is a process of its own beside the leading Locust process. It injects faults, looks at the system's processes,
reads the history that grows, and judges it now and then. Nothing in load/ may import it, so the words are here.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the page asks of the desk.

    `follow`: a test goes on in the directory `run` (empty: none does). `inject`: break something by hand. `heal`: heal
    one injection, or all. `draw`: lay out the faults of an experiment. `begin`: carry out what was drawn, from `t0_ns`.
    `drop`: forget it, and heal what it broke.
    """

    number: int
    """The answer has the same."""
    do: Literal["follow", "inject", "heal", "draw", "begin", "drop"]
    run: str = ""
    id: str = ""
    fault: str = ""
    target: str = ""
    for_s: float = 0.0
    options: dict[str, float] = {}
    experiment: str = ""
    seed: int = 0
    duration_s: float = 0.0
    t0_ns: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="news", tag="answer"):
    """The end of one order. `text` says what was done, or why it was not."""

    number: int
    ok: bool
    text: str = ""


class News(msgspec.Struct, frozen=True, kw_only=True, tag_field="news", tag="part"):
    """One part of what the page shows, as it is now; it replaces the same part of before."""

    part: Literal["offers", "injections", "plan", "topology", "counts", "checks"]
    value: msgspec.Raw


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The part `counts`: what the history of the test that goes on says so far."""

    run: str = ""
    sends: int = 0
    acked: int = 0
    refused: int = 0
    shown: int = 0
    online: int = 0
    outstanding: int = 0
    """Deliveries of acked messages that devices online now have not shown."""
    suspicious: int = 0
    """The subset of those that was acked more than SUSPICIOUS_S ago."""
    duplicates: int = 0


SUSPICIOUS_S = 10.0
"""A delivery that is missing for longer, at a device that is online, is suspicious: half the bound of `liveness`."""
