"""Names and limits that all relations share."""

from __future__ import annotations

from typing import Final

FOREVER: Final = (1 << 63) - 1
"""Greater than every number and every time."""
EVER: Final = -FOREVER
"""Less than every time."""
SECOND: Final = 1_000_000_000
"""One second in ns."""
MESSAGE: Final = ["conv", "msg"]
PLACE: Final = ["conv", "msg", "seq"]
