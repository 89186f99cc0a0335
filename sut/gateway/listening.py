"""Accepting devices: each socket counts from its accept, for the gateway and for its address."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import Any, Final

from sut.gateway.connection import Connection, Shared
from sut.gateway.limits import address_of
from sut.process.listening import BACKLOG

AT_ONCE: Final = 64
"""Sockets accepted in one turn of the event loop."""
PAUSE_S: Final = 0.1
"""Pause of accepting after the system has no more files."""


class Listener(ABC):
    """Listens on a bound socket, which it owns. Belongs to the running loop."""

    def __init__(self, gateway: Shared, sock: socket.socket) -> None:
        """Start to listen. Raises OSError; then the socket is closed."""
        self._gateway = gateway
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._taken: set[asyncio.Task[Any]] = set()
        """Tasks of accepted sockets whose connections have not begun."""
        self._closed = False
        try:
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        self._watch()

    def _watch(self) -> None:
        """Call `_accept` when the socket is ready, until `_look_away`."""
        self._loop.add_reader(self._sock, self._accept)

    def _look_away(self) -> None:
        self._loop.remove_reader(self._sock)

    def close(self) -> None:
        """Stop accepting. Connections stay."""
        if self._closed:
            return
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._look_away()
        self._sock.close()

    def end(self) -> None:
        """Stop accepting, and end the connections that have no transport of the loop."""
        self.close()

    @abstractmethod
    def _take(self, connection: Connection, client: socket.socket, address: str) -> None:
        """Give the connection its socket."""

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no more files
                self._look_away()
                self._again = self._loop.call_later(PAUSE_S, self._resume)
                return
            self._accepted(client, address_of(peer[0]))

    def _resume(self) -> None:
        self._again = None
        self._watch()

    def _accepted(self, client: socket.socket, address: str) -> None:
        gateway = self._gateway
        verdict = gateway.accepted(address)
        if verdict > 1:
            client.close()
            gateway.hung_up(address)
            return
        client.setblocking(False)
        self._take(Connection(gateway, address=address, unwelcome=verdict != 0), client, address)


class LoopListener(Listener):
    """Listens without TLS where there is no epoll: a connection has a transport of the loop."""

    def _take(self, connection: Connection, client: socket.socket, address: str) -> None:
        taking = self._loop.create_task(self._loop.connect_accepted_socket(lambda: connection, client))
        self._taken.add(taking)
        taking.add_done_callback(self._taken.discard)
