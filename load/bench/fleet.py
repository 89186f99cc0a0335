"""What one device of a lean fleet costs in CPU, by event: `python -m load.bench.fleet`.

The devices of a fleet process (load/drive/lean/crew.py) talk over real sockets to a scripted gateway in a process of
its own, which answers every frame at once and tells of messages, receipts and resyncs at a fixed rate. Only the CPU of
the fleet's process counts, user and system, so the figures hold on a shared machine. They are printed as a line of
JSON, in us an event; the heartbeats that fall into a phase are taken off.

    connect   from the dial to rest: upgrade, WELCOME, SYNC, history
    beat      HEARTBEAT and BEAT of a device at rest
    resync    a BEAT that asks for a SYNC, the SYNC and its answer
    message   a MESSAGE to a device at rest: shown, RECV, rest again
    notify    a NOTIFY, FETCH, PAGE: shown, RECV, rest again
    receipt   a RECEIPT to a device at rest
    send      a planned send of a device at rest, its ACK, RECV, rest again
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import select
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, cast

from load.device import body as bodies
from load.device.device import Run
from load.drive.api import ApiClient
from load.drive.lean.crew import Crew
from load.drive.lean.world import Groups, Recipients, World, packed
from load.history.events import message_id
from load.history.recorder import Nobody, Recorder
from load.history.writer import HistoryWriter, now_ns
from load.plan.plan import US, DevicePlan, Plan, PlannedSend
from load.plan.population import Conversation, Population
from sut.protocol import frames as f
from sut.protocol.device.events import ClientSettings
from sut.protocol.handshake import accepted, check_upgrade, read_request
from sut.protocol.signals import Receipt, ReceiptKind, Receipts
from sut.protocol.websocket import FrameReader, Received, binary

MEMBERS: Final = 5
"""Members of a conversation; each device is in one."""
NAP_S: Final = 0.05
SETTLE_S: Final = 3.0
"""Seconds after a phase until its devices rest again."""
SETTINGS: Final = ClientSettings(renumber=False, rewind=False, sync_every_beats=250)
"""Those of a swarm, but for the SYNC after some heartbeats: that is a phase of its own."""
AT_ONCE: Final = 64
_FIRST_CONV: Final = 1 << 40
_STRANGER: Final = 1 << 30


def _conv(device: int) -> int:
    return _FIRST_CONV + (device - 1) // MEMBERS


class _Socket:
    __slots__ = ("device", "fd", "reader", "unread")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.device = 0
        self.unread = b""
        self.reader = FrameReader()


class Peer:
    """The scripted gateway. `control` brings lines: NAME RATE COUNT; each is answered with the counts so far."""

    def __init__(self, server: socket.socket, control: socket.socket, heartbeat_ms: int) -> None:
        self._server, self._control = server, control
        self._heartbeat_ms = heartbeat_ms
        self._sockets: dict[int, _Socket] = {}
        self._of: dict[int, _Socket] = {}
        self._heads: Counter[int] = Counter()
        self._welcomes: list[_Socket] = []
        self._epoll = select.epoll()
        self.counts: Counter[str] = Counter()

    def serve(self) -> None:
        """Serve until the control is closed."""
        for one in (self._server, self._control):
            one.setblocking(False)
            self._epoll.register(one.fileno(), select.EPOLLIN)
        script: list[int] = []
        what, every_s, at_s = "", 0.0, 0.0
        rng = random.Random(1)
        while True:
            wait_s = max(0.0, at_s - time.monotonic()) if script else -1
            for fd, _ in self._epoll.poll(wait_s):
                if fd == self._server.fileno():
                    self._accept()
                elif fd == self._control.fileno():
                    data = self._control.recv(100)
                    if not data:
                        return
                    what, rate, count = data.decode().split()
                    devices = sorted(self._of)
                    script = [devices[rng.randrange(len(devices))] for _ in range(int(count))]
                    every_s, at_s = 1 / float(rate), time.monotonic()
                    self._control.send(json.dumps(self.counts).encode())
                else:
                    self._read(self._sockets[fd])
            for new in self._welcomes:
                self._send(new, f.Welcome(new.device, new.device, 1, self._heartbeat_ms, f.MAX_BODY))
            self._welcomes.clear()
            while script and at_s <= time.monotonic():
                self._tell(what, script.pop())
                at_s += every_s

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            fd = sock.detach()
            self._sockets[fd] = _Socket(fd)
            self._epoll.register(fd, select.EPOLLIN)

    def _send(self, to: _Socket, frame: f.ServerFrame) -> None:
        os.write(to.fd, binary(f.encode(frame)))

    def _tell(self, what: str, device: int) -> None:
        to, conv = self._of[device], _conv(device)
        self.counts[what] += 1
        if what == "resync":
            self._send(to, f.Beat(f.BEAT_RESYNC))
        elif what == "receipt":
            self._heads[conv] += 1
            self._send(to, Receipts((Receipt(conv, self._heads[conv], ReceiptKind.DELIVERED, _STRANGER),)))
        elif what == "message":
            self._heads[device] += 1
            self._send(to, self._message(_FIRST_CONV + (1 << 20) + device, self._heads[device]))
        elif what == "notify":
            self._heads[-device] += 1
            entry = f.Entry(_FIRST_CONV + (2 << 20) + device, self._heads[-device], 0)
            self._send(to, f.Notify((entry,)))

    def _message(self, conv: int, seq: int) -> f.Message:
        msg = message_id(_STRANGER + conv, seq)
        body = bodies.make(seed=1, msg=msg & ((1 << 63) - 1), due_offset_ns=1, size=250)
        return f.Message(conv, seq, 0, _STRANGER + conv, _STRANGER + conv, seq, body)

    def _read(self, one: _Socket) -> None:
        data = os.read(one.fd, 1 << 16)
        if not data:
            self._epoll.unregister(one.fd)
            os.close(one.fd)
            del self._sockets[one.fd]
            self._of.pop(one.device, None)
            return
        if not one.device:
            one.unread += data
            request = read_request(one.unread)
            if request is None:
                return
            upgrade = check_upgrade(request)
            one.device = int(upgrade.token)
            self._of[one.device] = one
            os.write(one.fd, accepted(upgrade.key))
            self._welcomes.append(one)
            data = request.rest
        for message in one.reader.feed(data):
            if isinstance(message, Received) and message.op == 2:
                self._take(one, f.decode_client(message.payload))

    def _take(self, one: _Socket, frame: f.ClientFrame) -> None:
        self.counts[type(frame).__name__] += 1
        match frame:
            case f.Heartbeat():
                self._send(one, f.Beat(0))
            case f.Sync(req):
                self._send(one, f.Synced(req, 0, ()))
            case f.Fetch(req, conv, after):
                head = self._heads[-one.device]
                messages = tuple(self._message(conv, seq) for seq in range(after + 1, head + 1))
                self._send(one, f.Page(req, conv, head, head, messages))
            case f.Send(conv, client_seq):
                self._send(one, f.Ack(conv, client_seq, client_seq))  # as if nobody else wrote there
            case _:
                pass


class _Api:
    def __init__(self, url: str) -> None:
        self._url = url

    def gateways(self) -> tuple[str, ...]:
        return (self._url,)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Bench:
    """One fleet of `devices`, connected to a Peer."""

    def __init__(
        self, devices: int, history: Path, url: str, control: socket.socket, *, sends: int, rate: float, settle_s: float
    ) -> None:
        self.devices = devices
        self._settle_s = settle_s
        self._control = control
        users = list(range(1, devices + 1))
        groups = tuple(
            Conversation(key=f"g{at}", kind="group", members=tuple(users[at : at + MEMBERS]), weight=1.0)
            for at in range(0, devices, MEMBERS)
        )
        plans = {
            user: DevicePlan(
                sends=(PlannedSend(int(user * US / rate), (user - 1) // MEMBERS, 250),) if user <= sends else ()
            )
            for user in users
        }
        population = Population(first_id=1, activity=(1.0,) * devices, conversations=groups)
        made = packed(population, Plan(devices=plans, changes=()), list(plans.values()))
        world = World(made, [_FIRST_CONV + place for place in range(len(groups))])
        self.recorder = Recorder(
            HistoryWriter(history / "swarm-1.bin"), groups=Groups(world), recipients=Recipients(world),
            observer=Nobody(),
        )  # fmt: skip
        run = Run(
            seed=1, conversations=world.conversations, recorder=self.recorder,
            ties=world.ties(ignore_dependencies=False), settings=SETTINGS,
        )  # fmt: skip
        self.crew = Crew(
            world=world, first=0, step=1, device_of=lambda row: row + 1, run=run, tokens=lambda row: str(row + 1),
            api=cast("ApiClient", _Api(url)), api_key="", source="127.0.0.9",
        )  # fmt: skip

    def turn(self, seconds: float) -> None:
        """Run the devices for so long."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self.crew.turn(min(until, now + NAP_S))

    def connect(self) -> float:
        """Connect all devices, AT_ONCE at a time. Returns the CPU seconds."""
        began = _cpu_s()
        started = 0
        while self.recorder.counters.online < self.devices:
            self.crew.turn(time.monotonic() + NAP_S)
            while started < self.devices and started - self.recorder.counters.online < AT_ONCE:
                self.crew.start(started)
                started += 1
        self.turn(0.2)
        return _cpu_s() - began

    def order(self, what: str, rate: float, count: int) -> Counter[str]:
        """Tell the peer what to do next. Returns its counts so far."""
        self._control.send(f"{what} {rate} {count}".encode())
        return Counter(json.loads(self._control.recv(1 << 16)))

    def phase(self, what: str, rate: float, count: int) -> tuple[float, int]:
        """Let something happen `count` times. Returns the CPU seconds, and the heartbeats in them."""
        before, began = self.order(what, rate, count), _cpu_s()
        self.turn(count / rate + self._settle_s)
        used_s = _cpu_s() - began
        return used_s, self.order("none", 1.0, 0)["Heartbeat"] - before["Heartbeat"]

    def measure(self, rate: float, seconds: float) -> dict[str, float]:
        """Return the CPU seconds by event."""
        count = int(rate * seconds)
        found = {"connect": self.connect() / self.devices}
        gc.collect()
        gc.freeze()
        self.turn(self._settle_s)
        used_s, beats = self.phase("none", 1 / seconds, 1)
        found["beat"] = beat_s = used_s / max(1, beats)
        for what in ("resync", "message", "notify", "receipt"):
            used_s, beats = self.phase(what, rate, count)
            found[what] = (used_s - beats * beat_s) / count
        self.crew.begin(now_ns())
        used_s, beats = self.phase("none", rate, count)
        found["send"] = (used_s - beats * beat_s) / self.recorder.counters.sends
        return found

    @property
    def counts(self) -> dict[str, int]:
        """The recorder's counts that show whether all of it happened."""
        its = self.recorder.counters
        return {
            "online": its.online, "shown": its.shown, "acked": its.acked, "receipts": its.receipts,
            "recv": self.order("none", 1.0, 0)["Recv"], "drops": its.drops, "violations": its.violations,
        }  # fmt: skip


