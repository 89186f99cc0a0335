"""Routes that gateways announce themselves, while they cannot keep them in the registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sut.ports import Route
from sut.protocol.peer import Announce

MAX_ROUTES: Final = 400_000
"""Announced routes in memory, some 100 MB. Gateways with more are told that notifications may be missing."""


class Announced:
    """The routes of all gateways that announce any."""

    def __init__(self) -> None:
        self._users: dict[str, dict[int, int]] = {}
        """Node -> connection -> user."""
        self._routes: dict[int, dict[tuple[str, int], Route]] = {}
        """User -> (node, connection) -> route."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, frame: Announce) -> bool:
        """Note what a gateway announces. Returns False if not all of it fits."""
        if frame.anew:
            self._forget(frame.node, tuple(self._users.get(frame.node, ())))
        self._forget(frame.node, frame.gone)
        for user, device, conn, epoch in frame.there:
            if self._count >= MAX_ROUTES:
                return False
            of_user, of_node = self._routes.setdefault(user, {}), self._users.setdefault(frame.node, {})
            self._count += (frame.node, conn) not in of_user
            of_node[conn] = user
            of_user[frame.node, conn] = Route(device, frame.node, frame.incarnation, conn, epoch)
        return True

    def _forget(self, node: str, conns: Iterable[int]) -> None:
        of_node = self._users.get(node, {})
        for conn in conns:
            user = of_node.pop(conn, None)
            if user is not None and self._routes[user].pop((node, conn), None) is not None:
                self._count -= 1
                if not self._routes[user]:
                    del self._routes[user]
        if not of_node:
            self._users.pop(node, None)

    def joined(self, user: int, known: tuple[Route, ...]) -> tuple[Route, ...]:
        """Return the routes of a user: those that are known and those that are announced, each once."""
        announced = self._routes.get(user)
        if announced is None:
            return known
        others = tuple(route for route in known if (route.node, route.conn) not in announced)
        return others + tuple(announced.values())
