"""Devices without TLS: their sockets in one epoll, which is one reader of the event loop.

A transport of uvloop takes 1.2 KB, most of what a connection costs. Here a connection's socket is a number and a small
object. What is written to it in one turn of the loop goes out in one system call. A `Wire` does for `Connection` what
asyncio's transports do: the same calls, the same order, `connection_lost` at the end and once.

A turn of the loop costs several times what a heartbeat in it costs: to wake a sleeping process of a virtual machine
took 65 us of CPU, measured. So a gateway with many busy sockets does not look at each as it becomes ready, but at all
of them every few milliseconds. Devices that are connected have their turn before those that ask to be, and these get
TURN_S in one turn: a gateway that gets all devices of another one still delivers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from sut.gateway.connection import Connection, Shared
from sut.gateway.listening import Listener

AT_ONCE: Final = 256
"""Sockets that are served in one turn of the event loop, before the gateway's peers have theirs."""
READ: Final = 16 << 10
"""Bytes of one socket that are read in one turn."""
HIGH: Final = 64 << 10
"""Bytes that wait before the protocol is told to pause, until it says otherwise. It resumes at a quarter."""

LOOK_S_A_SOCKET: Final = 1e-6
MAX_LOOK_S: Final = 0.01
"""Seconds between two looks at many busy sockets, in all. A frame is read as much later at most, half of it on
average."""
MANY: Final = 2_000
"""Open sockets below which each is looked at when it is ready."""
BUSY_PER_S: Final = 300
"""Turns of the loop a second from which on the sockets are looked at at intervals instead."""
TURN_S: Final = 0.005
"""Seconds of one turn that go to sockets whose device is not connected yet."""

WINDOW_S: Final = 0.1
"""Seconds over which turns are counted."""
LOOKS: Final = 32
"""Looks over which the sockets served in one are averaged."""

_BLOCKED: Final = 2
"""The protocol was told to pause writing."""
_ENDING: Final = 4
"""Nothing is written after what waits: then the peer is told."""
_ENDED: Final = 8
"""The peer was told."""
_CLOSING: Final = 16
"""Nothing is read or written after what waits: then the socket is closed."""
_QUEUED: Final = 32
"""It is flushed at the end of this turn."""
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

log = logging.getLogger("sockets")


