"""Sockets that our processes listen on for clients: IPv4, IPv6, or both behind one port."""

from __future__ import annotations

import socket
from typing import Final

BACKLOG: Final = 4096
UNSENT_BYTES: Final = 64 << 10
"""Maximum of unsent bytes in the kernel for each accepted connection: one page of history. The kernel's own limit is
some megabytes. Beyond this, data for a device that does not read waits in the process, where it is counted."""
ANY: Final = "::"
"""The host that means every address of the machine, IPv4 and IPv6."""


def listener(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet; sockets accepted from it have TCP_NODELAY. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)  # and this
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != ANY)
        sock.bind((host, port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
