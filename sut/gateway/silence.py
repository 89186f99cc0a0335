"""Which connections say nothing any more although something was told to them. Feeds on ticks; opens nothing.

A network that goes away without a FIN leaves a connection that looks as before: what is written to it goes nowhere, and
its device is taken for connected until its heartbeats are missed. So whoever was told of a message (or has missed a
heartbeat) and sends nothing for PROBE_S is pinged, which every WebSocket answers by itself; who has sent nothing for
SILENT_S is silent, until the next byte comes. Push and presence then take that device for one that is not there; the
connection itself stays, and ends as IDLE or by its own end. A device whose connection ends while it owes an answer is
named as silent too, for as long as that matters to push, unless it connects here again.
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
"""Of the 5 s in which a push is to come: what is left is for the push service to hear of it, and for the provider."""
KEPT_S: Final = 10.0
"""How long a device that left with an answer owed is named."""
MAX_KEPT: Final = 50_000
_KEPT: Final = ticks(KEPT_S)
_SILENT: Final = ticks(SILENT_S)
_PROBE: Final = ticks(PROBE_S)
_PING: Final = websocket.ping()
_NEWS: Final = frozenset({int(Type.MESSAGE), int(Type.NOTIFY)})


class Told(Protocol):
    """A device's connection. `told`: the tick of the first thing that it has not answered; NEVER: there is none."""

    told: int
    user: int
    device: int

    @property
    def is_open(self) -> bool:
        """Whether frames still flow."""

    def send(self, data: bytes) -> None:
        """Write one whole WebSocket frame."""


def is_news(frame: bytes) -> bool:
    """Whether a device answers this frame as soon as it has read it, by RECV or FETCH."""
    return frame[0] in _NEWS


class Silence:
    """Of one gateway."""

    def __init__(self, on_change: Callable[[Told, bool], None]) -> None:
        """`on_change`: this open connection is silent now (True), or is heard again (False)."""
        self._on_change = on_change
        self._fresh: deque[tuple[int, Told]] = deque()
        self._pinged: deque[tuple[int, Told]] = deque()
        self._silent: dict[Told, int] = {}
        self._gone: dict[int, int] = {}
        """Devices that left with an answer owed, since which tick."""
        self.pings = 0

    def __len__(self) -> int:
        """Connections that are silent now."""
        return len(self._silent)

    def __contains__(self, connection: Told) -> bool:
        return connection in self._silent

    def told(self, connection: Told, tick: int) -> None:
        """It was told something that it answers, or should have said something by itself."""
        if connection.told == NEVER:
            connection.told = tick
            self._fresh.append((tick, connection))

    def heard(self, connection: Told) -> None:
        """It has sent something. Called for those only whose `told` is not NEVER."""
        connection.told = NEVER
        if self._silent.pop(connection, None) is not None:
            self._on_change(connection, False)

    def opened(self, connection: Told) -> None:
        """A device has connected, perhaps again."""
        self._gone.pop(connection.device, None)

    def left(self, connection: Told) -> bool:
        """It has ended; whether it was silent."""
        if connection.told != NEVER and len(self._gone) < MAX_KEPT:
            self._gone[connection.device] = connection.told
        connection.told = NEVER
        return self._silent.pop(connection, None) is not None

    def advance(self, tick: int) -> None:
        """Ping whoever has said nothing for PROBE_S, and take for silent whoever has said nothing for SILENT_S."""
        for since, connection in _due(self._fresh, tick - _PROBE):
            if connection.told == since and connection.is_open:
                self.pings += 1
                connection.send(_PING)
                self._pinged.append((since, connection))
        for since, connection in _due(self._pinged, tick - _SILENT):
            if connection.told == since and connection.is_open:
                self._silent[connection] = since
                self._on_change(connection, True)

    def since(self, tick: int) -> tuple[tuple[int, int], ...]:
        """Of each silent device, those that left among them: for how many ticks it has owed an answer."""
        self._gone = {device: since for device, since in self._gone.items() if tick - since <= _KEPT}
        left = {device: since for device, since in self._gone.items() if tick - since >= _SILENT}
        left |= {connection.device: since for connection, since in self._silent.items()}
        return tuple((device, tick - since) for device, since in left.items())


def _due(waiting: deque[tuple[int, Told]], until: int) -> Iterable[tuple[int, Told]]:
    while waiting and waiting[0][0] <= until:
        yield waiting.popleft()
