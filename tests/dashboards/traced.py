"""Run directories with hand-made stamps, written by the writers that a real run has."""

from collections import defaultdict
from pathlib import Path

import msgspec

from load.history.events import Event, Explanation, message_id
from load.history.writer import HistoryWriter
from sut.process.trace import RECORD, Hop

T0_NS = 1_790_000_000 * 10**9
MS = 1_000_000
EVERY = 4
MACHINE = 77
USUAL_MS = {
    "wait": 1.0, "gateway": 2.0, "chat": 3.0, "append": 4.0, "apply": 5.0, "notify": 6.0, "receive": 7.0, "fetch": 8.0,
    "show": 0.5,
}  # fmt: skip
"""How long each hop of a message takes where a test does not say."""


def ns(at_ms: float) -> int:
    """A time of the run's clock."""
    return T0_NS + round(at_ms * MS)


class TracedRun:
    """Collects stamps and events; `write` makes the directory. Devices connect to gateway-N, N = 1 + device % 2."""

    def __init__(self, path: Path, *, every: int = EVERY) -> None:
        self.path = path
        self.every = every
        self._stamps: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
        self._events: list[dict[str, int]] = []
        self._lines: list[dict[str, object]] = []
        self._seqs: defaultdict[int, int] = defaultdict(int)
        self._connected: set[int] = set()

    def stamp(
        self, service: str, hop: Hop, at_ms: float, *, device: int = 0, client_seq: int = 0, conv: int = 0, seq: int = 0
    ) -> None:
        """One stamp; the first of a service is preceded by its START."""
        if service not in self._stamps:
            self._stamps[service].append((ns(-10_000), MACHINE, self.every, 0, 0, Hop.START))
        self._stamps[service].append((ns(at_ms), device, client_seq, conv, seq, hop))

    def event(self, kind: int, at_ms: float, **fields: int) -> None:
        """One event of the swarm's history."""
        self._events.append({"kind": kind, "t": ns(at_ms), **fields})

    def fault(self, name: str, start_ms: float, stop_ms: float) -> None:
        """A fault that took effect and was healed."""
        for phase, at_ms in (("inject", start_ms), ("heal", stop_ms)):
            self._lines.append({"e": "fault", "t": ns(at_ms), "name": name, "target": "chat-1", "phase": phase})

    def connect(self, device: int, at_ms: float = -5_000) -> str:
        """The device opens a connection; its gateway."""
        gateway = f"gateway-{1 + device % 2}"
        self._connected.add(device)
        self.stamp(gateway, Hop.OPENED, at_ms, device=device)
        return gateway

    def message(
        self,
        client_seq: int,
        *,
        due_ms: float,
        sender: int = 1,
        readers: tuple[int, ...] = (2,),
        group: bool = True,
        conv: int = 9,
        without: tuple[Hop, ...] = (),
        **hops_ms: float,
    ) -> None:
        """A message that takes every hop, as long as usual or as told; `without`: hops whose stamps are missing."""
        takes = {**USUAL_MS, **hops_ms}
        self._seqs[conv] += 1
        seq, msg = self._seqs[conv], message_id(sender, client_seq)
        who = {"device": sender, "client_seq": client_seq}
        for device in (sender, *readers):
            if device not in self._connected:
                self.connect(device)

        def stamp(service: str, hop: Hop, at_ms: float, **fields: int) -> None:
            if hop not in without:
                self.stamp(service, hop, at_ms, **fields)

        at = due_ms + takes["wait"]
        self.event(Event.SEND, at, due=ns(due_ms), device=sender, conv=conv, msg=msg, hash_=msg)
        at += takes["gateway"]
        stamp(f"gateway-{1 + sender % 2}", Hop.HANDED_ON, at, **who)
        stamp("chat-1", Hop.TAKEN, at + takes["chat"] / 2, **who)
        at += takes["chat"]
        stamp("chat-1", Hop.APPENDING, at, conv=conv, **who)
        at += takes["append"]
        stamp("chat-1", Hop.DURABLE, at, conv=conv, **who)
        at += takes["apply"]
        stamp("sequencer-1", Hop.APPLIED, at, conv=conv, seq=seq, **who)
        self.event(Event.ACK, at + 1, device=sender, conv=conv, msg=msg, seq=seq)
        wrote = at + takes["notify"]
        for gateway in sorted({f"gateway-{1 + reader % 2}" for reader in readers}):
            stamp(gateway, Hop.TOLD if group else Hop.SENT, wrote, conv=conv, seq=seq)
        for reader in readers:
            at = wrote + takes["receive"]
            seen = {"device": reader, "conv": conv, "msg": msg, "seq": seq}
            if group:
                self.event(Explanation.NOTIFIED, at, **seen)
                at += takes["fetch"]
            self.event(Event.WIRE, at, hash_=msg, **seen)
            self.event(Event.SHOW, at + takes["show"], hash_=msg, **seen)

    def write(self) -> Path:
        """The run directory."""
        (self.path / "metrics").mkdir(parents=True)
        (self.path / "history").mkdir()
        for service, stamps in self._stamps.items():
            packed = b"".join(RECORD.pack(*stamp) for stamp in sorted(stamps))
            (self.path / "metrics" / f"trace-{service}.bin").write_bytes(packed)
        writer = HistoryWriter(self.path / "history" / "swarm-1.bin")
        writer.append(Explanation.MACHINE, t=ns(-9_000), msg=MACHINE, seq=self.every)
        for event in self._events:
            fields = dict(event)
            writer.append(fields.pop("kind"), **fields)
        writer.close()
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines)
        (self.path / "history" / "runner.jsonl").write_bytes(lines)
        return self.path
