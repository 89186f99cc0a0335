"""Drives one device over a plain socket under gevent.

The greenlet that calls `run` (a Locust user's) connects, reads and reconnects; nothing else waits for this device. The
one alarm greenlet of the process does timed work (sends, retries, going offline), see load/drive/fleet.py. It must
never wait for a device (load/drive/line.py).
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import gevent
from gevent import socket
from gevent.event import Event

from load.device.device import Device, Refusal
from load.device.secure import SecureStream
from load.drive.api import ApiError
from load.drive.gateways import Gateways, NoGateway
from load.drive.line import Line
from load.history.writer import HistoryError
from load.plan.plan import Absence

CONNECT_S: Final = 5.0
"""Seconds from the first SYN to the 101 of the gateway."""
_LOGGER = logging.getLogger(__name__)
_READ: Final = 64 * 1024
T = TypeVar("T")


class Fleet(Protocol):
    """The part of a fleet that a session needs (load/drive/fleet.py)."""

    tokens: dict[int, str]
    """Device -> its token."""
    gateways: Gateways
    ways: Sequence[Mapping[str, tuple[str, int]]]
    """For each cell, the address that leads to a gateway, by the gateway's HOST:PORT."""
    begun: Event
    """Set when t0 is known."""
    quiet: Event
    """Set when no device sends or stays away any more."""

    @property
    def clock(self) -> Callable[[], float]:
        """Returns seconds on the clock of `Run.t0_s`."""

    @property
    def secure(self) -> ssl.SSLContext:
        """TLS settings for connections to gateways with wss URLs."""

    def renew_token(self, device: int) -> None:
        """Replace the device's token. Raises ApiError."""

    def set_alarm(self, session: Session) -> None:
        """Make sure that the session's `on_alarm` runs when it has something to do."""

    def abandon(self, fd: int) -> None:
        """Leave an open connection unread, as one whose device has gone elsewhere."""

    def failed(self, reason: str) -> None:
        """The history cannot be written any more."""


class Session(Line):
    """The I/O of one device. Only `run` may wait."""

    __slots__ = ("_fleet", "_sock", "_tls", "alarm_at")

    def __init__(self, device: Device, fleet: Fleet) -> None:
        super().__init__(device)
        self.alarm_at = math.inf
        """When the fleet has this session's alarm; only the fleet sets it."""
        self._fleet = fleet
        self._sock: socket.socket | None = None
        self._tls: SecureStream | None = None

    def run(self) -> None:
        """Run this device until the greenlet is killed; then the device goes offline as planned, at once."""
        try:
            while True:
                self._wait_until_wanted()
                gevent.sleep(self._one_connection())
        except HistoryError as error:
            self._fleet.failed(str(error))
        finally:
            self._end()

    def act(self, deed: Callable[[Device, float], T]) -> T:
        """Have the person do something now: `deed(device, now)`. Never waits. Raises what the deed raises."""
        try:
            return deed(self.device, self._fleet.clock())
        except HistoryError as error:
            self._fleet.failed(str(error))
            raise
        finally:
            self._flush()
            self._fleet.set_alarm(self)

    def wait_until_begun(self) -> None:
        """Wait for the time 0 of the plan: before it nobody may send."""
        self._fleet.begun.wait()
        gevent.sleep(max(0.0, self.device.begins_at - self._fleet.clock()))

    @property
    def quiet(self) -> bool:
        """True once no device sends any more."""
        return bool(self._fleet.quiet.is_set())

    def _wait_until_wanted(self) -> None:
        while True:
            now = self._fleet.clock()
            until = self.device.away_until(now)
            if until <= now:
                self.device.seek()
                return
            self.device.stay_away()
            if until == math.inf:
                self._fleet.begun.wait()
            else:
                self._fleet.quiet.wait(until - now)

    def _one_connection(self) -> float:
        """Connect, and read until the connection ends. Returns the seconds to wait before the next attempt."""
        device, fleet = self.device, self._fleet
        url, cell = "", device.cell(len(fleet.ways))
        try:
            url = fleet.gateways.pick(cell)
            self._connect(url)
            if device.refusal is Refusal.TOKEN:
                self._close()
                fleet.renew_token(device.device)
                self._connect(url)
            if device.open:
                self._read()
            else:
                fleet.gateways.failed(url, cell)
        except (OSError, gevent.Timeout) as error:
            if not device.open:
                fleet.gateways.failed(url, cell)
            _LOGGER.debug("device %d at %s: %s", device.device, url, error)
        except (NoGateway, ApiError) as error:
            _LOGGER.debug("device %d: %s", device.device, error)
        if ended := device.must_drop or device.refusal_text:
            _LOGGER.debug("device %d at %s: %s", device.device, url, ended)
        self._close()
        wait_s = device.closed(fleet.clock())
        fleet.set_alarm(self)
        return wait_s

    def _connect(self, url: str) -> None:
        """Connect TCP and send the upgrade. Raises OSError or gevent.Timeout; the device holds a refusal."""
        device, fleet = self.device, self._fleet
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        cell = device.cell(len(fleet.ways))
        to = (host, port) if cell is None else fleet.ways[cell][parts.netloc]
        with gevent.Timeout(CONNECT_S):
            sock = self._sock = socket.socket(socket.AF_INET6 if ":" in to[0] else socket.AF_INET)
            sock.connect(to)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._fd = sock.fileno()
            self._tls = SecureStream(fleet.secure, host) if secure else None
            device.connect(url, fleet.tokens[device.device])
            self._flush()
            while not device.open and device.refusal is None:
                fleet.set_alarm(self)
                if not self._take(sock):
                    return

    def _read(self) -> None:
        """Read until the connection ends, from either side. Raises OSError if it breaks."""
        device, fleet, sock = self.device, self._fleet, self._sock
        assert sock is not None
        while not device.must_drop:
            fleet.set_alarm(self)
            if not self._take(sock):
                return

    def _take(self, sock: socket.socket) -> bool:
        """Wait for bytes and pass them on; returns False at the end of the stream. Raises OSError."""
        data = sock.recv(_READ)
        plain = self._tls.receive(data) if self._tls is not None and data else data
        if plain or not data:
            self.device.receive(plain, self._fleet.clock())
        self._flush()
        return bool(data)

    def _sealed(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        tls = self._tls
        try:
            tls.send(data)
        except OSError:
            self._drop()
        return tls.output()

    def _drop(self) -> None:
        """End the connection from outside the reading greenlet, which then wakes with an OSError."""
        super()._drop()
        self._tls = None
        if self._sock is not None:
            if self.device.moved and self._sock.fileno() >= 0:
                self._fleet.abandon(os.dup(self._sock.fileno()))
            self._sock.close()

    def _close(self) -> None:
        self._drop()
        self._sock = None

    def _end(self) -> None:
        """Take the device offline as planned, at once."""
        with contextlib.suppress(HistoryError):  # reported already
            if self._sock is None:
                self.device.stay_away()
                return
            self.device.leave(Absence(0, 0, clean=True))
            self._flush()
            self._close()
            self.device.closed(self._fleet.clock())
        self._close()
