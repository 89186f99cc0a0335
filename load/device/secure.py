"""TLS for a device's connection, without I/O: turns bytes of the socket into bytes of the WebSocket, and back.

Python's own TLS sockets would read, write and wait by themselves. A device's reads and writes belong to its session,
which never waits. So the TLS engine works on two memory buffers between them.
"""

from __future__ import annotations

import ssl


def client_context(ca_file: str) -> ssl.SSLContext:
    """Return a client context that trusts only this authority, or the machine's if it is "". Raises OSError."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class SecureStream:
    """One TLS connection as a client. After `receive` and `send`, write what `output` returns to the socket."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Begin the handshake; `output` holds its first bytes."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._unsent = b""
        self.ready = False
        """True once the handshake is done. Until then sent bytes wait."""
        self._shake()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the socket and return their plaintext. Raises ssl.SSLError, an OSError."""
        self._in.write(data)
        if not self.ready:
            self._shake()
        plain = b""
        while self.ready:
            try:
                part = self._tls.read(65536)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not part:
                break
            plain += part
        return plain

    def send(self, data: bytes) -> None:
        """Encrypt bytes for `output`. Raises ssl.SSLError."""
        self._unsent += data
        if self.ready and self._unsent:
            self._tls.write(self._unsent)  # to memory: takes all of it at once
            self._unsent = b""

    def output(self) -> bytes:
        """Return the bytes to write to the socket now."""
        return self._out.read()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.ready = True
        self.send(b"")
