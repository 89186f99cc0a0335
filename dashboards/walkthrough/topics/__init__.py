"""The topics of `petrel explain`: each is a function that finds its story in the records of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dashboards.walkthrough.recorded import Recorded
from dashboards.walkthrough.story import Story
from dashboards.walkthrough.topics import away, breaks, messages, people

TOPICS: Final[dict[str, Callable[[Recorded], Story]]] = {
    "message": messages.message,
    "websocket": breaks.websocket,
    "ordering": messages.ordering,
    "presence": people.presence,
    "servers": breaks.servers,
    "storage": messages.storage,
    "group": messages.group,
    "encryption": people.encryption,
    "push": away.push,
    "catch_up": away.catch_up,
    "replication": breaks.replication,
}
"""Name -> what makes the story. It raises NotThere if the run does not have it."""
