"""How far the numbers that only rise may be: not ahead of the clock, so that nobody uses them up.

A client_seq and the number of a one-time prekey count only above all that the device used before. Whoever has a
device's token for a moment could use the highest one, and the device could never send or publish again. So the highest
number that is taken grows with the time of day, far faster than a device counts: there is always room for the owner.
Small numbers are taken whatever the clock says. Pure.
"""

from __future__ import annotations

from typing import Final

FREE_CLIENT_SEQ: Final = 1 << 52
"""Client_seqs up to this one are taken at any time: clients count, or number by Unix time in microseconds."""
A_MS: Final = 1 << 21
"""Client_seqs that a millisecond adds. Unix time in nanoseconds stays below, and 2^63 is reached in the year 2109."""
FREE_PREKEY: Final = 1 << 20
"""Prekey numbers up to this one are taken at any time. Each second adds one, and 2^32 is reached in the year 2106."""
CLOCKS_S: Final = 60.0
"""Seconds by which clocks of machines may differ: what is no further ahead will be taken soon."""


def ahead_s(client_seq: int, unix_s: float) -> float:
    """Return the seconds until this client_seq is taken; 0: now. `unix_s`: Unix time."""
    return max(0.0, client_seq / A_MS / 1000 - unix_s) if client_seq > FREE_CLIENT_SEQ else 0.0


def prekey_ahead_s(number: int, unix_s: float) -> float:
    """Return the seconds until a one-time prekey of this number is taken; 0: now. `unix_s`: Unix time."""
    return max(0.0, number - unix_s) if number > FREE_PREKEY else 0.0
