"""The parent of fleet processes: `python -m load.drive.lean.parent`, started by host.py.

It imports everything, computes population and plan in a process that ends afterwards, fetches the tokens and freezes
what it has. Then it forks fleet processes as it is told, and passes words between them and Locust's process. It ends
when its standard input ends, or its last process has.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
from array import array
from collections.abc import Iterable

import msgspec

from load.drive.api import ApiClient, ApiError
from load.drive.lean import world as worlds
from load.drive.lean.process import Fleet, device_of
from load.drive.lean.words import Lines, Order, Said, Start, line
from load.drive.lean.world import World
from load.drive.part import Part
from load.history.writer import HistoryError


class Tokens:
    """The tokens of all devices of this machine, as bytes without objects."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._bytes = bytearray()
        self._from = array("Q", [0])
        for token in tokens:
            self._bytes += token.encode("ascii")
            self._from.append(len(self._bytes))

    def __call__(self, row: int) -> str:
        return self._bytes[self._from[row] : self._from[row + 1]].decode("ascii")


def computed(part: Part) -> bytes:
    """Return the packed world, made in a process of its own, whose memory is gone afterwards. Raises HistoryError."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                out.write(worlds.pack(part.config, part.worker, part.workers))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as packed:
        found = packed.read()
    if os.waitpid(pid, 0)[1]:
        raise HistoryError("the plan could not be computed: its process failed, or was killed for want of memory")
    return found


class Parent:
    """Forks, and passes words."""

    def __init__(self, start: Start) -> None:
        """Compute the plan and get the tokens of all devices. Raises ApiError, HistoryError."""
        part = start.part
        self._fleets = start.fleets
        self._world = World(computed(part), part.conversations)
        self._part = msgspec.structs.replace(part, conversations=())
        api = ApiClient(part.config.api_url, allowed=part.config.allowed)
        devices = (device_of(part, row) for row in range(self._world.rows))
        self._tokens = Tokens(api.each_token(part.config.api_key, devices))
        self._pipes: dict[int, socket.socket] = {}
        """Number -> the pipe to that process."""
        self._pids: dict[int, int] = {}
        self._heard: dict[int, Lines[Said]] = {}
        self._launched = False

    def serve(self) -> None:
        """Serve until the standard input ends, or the last process has."""
        orders, done = Lines(Order), False
        while not done:
            watched: list[int | socket.socket] = [0, *self._pipes.values()]
            ready, _, _ = select.select(watched, [], [])
            if 0 in ready:
                data = os.read(0, 65536)
                done = not data
                for order in orders.feed(data):
                    self._obey(order)
            for number in [number for number, pipe in self._pipes.items() if pipe in ready]:
                self._hear(number)
            done = done or (self._launched and not self._pipes)
        for pipe in self._pipes.values():
            pipe.close()
        for pid in self._pids.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _obey(self, order: Order) -> None:
        if order.launch is not None:
            self._fork(order.launch)
            return
        to = [order.end] if order.end is not None else list(self._pipes)
        said = line(Order(stop=True) if order.end is not None else order)
        for number in to:
            if number in self._pipes:
                with contextlib.suppress(OSError):
                    self._pipes[number].sendall(said)

    def _fork(self, number: int) -> None:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid:
            theirs.close()
            self._pipes[number], self._pids[number], self._heard[number] = ours, pid, Lines(Said)
            self._launched = True
            return
        status = 1
        try:
            ours.close()
            for pipe in self._pipes.values():
                pipe.close()
            os.close(0)
            status = _live(self._part, self._world, self._tokens, number=number, fleets=self._fleets, pipe=theirs)
        finally:
            os._exit(status)

    def _hear(self, number: int) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = self._pipes[number].recv(1 << 20)
        for said in self._heard[number].feed(data):
            _say(msgspec.structs.replace(said, fleet=number))
        if not data:
            self._pipes.pop(number).close()
            _, status = os.waitpid(self._pids.pop(number), 0)
            code = os.waitstatus_to_exitcode(status)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}" if code else "well"
            _say(Said(fleet=number, ended=how))


def _live(part: Part, world: World, tokens: Tokens, *, number: int, fleets: int, pipe: socket.socket) -> int:
    """Be a fleet process. Returns the exit status."""
    fleet: Fleet | None = None
    try:
        fleet = Fleet(part, world, tokens, number=number, fleets=fleets, pipe=pipe)
        fleet.run()
        fleet.close()
    except HistoryError as error:
        if fleet is not None:
            fleet.hole(str(error))
        with contextlib.suppress(OSError):
            pipe.sendall(line(Said(failed=str(error))))
        return 1
    except Exception:
        logging.exception("a fleet process failed")
        return 1
    return 0


def _say(said: Said) -> None:
    with contextlib.suppress(OSError):
        os.write(1, line(said))


def main() -> int:
    """Serve one host. Returns the exit status."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # for the fleet processes, which get it too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s] %(process)d/%(levelname)s/%(name)s: %(message)s")
    data = b""
    while not data.endswith(b"\n"):
        more = os.read(0, 1 << 20)
        if not more:
            return 0
        data += more
    try:
        parent = Parent(msgspec.json.decode(data, type=Start))
    except (ApiError, HistoryError) as error:
        _say(Said(failed=str(error)))
        return 1
    gc.collect()
    gc.freeze()
    _say(Said())  # ready
    parent.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