def measure(devices: int, rate: float, seconds: float, *, heartbeat_s: float, settle_s: float) -> dict[str, Any]:
    """Return the CPU in us by event, and counts."""
    server = socket.create_server(("127.0.0.1", 0), backlog=4096)
    ours, theirs = socket.socketpair()
    url = f"ws://127.0.0.1:{server.getsockname()[1]}/v1/ws"
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            Peer(server, theirs, round(heartbeat_s * 1000)).serve()
        finally:
            os._exit(0)
    server.close()
    theirs.close()
    sends = min(int(rate * seconds), devices)
    try:
        with tempfile.TemporaryDirectory() as history:
            bench = Bench(devices, Path(history), url, ours, sends=sends, rate=rate, settle_s=settle_s)
            found = bench.measure(rate, seconds)
            return {name: round(us * 1e6, 1) for name, us in found.items()} | {"counts": bench.counts}
    finally:
        gc.unfreeze()
        ours.close()
        os.waitpid(pid, 0)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the figures. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load.bench.fleet", description="CPU of a fleet's device by event.")
    parser.add_argument("--devices", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=200.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each phase")
    parser.add_argument("--heartbeat", type=float, default=10.0, help="seconds between the heartbeats of a device")
    asked = parser.parse_args(arguments)
    found = measure(asked.devices, asked.rate, asked.seconds, heartbeat_s=asked.heartbeat, settle_s=SETTLE_S)
    print(json.dumps(found))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
