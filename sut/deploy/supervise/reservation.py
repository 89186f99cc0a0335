"""Free ports that stay free until the process they are meant for has bound them.

A reservation is a bound socket that never listens, with SO_REUSEADDR. On Linux a server that sets SO_REUSEADDR too
(ours, Redis and Toxiproxy do) may bind the same port and listen on it. Meanwhile the kernel gives the port neither to
another system that binds port 0, nor to an outgoing connection that needs any port. The supervisor inherits the sockets
and holds them while it lives, so a restarted process finds its port free. Elsewhere they are closed before the start.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
ATTEMPTS: Final = 100
OUTLAST_START: Final = sys.platform == "linux"
"""True if a server can bind a port while it is reserved."""


class Reservation:
    """Hands out free loopback ports and holds them until closed. Raises OSError when there are none left."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def port(self, *hosts: str) -> int:
        """Return one more port: of 127.0.0.1, or the same one of each of these hosts."""
        first, *others = hosts or (HOST,)
        for _attempt in range(ATTEMPTS):
            with contextlib.ExitStack() as stack:
                taken = [stack.enter_context(_bound(first, 0))]
                port = int(taken[0].getsockname()[1])
                with contextlib.suppress(OSError):
                    taken += [stack.enter_context(_bound(host, port)) for host in others]
                if len(taken) == 1 + len(others):
                    stack.pop_all()
                    self._sockets += taken
                    return port
        raise OSError(errno.EADDRINUSE, f"no port is free on all of {', '.join(hosts)}")

    def inherit(self) -> tuple[int, ...]:
        """Return the descriptors for the supervisor; closes the reservations first if they cannot outlast the start."""
        if not OUTLAST_START:
            self.close()
        return tuple(sock.fileno() for sock in self._sockets)

    def close(self) -> None:
        """Close all that this process holds; an inheritor keeps its own."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that holds the port. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
