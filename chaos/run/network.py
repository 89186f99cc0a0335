"""A network of a run's own, for swarms that the machine's own network has no room for.

A connection of a device takes two sockets, a port and, where the kernel tracks connections, an entry there: the usual
limits are 28,000 ports and 262,144 entries. So a run with more than ALONE_FROM devices moves to a new network namespace
before it starts anything. There is no tracking in it, the range of ports is wide, and queues are long. All settings
are the namespace's own. It ends with the last process of the run, however that ends: so there is nothing to put back.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

from chaos.errors import HarnessError

ALONE_FROM: Final = 50_000
"""The devices from which a run has a network of its own."""
SETTINGS: Final = {
    "net/ipv4/ip_local_port_range": "10000 65535",
    "net/core/somaxconn": "4096",
    "net/ipv4/tcp_max_syn_backlog": "8192",
    "net/ipv4/tcp_max_tw_buckets": "2000000",
    "net/ipv4/tcp_congestion_control": "reno",
}
"""Files under /proc/sys, and what is written to them. A kernel may lack some, or not let a namespace have its own."""
_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of unshare(2)."""
_GET_FLAGS: Final = 0x8913
_SET_FLAGS: Final = 0x8914
"""SIOCGIFFLAGS and SIOCSIFFLAGS of netdevice(7)."""
_UP: Final = 0x1
_REQUEST: Final = struct.Struct("16sh22x")


def is_needed(devices: int) -> bool:
    """Return True if a run of so many devices has a network of its own."""
    return devices > ALONE_FROM


def enter() -> None:
    """Move this process, and all that it starts, to a new network with a loopback of its own. Raises HarnessError."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise HarnessError(f"more than {ALONE_FROM:,} devices need a network of their own: run this as root, on Linux")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        raise HarnessError(f"cannot make a network for this run: {os.strerror(ctypes.get_errno())}")
    try:
        _raise_loopback()
        for name, value in SETTINGS.items():
            path = Path("/proc/sys", name)
            if path.exists():
                path.write_text(value)
    except OSError as error:
        raise HarnessError(f"cannot set up the network of this run: {error}") from None


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        _, flags = _REQUEST.unpack(fcntl.ioctl(any_socket, _GET_FLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(any_socket, _SET_FLAGS, _REQUEST.pack(b"lo", flags | _UP))
