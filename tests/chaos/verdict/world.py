"""A perfect chat system, simulated: its histories must always be judged valid.

Everything that may happen to a correct system happens here by chance: members come and go, devices go offline as
planned and by accident, acks are lost and sends retried, messages are refused or vanish, faults slow everything down
until they are healed. What it guarantees by construction is one global order of sequencing, in which every device
shows whatever it may see; so even causality across conversations holds.
"""

import random
from dataclasses import dataclass, field

MS = 1_000_000
S = 1_000_000_000
Line = dict[str, object]


@dataclass
class Message:
    """A number of a conversation: a message, or a membership change (msg 0)."""

    conv: int
    seq: int
    at: int
    msg: int = 0
    sender: int = 0
    sent: int = 0
    hash: int = 0
    acked: int | None = None


@dataclass
class World:
    """One history in the making."""

    rng: random.Random
    users: int = 4
    convs: int = 2
    sends: int = 30
    faults: int = 1
    own: bool = False
    start: int = 1_000 * S
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = self.rng
        self.length = 90 * S
        self.end = self.start + self.length
        self.devices = {10 * user + n: user for user in range(1, self.users + 1) for n in range(rng.randint(1, 2))}
        self.windows = [
            (at, at + rng.randint(2, 6) * S)
            for at in (self.start + (15 + 25 * n) * S + rng.randint(0, 3 * S) for n in range(self.faults))
        ]
        self.online = {device: self._intervals(device) for device in self.devices}
        self.numbers: list[Message] = []
        self.spans: dict[tuple[int, int], list[list[int]]] = {}
        self.head = dict.fromkeys(range(1, self.convs + 1), 0)
        self._set_up()
        self._sequence()
        self._deliver()
        self._side_channels()
        self._receipts()
        self._read_back()
        self._faults()

    def add(self, event: str, t: int, **fields: object) -> None:
        self.lines.append({"e": event, "t": t, **fields})

    def _intervals(self, device: int) -> list[tuple[int, int]]:
        """Online times; records the connection events."""
        rng, found = self.rng, []
        at = self.start - S - rng.randint(0, 20) * MS
        tries = rng.random() < 0.5  # whether the device tells when it begins to connect
        planned = True
        while True:
            if tries and planned:
                self.add("due_online", at - rng.randint(1, 900) * MS, device=device)
            self.add("online", at, device=device)
            if rng.random() < 0.5:
                found.append((at, self.end + 5 * S))
                return found
            until = at + rng.randint(5 * S, 60 * S)
            breaks = [start + rng.randint(0, end - start) for start, end in self.windows if start > at]
            planned = not breaks or rng.random() < 0.5
            until = min(until, self.end) if planned else breaks[0]
            found.append((at, until))
            self.add("offline", until, device=device, planned=planned)
            gap = rng.randint(1 * S, 20 * S) if planned else rng.randint(100 * MS, 900 * MS)
            at = until + gap
            if not planned:  # a broken connection is back before the fault is healed
                at = min(at, next(end for start, end in self.windows if start <= until <= end))
                at = max(at, until + 1)
            if at >= self.end:
                return found

    def is_online(self, device: int, t: int) -> bool:
        return any(start <= t < end for start, end in self.online[device])

    def in_window(self, t: int) -> int | None:
        """The end of the fault window at t."""
        return next((end for start, end in self.windows if start - 100 * MS <= t < end), None)

    def struck(self, t: int) -> bool:
        """Whether a fault is in force at t."""
        return any(start <= t < end for start, end in self.windows)

    def visible(self, device: int, number: Message) -> bool:
        spans = self.spans.get((number.conv, self.devices[device]), [])
        return any(first < number.seq < last for first, last in spans)

    def members(self, conv: int) -> list[int]:
        return [user for (c, user), spans in self.spans.items() if c == conv and spans[-1][1] > 10**9]

    def _set_up(self) -> None:
        for device, user in self.devices.items():
            self.add("device", self.start - 2 * S, device=device, user=user)
        for conv in range(1, self.convs + 1):
            for user in self.rng.sample(range(1, self.users + 1), self.rng.randint(2, self.users)):
                self.spans[conv, user] = [[0, 10**10]]
                self.add("member", self.start - 2 * S, conv=conv, user=user, op="add", seq=0)

    def _sequence(self) -> None:
        """The sends, what became of them, and the membership changes between them."""
        rng, t, msg = self.rng, self.start, 100
        for _ in range(self.sends):
            t += rng.randint(1 * MS, 2 * self.length // self.sends)
            if t >= self.end - 3 * S:
                break
            conv = rng.randint(1, self.convs)
            if rng.random() < 0.15:
                self._change(conv, t)
                continue
            members = self.members(conv)
            writers = [d for d, user in self.devices.items() if user in members and self.is_online(d, t)]
            if not writers:
                continue
            device, msg = rng.choice(writers), msg + 1
            self._send(conv, device, msg, t)
            t += rng.randint(0, 100) * MS if rng.random() < 0.5 else 0

    def _send(self, conv: int, device: int, msg: int, t: int) -> None:
        rng = self.rng
        digest = rng.getrandbits(40)
        due = t - rng.randint(0, 20 * MS)
        self.add("send", t, due=due, device=device, conv=conv, msg=msg, hash=digest)
        fate = rng.random() if self.in_window(t) else rng.uniform(0.1, 0.9)
        if fate < 0.04 and self.struck(t):
            self.add("nack", t + 5 * MS, device=device, conv=conv, msg=msg, definite=True)
            return
        if fate < 0.08:
            return  # the log never took it
        if fate < 0.15:
            self.add("nack", t + 1 * MS, device=device, conv=conv, msg=msg, definite=False)
        at = t + rng.randint(1 * MS, 15 * MS)
        if self.numbers:
            at = max(at, self.numbers[-1].at + 1)
        self.head[conv] += 1
        number = Message(conv, self.head[conv], at, msg, device, t, digest)
        self.numbers.append(number)
        if fate > 0.2 or not self.in_window(t):
            number.acked = self._when(device, at, number)
            if number.acked is not None:
                self.add("ack", number.acked, device=device, conv=conv, msg=msg, seq=number.seq)

    def _change(self, conv: int, t: int) -> None:
        user = self.rng.randint(1, self.users)
        spans = self.spans.setdefault((conv, user), [])
        is_member = bool(spans) and spans[-1][1] > 10**9
        if is_member and len(self.members(conv)) <= 2:
            return
        at = max(t, self.numbers[-1].at + 1) if self.numbers else t
        self.head[conv] += 1
        seq = self.head[conv]
        self.numbers.append(Message(conv, seq, at))
        if is_member:
            spans[-1][1] = seq
        else:
            spans.append([seq, 10**10])
        self.add("member", at + 3 * MS, conv=conv, user=user, op="remove" if is_member else "add", seq=seq)

    def _when(self, device: int, at: int, _number: Message) -> int | None:
        """When something of that time reaches a device: soon if it is online, else soon after it comes online."""
        wait = self.rng.randint(2 * MS, 90 * MS)
        healed = self.in_window(at)
        if healed is not None:
            wait = self.rng.randint(wait, max(wait + 1, healed - at))
            wait = max(2 * MS, min(wait, healed - at))
        for start, end in self.online[device]:
            arrives = max(at, start) + (wait if start <= at else self.rng.randint(1 * MS, 60 * MS))
            if at < end and arrives < end:
                return arrives
        return None

    def _deliver(self) -> None:
        """Every device shows what it may see in the order of sequencing."""
        rng = self.rng
        self.shown: dict[tuple[int, int, int], int] = {}
        for device in self.devices:
            last = 0
            for number in self.numbers:
                if not number.msg or not self.visible(device, number):
                    continue
                own = number.sender == device
                arrives = number.acked if own and number.acked else self._when(device, number.at, number)
                if arrives is None:
                    break  # never online again
                t = max(arrives, last + 1)
                if not self.is_online(device, t):
                    again = [start for start, _ in self.online[device] if start > t]
                    if not again:
                        break
                    t = max(again[0] + 1, last + 1)
                last = t
                copy = {"device": device, "conv": number.conv, "seq": number.seq, "msg": number.msg}
                if not own or not number.acked:
                    for _ in range(rng.choice((1, 1, 1, 2))):
                        self.add("wire", min(arrives, t), **copy, hash=number.hash)
                self.add("show", t, **copy, hash=number.hash)
                self.shown[device, number.conv, number.msg] = t

    def _side_channels(self) -> None:
        """Receipts after displays, pushes to those who are away, presence to those who look."""
        for number in self.numbers:
            for device in self.devices:
                shown = self.shown.get((device, number.conv, number.msg))
                if number.acked is None or device == number.sender or not self.visible(device, number):
                    continue
                until = number.acked + 5 * S
                if shown and shown <= until:
                    continue  # it knows: none is due
                if not any(start <= until and end > number.acked for start, end in self.online[device]):
                    t = number.acked + self.rng.randint(0, 4 * S)
                    self.add("push", t, device=device, conv=number.conv, seq=number.seq)
        if self.rng.random() < 0.5:
            viewer, user = self.rng.choice(list(self.devices)), self.rng.randint(1, self.users)
            mine = [d for d, owner in self.devices.items() if owner == user]
            edges = sorted({edge for d in mine for span in self.online[d] for edge in span})
            for start, end in self.online[viewer]:
                for t in [start + 1, *(edge + S for edge in edges if start < edge + S < end)]:
                    state = "online" if any(self.is_online(d, t) for d in mine) else "offline"
                    self.add("presence", t, viewer=viewer, user=user, state=state)

    def _receipts(self) -> None:
        """Who shows something tells its author 50 ms later, on each device that is online, unless it is no news."""
        number_of = {(number.conv, number.msg): number for number in self.numbers}
        highest: dict[tuple[int, int, int], int] = {}
        for (reader, conv, msg), shown in sorted(self.shown.items(), key=lambda item: item[1]):
            by, number = self.devices[reader], number_of[conv, msg]
            author, t = self.devices[number.sender], shown + 50 * MS
            for device, user in self.devices.items():
                # Of what somebody wrote themself, on whichever device, they have nothing to report.
                if user != author or by == author or not self.is_online(device, t):
                    continue
                if number.seq > highest.get((device, conv, by), 0):
                    highest[device, conv, by] = number.seq
                    self.add("receipt", t, device=device, conv=conv, seq=number.seq, kind="read", by=by)

    def _read_back(self) -> None:
        t = self.end + 200 * S
        for device, user in self.devices.items():
            for conv in range(1, self.convs + 1):
                spans = self.spans.get((conv, user))
                if not spans:
                    continue
                for number in self.numbers:
                    if number.conv == conv and number.msg and self.visible(device, number):
                        copy = {"conv": conv, "seq": number.seq, "msg": number.msg, "hash": number.hash}
                        self.add("final", t, device=device, **copy)
                last = spans[-1][1]
                head = self.head[conv] if last > 10**9 else last - self.rng.randint(0, 1)
                self.add("final_done", t, device=device, conv=conv, head=head)

    def _faults(self) -> None:
        for place, (start, end) in enumerate(self.windows, 1):
            fault = {"fault": f"f{place}", "name": "pause", "target": f"gateway-{place}"}
            if self.own:
                self.add("plan", self.start, **fault, at_s=(start - self.start) / S, for_s=(end - start) / S)
            self.add("fault", start, **fault, phase="inject", ok=True, evidence="it stopped")
            self.add("fault", end, **fault, phase="heal", ok=True, evidence="it answers")
        if self.own:
            bounds = {"min_acked": 0, "min_deliveries": 0}
            self.add("meta", self.start, experiment="sim", profile="none", variant=None, seed=1, bounds=bounds)
            for name, t in (("steady", self.start), ("quiesce", self.end - S), ("final", self.end + 100 * S)):
                self.add("phase", t, name=name)
