"""HISTORY: what a device asks when somebody scrolls back. Answered by a PAGE that goes the other way; see README.md."""

from __future__ import annotations

from typing import NamedTuple


class History(NamedTuple):
    """HISTORY 0x09: req u32, conv u64, before u64, limit u16. Asks for a PAGE of what comes before `before`.

    The PAGE covers [through, before): of what the user may see there the newest `limit` messages at most, in rising
    order; a number that is not in it is not for this user. Go on with before = through while through > 1. `head` is
    the highest number the user may see now.
    """

    req: int
    conv: int
    before: int
    limit: int
