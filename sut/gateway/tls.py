"""Devices that connect by TLS: accepted and counted here, before the first byte is decrypted.

asyncio's own TLS server shows a connection only when its handshake is done. Until then it would not be counted, and a
few thousand incomplete handshakes would use up the files. Here a socket counts from its accept, for the gateway and
for its address, and its handshake has the deadline of the upgrade request.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from sut.deploy.topology import Tls
from sut.gateway.connection import Connection, Shared
from sut.gateway.limits import address_of
from sut.process.listening import BACKLOG
from sut.process.tls import server_context

AT_ONCE: Final = 64
"""Sockets accepted in one turn of the event loop."""
PAUSE_S: Final = 0.1
"""Pause of accepting after the system has no more files."""
GOODBYE_S: Final = 2.0
"""Time that the peer gets to answer the end of a TLS stream."""


class TlsListener:
    """Listens on a bound socket, which it owns. Belongs to the running loop."""

    def __init__(self, gateway: Shared, sock: socket.socket, tls: Tls) -> None:
        """Start to listen. Raises TlsError, OSError; then the socket is closed."""
        self._gateway = gateway
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        try:
            self._context = server_context(tls)
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop accepting, and end the handshakes in progress. Connections stay."""
        if self._closed:
            return
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for handshake in self._handshakes:
            handshake.cancel()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no more files
                self._loop.remove_reader(self._sock)
                self._again = self._loop.call_later(PAUSE_S, self._resume)
                return
            self._accepted(client, address_of(peer[0]))

    def _resume(self) -> None:
        self._again = None
        self._loop.add_reader(self._sock, self._accept)

    def _accepted(self, client: socket.socket, address: str) -> None:
        gateway = self._gateway
        verdict = gateway.accepted(address)
        if verdict > 1:
            client.close()
            gateway.hung_up(address)
            return
        connection = Connection(gateway, address=address, unwelcome=verdict != 0)
        handshake = self._loop.create_task(self._secure(connection, client, address))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _secure(self, connection: Connection, client: socket.socket, address: str) -> None:
        """Do the TLS handshake. After it the connection calls `hung_up` itself."""
        try:
            client.setblocking(False)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._context,
                ssl_handshake_timeout=self._gateway.handshake_timeout_s,
                ssl_shutdown_timeout=GOODBYE_S,
            )
        except OSError:  # ssl.SSLError, TimeoutError and ConnectionError are
            self._gateway.stats.refused += 1
        finally:
            if not connection.begun:
                client.close()
                self._gateway.hung_up(address)
