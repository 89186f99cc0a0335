"""The watches of users at a gateway, and what each viewer was told. Pure, so that tests of damping need no clock.

A watched user has one picture here, whoever watches. Coming online changes it with the first look that sees it. Going
offline changes it only when all looks of `grace_s` without a break have said so. So a connection that flaps is no news,
nor is a gateway that dies and whose devices reconnect at once. A viewer is told the picture once, then its changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sut.protocol.signals import Seen

MAX_PAIRS: Final = 500_000
"""(viewer, user) pairs of a gateway: ten for each of 50,000 devices. A WATCH beyond it is cut short."""
MAX_LOOKED: Final = 5_000
"""Users in one look. With more watched users each one is looked up every second, third... period."""


@dataclass(slots=True)
class _Picture:
    viewers: set[int] = field(default_factory=set)
    online: bool | None = None
    """None: not looked up yet."""
    last_seen_ms: int = 0
    away_since_s: float | None = None
    """The first of the consecutive looks that did not see this online user; None without such a look."""
    news: bool = True
    """True if a viewer may not have been told the present state."""


class Watchers:
    """The watches of one gateway. Viewers are connection numbers."""

    def __init__(self, *, grace_s: float, max_pairs: int = MAX_PAIRS, max_looked: int = MAX_LOOKED) -> None:
        self._grace_s = grace_s
        self._max_pairs = max_pairs
        self._max_looked = max_looked
        self._told: dict[int, dict[int, bool | None]] = {}
        """Viewer -> user -> the state that it was told."""
        self._pictures: dict[int, _Picture] = {}
        """The pictures by user; the first is the next to look up."""
        self._pairs = 0
        self.cut = 0
        """Users of a WATCH that were left out because of `max_pairs`."""

    @property
    def watched(self) -> int:
        """The number of watched users."""
        return len(self._pictures)

    def watch(self, viewer: int, users: tuple[int, ...]) -> None:
        """Watch these users and no others. A user watched before is not reported again."""
        before = self._told.get(viewer, {})
        wanted = dict.fromkeys(users)
        for user in before.keys() - wanted.keys():
            self._drop(viewer, user)
        told: dict[int, bool | None] = {}
        for user in wanted:
            if user in before:
                told[user] = before[user]
            elif self._pairs < self._max_pairs:
                told[user] = None
                self._pairs += 1
                picture = self._pictures.setdefault(user, _Picture())
                picture.viewers.add(viewer)
                picture.news = True
            else:
                self.cut += 1
        if told:
            self._told[viewer] = told
        else:
            self._told.pop(viewer, None)

    def forget(self, viewer: int) -> None:
        """Drop all watches of a viewer that is gone."""
        self.watch(viewer, ())

    def _drop(self, viewer: int, user: int) -> None:
        self._pairs -= 1
        picture = self._pictures[user]
        picture.viewers.discard(viewer)
        if not picture.viewers:
            del self._pictures[user]

    def due(self) -> list[int]:
        """Return the users to look up now, those that have waited longest first."""
        users = list(islice(self._pictures, self._max_looked))
        if len(users) < len(self._pictures):
            for user in users:
                self._pictures[user] = self._pictures.pop(user)
        return users

    def freeze(self) -> None:
        """Handle a look without an answer: the time before it no longer proves that a user was away throughout."""
        for picture in self._pictures.values():
            picture.away_since_s = None

    def news(self, found: Mapping[int, tuple[bool, int]], now_s: float) -> dict[int, list[Seen]]:
        """Return what to tell each viewer after a look that found these users (online, last seen)."""
        news: dict[int, list[Seen]] = {}
        for user, (online, last_seen_ms) in found.items():
            picture = self._pictures.get(user)
            if picture is None:  # no viewer is left
                continue
            if online is not picture.online:
                self._look(picture, online=online, now_s=now_s)
            else:
                picture.away_since_s = None
            picture.last_seen_ms = last_seen_ms
            if picture.news:  # seldom: most looks see what the look before saw
                picture.news = False
                self._tell(user, picture, news)
        return news

    def _tell(self, user: int, picture: _Picture, news: dict[int, list[Seen]]) -> None:
        """Add the picture to the news of the viewers that were not told of it yet."""
        seen = Seen(user, int(bool(picture.online)), 0 if picture.online else picture.last_seen_ms)
        for viewer in picture.viewers:
            told = self._told[viewer]
            if told[user] is not picture.online:
                told[user] = picture.online
                news.setdefault(viewer, []).append(seen)

    def _look(self, picture: _Picture, *, online: bool, now_s: float) -> None:
        """Note a look that saw another state than the picture has."""
        if online or picture.online is None:
            picture.online, picture.away_since_s, picture.news = online, None, True
            return
        if picture.away_since_s is None:
            picture.away_since_s = now_s
        if now_s - picture.away_since_s >= self._grace_s:
            picture.online, picture.away_since_s, picture.news = False, None, True
