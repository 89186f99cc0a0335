"""Known bad: devices reconnect after a fixed wait instead of full jitter: all at once, again and again.

The devices wait one second, always. Those that a dead gateway cut off come back in the same instant. They are too many
for the gateways that are left, and those that did not get in come again in step. They ignore the base that DRAIN hands
out. Nothing is lost: the bench counts the handshakes in the worst tenth of a second, against full jitter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MEASURED_BY = "reconnect"
WAIT_S: Final = 1.0


def swarm(_settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"reconnect_fixed_s": WAIT_S}
