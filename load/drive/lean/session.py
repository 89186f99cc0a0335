"""The I/O of one active device of a fleet process: a socket that never blocks, and the waits between connections.

It does what load/drive/session.py does with a greenlet, as a machine: the crew calls it when its socket is ready or its
alarm is due. Where the API must be asked, it waits for the crew's answer (ASKING).
"""

from __future__ import annotations

import errno
import logging
import math
import os
import select
import socket
from enum import IntEnum
from typing import Final, Protocol

from load.device.device import Device, Refusal
from load.drive.gateways import Gateways, NoGateway
from load.drive.line import Line
from load.plan.plan import Absence
from sut.protocol.client_socket import address_of

CONNECT_S: Final = 5.0
"""Seconds from the first SYN to the 101 of the gateway."""
READ: Final = 64 * 1024
_BROKEN: Final = select.EPOLLERR | select.EPOLLHUP
_LOGGER = logging.getLogger(__name__)


class Phase(IntEnum):
    """What a device does about its connection."""

    PARKED = 0  # the ramp has not come to it
    AWAY = 1  # as planned
    WAITING = 2  # before the next attempt
    ASKING = 3  # for a gateway, or a new token
    DIALLING = 4
    UPGRADING = 5
    OPEN = 6


SETTLED: Final = frozenset((Phase.AWAY, Phase.WAITING, Phase.OPEN))
"""The phases in which a device can rest."""


class Crew(Protocol):
    """The part of a crew that a session needs (load/drive/lean/crew.py)."""

    gateways: Gateways
    source: str
    """The address from which the devices connect; "" for any."""
    now: float
    """Seconds on the clock of the devices, at the last look."""

    def watch(self, fd: int, row: int, mask: int) -> None:
        """Tell the row when this socket is ready."""

    def forget(self, fd: int) -> None:
        """The socket is about to be closed."""

    def token(self, row: int) -> str:
        """Return the token of a device."""

    def want_gateway(self, session: LeanSession) -> None:
        """Call `connect` of the session soon, with a fresh list of gateways."""

    def want_token(self, session: LeanSession) -> None:
        """Call `renewed` of the session once it has a new token, or cannot get one."""


