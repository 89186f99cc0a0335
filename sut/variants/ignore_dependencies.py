"""Known bad: clients show a message before those that it names, so a reader may see an answer before its question.

The messages name what their senders had seen in other conversations; the readers do not wait for it. A device that
comes back fetches several conversations at once, and one may arrive before another that it depends on. The order
within each conversation is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAUGHT_BY = ("causal",)


def swarm(_settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ignore_dependencies": True}
