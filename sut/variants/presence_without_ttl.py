"""Known bad: what a gateway says of who is there counts until it says otherwise, and a gateway that died never does.

Its users stay online for those who look at them, for as long as they like to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

FOR_EVER_S: Final = 1e9


def presence_ttl_s(_topology: Topology) -> float:
    """How long a gateway's word on a user counts."""
    return FOR_EVER_S
