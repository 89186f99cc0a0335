"""TLS for a device's connection, without I/O: bytes of the socket in, bytes of the WebSocket out, and back.

Python's own TLS sockets would do their reads and writes themselves, and wait; a device's are done by its session, which
never does. So the TLS engine works on two memory buffers between them.
"""

from __future__ import annotations

import ssl


def client_context(ca_file: str) -> ssl.SSLContext:
    """For clients: trusts this authority alone, or the machine's where there is none. Raises OSError."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class SecureStream:
    """One TLS connection as a client. After `receive` and `send`, what `output` returns goes to the socket."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Begin; `output` holds the first words of the handshake."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._unsent = b""
        self.ready = False
        """Whether the handshake is done. Until then what is sent waits."""
        self._shake()

    def receive(self, data: bytes) -> bytes:
        """Bytes came from the socket; returns what they say. Raises ssl.SSLError, an OSError."""
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
        """Have this go out. Raises ssl.SSLError."""
        self._unsent += data
        if self.ready and self._unsent:
            self._tls.write(self._unsent)  # to memory: all of it, at once
            self._unsent = b""

    def output(self) -> bytes:
        """What must be written to the socket now."""
        return self._out.read()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.ready = True
        self.send(b"")
