"""Devices that connect by TLS: accepted and counted here, before the first byte is decrypted.

asyncio's own TLS server shows a connection only when its handshake is done. Until then it would not be counted, and a
few thousand incomplete handshakes would use up the files. Here its handshake has the deadline of the upgrade request.
"""

from __future__ import annotations

import socket
from typing import Final

from sut.deploy.topology import Tls
from sut.gateway.connection import Connection, Shared
from sut.gateway.listening import Listener
from sut.process.tls import server_context

GOODBYE_S: Final = 2.0
"""Time that the peer gets to answer the end of a TLS stream."""


class TlsListener(Listener):
    """Listens on a bound socket, which it owns. Belongs to the running loop."""

    def __init__(self, gateway: Shared, sock: socket.socket, tls: Tls) -> None:
        """Start to listen. Raises TlsError, OSError; then the socket is closed."""
        try:
            self._context = server_context(tls)
        except BaseException:
            sock.close()
            raise
        super().__init__(gateway, sock)

    def close(self) -> None:
        """Stop accepting, and end the handshakes in progress. Connections stay."""
        super().close()
        for handshake in self._taken:
            handshake.cancel()

    def _take(self, connection: Connection, client: socket.socket, address: str) -> None:
        handshake = self._loop.create_task(self._secure(connection, client, address))
        self._taken.add(handshake)
        handshake.add_done_callback(self._taken.discard)

    async def _secure(self, connection: Connection, client: socket.socket, address: str) -> None:
        """Do the TLS handshake. After it the connection calls `hung_up` itself."""
        try:
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