def dial(host: str, port: int, source: str = "") -> int:
    """Begin a TCP connection and return its file descriptor. Raises OSError. `source`: the address to come from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            # The port is chosen at the connect, when the whole address is known: a search among few free ports, and
            # every connection that has ended keeps its own for a minute.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        error = sock.connect_ex((host, port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        sock.close()
        raise
    return sock.detach()


def read(fd: int) -> bytes | None:
    """Return what has arrived, b"" at the end of the stream or if it broke; None: nothing has."""
    try:
        return os.read(fd, READ)
    except BlockingIOError:
        return None
    except OSError:
        return b""


IP_BIND_ADDRESS_NO_PORT: Final = 24
"""From linux/in.h; Python names it from 3.12 on."""


class LeanSession(Line):
    """One device that is active. `row` is its place in the crew."""

    __slots__ = ("_crew", "_renewed", "_url", "phase", "row", "until")

    def __init__(self, device: Device, crew: Crew, row: int, *, phase: Phase, fd: int, until: float) -> None:
        super().__init__(device)
        self._crew = crew
        self._fd = fd
        self._url = ""
        self._renewed = False
        self.row = row
        self.phase = phase
        self.until = until
        """AWAY, WAITING: the end of it. DIALLING, UPGRADING: when the attempt is given up."""

    @property
    def fd(self) -> int:
        """The file descriptor of the socket; -1 without one."""
        return self._fd

    def wake_at(self, now: float) -> float:
        """Return when `on_time` has something to do."""
        return min(super().wake_at(now), self.until if self.phase is not Phase.OPEN else math.inf)

    def on_time(self, now: float) -> None:
        """Do what is due."""
        self.on_alarm(now)
        if self.phase is Phase.AWAY:
            self.seek(now)
        elif self.until > now:
            return
        elif self.phase is Phase.WAITING:
            self.seek(now)
        elif self.phase in (Phase.DIALLING, Phase.UPGRADING):
            self._ended(now, "no answer in time")

    def seek(self, now: float) -> None:
        """Connect, or stay away until the planned absence is over."""
        until = self.device.away_until(now)
        if until > now:
            self.device.stay_away()
            self.phase, self.until = Phase.AWAY, until
            return
        self.device.seek()
        self._url, self._renewed = "", False
        self.phase, self.until = Phase.ASKING, math.inf
        self._crew.want_gateway(self)

    def connect(self, now: float) -> None:
        """Dial a gateway: the crew's list is fresh."""
        try:
            self._url = self._crew.gateways.choose()
            to = address_of(self._url)
            self._fd = dial(to.host, to.port, self._crew.source if to.host.startswith("127.") else "")
        except (NoGateway, OSError, ValueError) as error:
            self._ended(now, str(error))
            return
        self.phase, self.until = Phase.DIALLING, now + CONNECT_S
        self._upgrade(now)

    def renewed(self, now: float, error: str) -> None:
        """The crew has a new token, or says why not."""
        if error:
            self._ended(now, error)
        else:
            self.connect(now)

    def on_ready(self, mask: int, now: float) -> None:
        """The socket can be written (DIALLING), or read."""
        if self.phase is Phase.DIALLING:
            if mask & _BROKEN:
                self._ended(now, "refused")
                return
            self._crew.forget(self._fd)
            self._upgrade(now)
        else:
            data = read(self._fd)
            if data is not None:
                self.take(data, now)

    def _upgrade(self, now: float) -> None:
        """Ask for the upgrade if the connection is made by now, as one within a machine is; otherwise once it is."""
        self.device.connect(self._url, self._crew.token(self.row))
        request = self.device.output()
        try:
            self._unwritten = request[os.write(self._fd, request) :]
        except BlockingIOError:
            self._crew.watch(self._fd, self.row, select.EPOLLOUT)
        except OSError as error:
            self._ended(now, str(error))
        else:
            self.phase = Phase.UPGRADING
            self._crew.watch(self._fd, self.row, select.EPOLLIN)

    def take(self, data: bytes, now: float) -> None:
        """Take what was read; empty at the end of the stream."""
        device = self.device
        device.receive(data, now)
        self._flush()
        if self.phase is Phase.UPGRADING:
            if device.open:
                self.phase, self.until = Phase.OPEN, math.inf
            elif device.refusal is Refusal.TOKEN and not self._renewed:
                self._hang_up()
                self._renewed = True
                self.phase, self.until = Phase.ASKING, math.inf
                self._crew.want_token(self)
                return
            elif device.refusal is not None:
                self._ended(now, device.refusal_text)
                return
        if not data or device.must_drop:
            self._ended(now, device.must_drop)

    def leave(self, now: float) -> None:
        """Take the device offline as planned, at once."""
        self.phase, self.until = Phase.PARKED, math.inf
        if self._fd < 0:
            self.device.stay_away()
        else:
            self.device.leave(Absence(0, 0, clean=True))
            self._flush()
            self._hang_up()
            self.device.closed(now)

    def _drop(self) -> None:
        """End the connection. An alarm or a write may do so; the device learns of it at once."""
        was_up = self._fd >= 0
        self._hang_up()
        if was_up:
            self._ended(self._crew.now, "dropped")

    def _hang_up(self) -> None:
        if self._fd >= 0:
            self._crew.forget(self._fd)
            os.close(self._fd)
        super()._drop()

    def _ended(self, now: float, why: str) -> None:
        """The connection ended, or an attempt to make one: wait before the next."""
        if self.phase in (Phase.WAITING, Phase.AWAY, Phase.PARKED):
            return
        if not self.device.open and self._url:
            self._crew.gateways.failed(self._url)
        if why:
            _LOGGER.debug("device %d at %s: %s", self.device.device, self._url, why)
        self.phase = Phase.WAITING
        self._hang_up()
        self.until = now + self.device.closed(now)
