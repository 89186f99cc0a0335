"""Known bad: some clients send in the clear what they should encrypt, and it reaches the log and the store.

The swarm does it (load/device/crypto.py), in at least a tenth of the devices. The services are unchanged: they keep
what a body holds, and the check for plaintext searches what they keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CAUGHT_BY = ("leaks",)
SHARE: Final = 0.1
"""Share of the devices with keys, in an experiment without encryption."""


def swarm(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"crypto_plaintext": True, "crypto_share": max(settings["crypto_share"], SHARE)}
