"""Writes small histories by hand: times in seconds, people and conversations by name, one call a thing that happens."""

from dataclasses import dataclass, field

Line = dict[str, object]
SECOND = 1_000_000_000
EPOCH_S = 1_000


def ns(seconds: float) -> int:
    """A time of a book, as the history has it."""
    return round((EPOCH_S + seconds) * SECOND)


@dataclass
class Book:
    """One history. `people` have a device each, named after them, online from second 0; all are in "room"."""

    people: tuple[str, ...] = ("ann", "bob", "cid")
    outsiders: tuple[str, ...] = ()
    online: bool = True
    conv: str = "room"
    lines: list[Line] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    said: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        for person in (*self.people, *self.outsiders):
            self.add("device", 0, device=f"{person}-1", user=person)
            if self.online:
                self.add("online", 0, device=f"{person}-1")
        for person in self.people:
            self.member(0, person)

    def add(self, event: str, t: float, **fields: object) -> Line:
        """Any event."""
        line: Line = {"e": event, "t": ns(t), **fields}
        self.lines.append(line)
        return line

    def member(self, t: float, user: str, op: str = "add", *, seq: int = 0, conv: str = "") -> None:
        """A membership change; one with a number takes it."""
        conv = conv or self.conv
        self.seqs[conv] = max(self.seqs.get(conv, 0), seq)
        self.add("member", t, conv=conv, user=user, op=op, seq=seq)

    def invoke(self, t: float, who: str, msg: str, *, due: float | None = None, conv: str = "") -> Line:
        """A send, and nothing more. The content's hash is made from the name."""
        due_ns = ns(t if due is None else due)
        conv = conv or self.conv
        return self.add("send", t, due=due_ns, device=f"{who}-1", conv=conv, msg=msg, hash=f"#{msg}")

    def copy(self, event: str, t: float, who: str, msg: str, seq: int, **more: object) -> Line:
        """A wire, show or final."""
        fields = {"conv": self.conv, "seq": seq, "msg": msg, "hash": f"#{msg}", **more}
        return self.add(event, t, device=f"{who}-1", **fields)

    def say(
        self,
        t: float,
        who: str,
        msg: str,
        *,
        to: tuple[str, ...] | None = None,
        seq: int | None = None,
        acked: bool = True,
        lag: float = 0.05,
        conv: str = "",
        due: float | None = None,
    ) -> int:
        """A message from send to display at everybody in `to` (the people), acked 20 ms later. Returns its number."""
        conv = conv or self.conv
        number = self.seqs.get(conv, 0) + 1 if seq is None else seq
        self.seqs[conv] = max(self.seqs.get(conv, 0), number)
        self.invoke(t, who, msg, due=due, conv=conv)
        if acked:
            self.add("ack", t + 0.02, device=f"{who}-1", conv=conv, msg=msg, seq=number)
            self.copy("show", t + 0.02, who, msg, number, conv=conv)
        for other in self.people if to is None else to:
            if other != who:
                self.copy("wire", t + lag, other, msg, number, conv=conv)
                self.copy("show", t + lag, other, msg, number, conv=conv)
        self.said.append({"conv": conv, "seq": number, "msg": msg, "hash": f"#{msg}"})
        return number

    def read_back(
        self, t: float, *, lacking: dict[str, tuple[str, ...]] | None = None, head: int | None = None,
        who: tuple[str, ...] | None = None,
    ) -> "Book":  # fmt: skip
        """Everybody in `who` (the people) reads all that was said, but what they are `lacking`."""
        for person in self.people if who is None else who:
            for message in self.said:
                if message["msg"] not in (lacking or {}).get(person, ()):
                    self.add("final", t, device=f"{person}-1", **message)
            for conv, last in self.seqs.items():
                at = last if head is None else head
                self.add("final_done", t, device=f"{person}-1", conv=conv, head=at)
        return self

    def fault(self, start: float, end: float | None, *, ok: bool = True, fault: str = "") -> None:
        """A fault; without an end it is never healed."""
        names = {"name": "crash", "target": "gateway-1", **({"fault": fault, "ok": ok} if fault else {})}
        self.add("fault", start, **names, phase="inject")
        if end is not None:
            self.add("fault", end, **{**names, **({"ok": True} if fault else {})}, phase="heal")

    def own(self, *, until: float, **bounds: object) -> None:
        """Make it one of our runs, with a steady phase from second 1 to `until`."""
        self.add("meta", 0, experiment="by-hand", profile="none", variant=None, seed=7, duration_s=until, bounds=bounds)
        for name, t in (("setup", 0), ("steady", 1), ("quiesce", until), ("final", until + 40)):
            self.add("phase", t, name=name)