class Wires:
    """All sockets of a gateway. Belongs to the running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.poll = select.epoll()
        self.wires: dict[int, Wire] = {}
        self._written: list[Wire] = []
        self._in_turn = False
        self._pace = Pace()
        self._look: asyncio.TimerHandle | asyncio.Handle | None = None
        """The next look, while the sockets are looked at at intervals."""
        self._door = -1
        self._accept: Callable[[], None] = _nothing
        self.loop.add_reader(self.poll.fileno(), self._ready)

    def open_door(self, fd: int, accept: Callable[[], None]) -> None:
        """Call `accept` when this listening socket is ready, as it is served as the others are."""
        self._door, self._accept = fd, accept
        self.poll.register(fd, select.EPOLLIN)

    def close_door(self) -> None:
        """Look no more at the listening socket, which is still open."""
        if self._door >= 0 and not self.poll.closed:
            self.poll.unregister(self._door)
        self._door = -1

    def flush_later(self, wire: Wire) -> None:
        """Flush it at the end of this turn."""
        if not self._written and not self._in_turn:
            self.loop.call_soon(self._flush)
        self._written.append(wire)

    def close(self) -> None:
        """Write what the kernel takes, and close all sockets."""
        self._flush()
        for wire in list(self.wires.values()):
            wire.abort()
        if self._look is not None:
            self._look.cancel()
        if not self.poll.closed:
            self.loop.remove_reader(self.poll.fileno())
            self.poll.close()

    def _flush(self) -> None:
        written, self._written = self._written, []
        for wire in written:
            try:
                wire.flush_now()
            except Exception:
                log.exception("a connection failed")
                wire.abort()

    def _ready(self) -> None:
        """Serve a socket that is ready."""
        self._serve()
        if len(self.wires) >= MANY and self._pace.is_busy(self.loop.time()):
            self.loop.remove_reader(self.poll.fileno())
            self._look = self.loop.call_later(self._look_s, self._look_again)

    @property
    def _look_s(self) -> float:
        return min(MAX_LOOK_S, len(self.wires) * LOOK_S_A_SOCKET)

    def _look_again(self) -> None:
        """Serve the sockets that became ready since the last look."""
        served, rest = self._serve()
        if rest:
            self._look = self.loop.call_soon(self._look_again)
        elif self._pace.pays(served):
            self._look = self.loop.call_later(self._look_s, self._look_again)
        else:
            self._look = None
            self.loop.add_reader(self.poll.fileno(), self._ready)

    def _serve(self) -> tuple[int, bool]:
        """Serve the sockets that are ready now. Returns how many, and True if there may be more."""
        found = self.poll.poll(0, AT_ONCE)
        begins: list[tuple[Wire, int]] = []
        self._in_turn = True
        for fd, events in found:
            wire = self.wires.get(fd)  # None: it was closed in this turn
            if wire is None:
                if fd == self._door:
                    self._open_door()
            elif wire.begins:
                begins.append((wire, events))
            else:
                self._serve_one(wire, events)
        left = bool(begins) and self._serve_new(begins)
        self._in_turn = False
        if self._written:
            self._flush()
        return len(found), left or len(found) == AT_ONCE

    def _open_door(self) -> None:
        try:
            self._accept()
        except Exception:
            log.exception("a connection was not accepted")

    def _serve_new(self, begins: list[tuple[Wire, int]]) -> bool:
        """Serve them until TURN_S is over. Returns True if some are left: epoll names them again."""
        end_s = time.monotonic() + TURN_S
        for wire, events in begins:
            self._serve_one(wire, events)
            if time.monotonic() > end_s:
                return wire is not begins[-1][0]
        return False

    def _serve_one(self, wire: Wire, events: int) -> None:
        try:
            wire.ready(events)
        except Exception:
            log.exception("a connection failed")
            wire.abort()


class Pace:
    """Says when looks at intervals serve several sockets each. Pure; times in seconds of one clock."""

    __slots__ = ("_per_look", "_since_s", "_turns")

    def __init__(self) -> None:
        self._turns = 0
        self._since_s = 0.0
        self._per_look = 0.0

    def is_busy(self, now_s: float) -> bool:
        """Note a turn for a socket that became ready. Returns True once there are more than BUSY_PER_S of them."""
        self._turns += 1
        passed_s = now_s - self._since_s
        if passed_s < WINDOW_S:
            return False
        busy = passed_s < 2 * WINDOW_S and self._turns > BUSY_PER_S * passed_s
        self._turns, self._since_s, self._per_look = 0, now_s, 2.0
        return busy

    def pays(self, served: int) -> bool:
        """Note a look that served so many sockets. Returns False once most looks find nothing, or one socket."""
        self._per_look += (served - self._per_look) / LOOKS
        return self._per_look >= 1.0


class Wire(asyncio.Transport):
    """One socket, and what waits to be written to it."""

    __slots__ = ("_fd", "_flags", "_high", "_mask", "_out", "_protocol", "_wires")

    def __init__(self, wires: Wires, sock: socket.socket, protocol: Connection) -> None:
        """Take the socket over."""
        # Without the constructor of the base class: it makes a dict.
        self._wires = wires
        self._protocol = protocol
        self._out: bytes | bytearray = b""
        self._flags = 0
        self._high = HIGH
        self._mask = select.EPOLLIN
        self._fd = fd = sock.detach()
        wires.wires[fd] = self
        wires.poll.register(fd, self._mask)
        protocol.connection_made(self)

    @property
    def begins(self) -> bool:
        """True until its device is connected."""
        return self._protocol.begins

    def ready(self, events: int) -> None:
        """Read and write as epoll says."""
        if events & select.EPOLLOUT:
            self.flush_now()
        if self._fd < 0 or events == select.EPOLLOUT:
            return
        if not self._mask & select.EPOLLIN:
            if events & _GONE:
                self._end(None)
            return
        try:
            data = os.read(self._fd, READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write at the end of this turn, or at once if much waits."""
        if self._flags & (_ENDING | _CLOSING):
            return
        if not self._out:
            self._out = bytes(data)
        else:
            if isinstance(self._out, bytes):
                self._out = bytearray(self._out)
            self._out += data
        if self._mask & select.EPOLLOUT:
            self._tell_to_pause()
        elif len(self._out) > self._high:
            self.flush_now()
        elif not self._flags & _QUEUED:
            self._flags |= _QUEUED
            self._wires.flush_later(self)

    def flush_now(self) -> None:
        """Write what the kernel takes. Tell the protocol to pause or to resume, and end what was to end."""
        self._flags &= ~_QUEUED
        if self._fd < 0:
            return
        if self._out:
            try:
                sent = os.write(self._fd, self._out)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._end(error)
                return
            self._out = b"" if sent == len(self._out) else bytearray(self._out)[sent:]
            if not self._out and self._mask == select.EPOLLIN and not self._flags:
                return  # as mostly: nothing else is to be done
        self._want(select.EPOLLOUT, wanted=bool(self._out))
        self._tell_to_pause()
        if self._flags & _BLOCKED and len(self._out) <= self._high // 4:
            self._flags &= ~_BLOCKED
            self._protocol.resume_writing()
        if not self._out and self._flags & (_ENDING | _CLOSING):
            self._finish()

    def _tell_to_pause(self) -> None:
        if len(self._out) > self._high and not self._flags & _BLOCKED:
            self._flags |= _BLOCKED
            self._protocol.pause_writing()

    def _finish(self) -> None:
        if self._flags & _CLOSING:
            self._end(None)
        elif not self._flags & _ENDED:
            self._flags |= _ENDED
            self._with_socket(lambda sock: sock.shutdown(socket.SHUT_WR))

    def write_eof(self) -> None:
        """Tell the peer, after what waits, that no more comes. It may still send."""
        if not self._flags & (_ENDING | _CLOSING):
            self._flags |= _ENDING
            self.flush_now()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        """Write what waits, then close the socket. Nothing is read any more."""
        if not self._flags & _CLOSING:
            self._flags |= _CLOSING
            self._want(select.EPOLLIN, wanted=False)
            self.flush_now()

    def abort(self) -> None:
        """Close the socket at once."""
        self._flags |= _CLOSING
        self._end(None)

    def is_closing(self) -> bool:
        return bool(self._flags & _CLOSING)

    def pause_reading(self) -> None:
        if not self._flags & _CLOSING:
            self._want(select.EPOLLIN, wanted=False)

    def resume_reading(self) -> None:
        if not self._flags & _CLOSING:
            self._want(select.EPOLLIN, wanted=True)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set where the protocol is told to pause. `low` is a quarter of it."""
        self._high = HIGH if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._out)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the "peername", or a copy of the "socket" that the caller closes."""
        if self._fd < 0:
            return default
        if name == "peername":
            return self._with_socket(lambda sock: sock.getpeername())
        return socket.socket(fileno=os.dup(self._fd)) if name == "socket" else default

    def _with_socket(self, use: Callable[[socket.socket], Any]) -> Any:
        """Return what `use` returns; None if the socket is not connected any more."""
        sock = socket.socket(fileno=self._fd)
        try:
            return use(sock)
        except OSError:
            return None
        finally:
            sock.detach()

    def _want(self, event: int, *, wanted: bool) -> None:
        mask = self._mask | event if wanted else self._mask & ~event
        if mask != self._mask and self._fd >= 0:
            self._mask = mask
            self._wires.poll.modify(self._fd, mask)

    def _end(self, error: OSError | None) -> None:
        if self._fd < 0:
            return
        self._flags |= _CLOSING
        self._wires.poll.unregister(self._fd)
        del self._wires.wires[self._fd]
        os.close(self._fd)
        self._fd = -1
        self._out = b""
        self._wires.loop.call_soon(self._protocol.connection_lost, error)


def _nothing() -> None:
    pass


class PlainListener(Listener):
    """Listens on a bound socket, which it owns. Belongs to the running loop."""

    def __init__(self, gateway: Shared, sock: socket.socket) -> None:
        """Start to listen. Raises OSError; then the socket is closed."""
        self._wires = Wires()
        super().__init__(gateway, sock)

    def _watch(self) -> None:
        self._wires.open_door(self._sock.fileno(), self._accept)

    def _look_away(self) -> None:
        self._wires.close_door()

    def end(self) -> None:
        """Stop accepting, and close all sockets."""
        self.close()
        self._wires.close()

    def _take(self, connection: Connection, client: socket.socket, address: str) -> None:
        Wire(self._wires, client, connection)
