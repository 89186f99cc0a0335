"""Detects connections that answer nothing although their device was told something. Driven by ticks; opens nothing.

A network that fails without a FIN leaves a connection that looks open. Data written to it is lost, and its device
counts as connected until its heartbeats are missed. So a device is pinged if it was told of a message (or has missed a
heartbeat) and sends nothing for PROBE_S. Every WebSocket answers a ping automatically. A device that has sent nothing
for SILENT_S is silent until its next byte. While the gateway itself does not read a connection (budget.py), silence
proves nothing, and its time begins anew.

Push and presence then treat that device as absent. The connection itself stays, and ends as IDLE or by its own close. A
device whose connection ends while it owes an answer is reported as silent too. That ends when it matters no longer to
push (KEPT_S), or when the device connects here again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from sut.gateway.timers import NEVER, ticks
from sut.protocol import websocket
from sut.protocol.frames import Type

PROBE_S: Final = 1.0
SILENT_S: Final = 2.5
"""A push must arrive within 5 s. The rest of that time is for the push service to learn of it, and for the provider."""
KEPT_S: Final = 10.0
"""Seconds for which a device that left while it owed an answer is reported."""
MAX_KEPT: Final = 50_000
_KEPT: Final = ticks(KEPT_S)
_SILENT: Final = ticks(SILENT_S)
_PROBE: Final = ticks(PROBE_S)
_PING: Final = websocket.ping()
_NEWS: Final = frozenset({int(Type.MESSAGE), int(Type.NOTIFY)})


class Told(Protocol):
    """A device's connection. `told`: the tick of the first thing that it has not answered; NEVER if there is none."""

    told: int
    user: int
    device: int

    @property
    def is_open(self) -> bool:
        """True while frames can be sent and received."""

    @property
    def unheard(self) -> bool:
        """True while the gateway does not read what the device may have sent."""

    def send(self, data: bytes) -> None:
        """Write one whole WebSocket frame."""


def is_news(frame: bytes) -> bool:
    """Return True if a device answers this frame as soon as it has read it, by RECV or FETCH."""
    return frame[0] in _NEWS


class Silence:
    """The silent connections of one gateway."""

    def __init__(self, on_change: Callable[[Told, bool], None]) -> None:
        """`on_change`: called when an open connection falls silent (True), or is heard again (False)."""
        self._on_change = on_change
        self._fresh: deque[tuple[int, Told]] = deque()
        self._pinged: deque[tuple[int, Told]] = deque()
        self._silent: dict[Told, int] = {}
        self._gone: dict[int, int] = {}
        """Device -> the tick since which it owed an answer when it left, or at which it left unnoticed."""
        self.pings = 0

    def __len__(self) -> int:
        """Return the number of connections that are silent now."""
        return len(self._silent)

    def __contains__(self, connection: Told) -> bool:
        return connection in self._silent

    def told(self, connection: Told, tick: int) -> None:
        """Note that the device was told something that it answers, or that it missed a heartbeat."""
        if connection.told == NEVER:
            connection.told = tick
            self._fresh.append((tick, connection))

    def heard(self, connection: Told) -> None:
        """Note that the connection has sent something. Call it only if `told` is not NEVER."""
        connection.told = NEVER
        if self._silent.pop(connection, None) is not None:
            self._on_change(connection, False)

    def opened(self, connection: Told) -> None:
        """Note that a device has connected, perhaps again."""
        self._gone.pop(connection.device, None)

    def left(self, connection: Told) -> bool:
        """Note that the connection has ended. Returns True if it was silent."""
        if connection.told != NEVER and len(self._gone) < MAX_KEPT:
            self._gone[connection.device] = connection.told
        connection.told = NEVER
        return self._silent.pop(connection, None) is not None

    def gone(self, device: int, since: int) -> None:
        """Note that a device has left at the tick `since`, and that others cannot know it yet."""
        if len(self._gone) < MAX_KEPT:
            self._gone.setdefault(device, since)

    def advance(self, tick: int) -> None:
        """Ping the connections that were silent for PROBE_S, and report those that were silent for SILENT_S."""
        for since, connection in _due(self._fresh, tick - _PROBE):
            if connection.told == since and connection.is_open and not self._again(connection, tick):
                self.pings += 1
                connection.send(_PING)
                self._pinged.append((since, connection))
        for since, connection in _due(self._pinged, tick - _SILENT):
            if connection.told == since and connection.is_open and not self._again(connection, tick):
                self._silent[connection] = since
                self._on_change(connection, True)

    def _again(self, connection: Told, tick: int) -> bool:
        """Let the time of an unheard connection begin now. Returns False for others."""
        if not connection.unheard:
            return False
        connection.told = NEVER
        self.told(connection, tick)
        return True

    def since(self, tick: int) -> tuple[tuple[int, int], ...]:
        """Return (device, ticks since it owes an answer) for each silent device, those that have left included."""
        self._gone = {device: since for device, since in self._gone.items() if tick - since <= _KEPT}
        left = {device: since for device, since in self._gone.items() if tick - since >= _SILENT}
        left |= {connection.device: since for connection, since in self._silent.items()}
        return tuple((device, tick - since) for device, since in left.items())


def _due(waiting: deque[tuple[int, Told]], until: int) -> Iterable[tuple[int, Told]]:
    while waiting and waiting[0][0] <= until:
        yield waiting.popleft()
