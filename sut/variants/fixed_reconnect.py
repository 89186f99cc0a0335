"""Known bad: a device whose connection has ended waits a second and tries again, and again, always a second.

This one is in the devices. Those that a dead gateway cut off come back in the same instant, are too many at once for
whoever is left, and those that did not get in come again in step. What DRAIN says is not heeded. Nothing is lost:
`petrel bench reconnect` counts the handshakes in the worst tenth of a second, against full jitter.
"""

from __future__ import annotations

from typing import Final

WAIT_S: Final = 1.0


def fixed_reconnect_s() -> float:
    """The devices' wait."""
    return WAIT_S
