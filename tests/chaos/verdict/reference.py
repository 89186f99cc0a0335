"""The checks once more, slow and naive: loops over plain dictionaries, straight from the definitions.

They share no code with the checks. Given the same small history both must say the same; where they differ, one of them
has misread the definition. Each returns (verdict, anomalies); None for anomalies: not compared.
"""

from collections import defaultdict
from itertools import pairwise

Line = dict[str, object]
Answer = tuple[str, int | None]
INF = float("inf")


class Seen:
    """A history's lines in the shapes that the loops want."""

    def __init__(self, lines: list[Line]) -> None:
        def of(event: str) -> list[Line]:
            return sorted((line for line in lines if line["e"] == event), key=lambda line: line["t"])

        self.lines = lines
        self.of = of
        self.holes = bool(of("hole"))
        self.sends: dict[tuple, Line] = {}
        self.hashes = defaultdict(set)
        for line in sorted(of("send"), key=lambda s: (s["t"], s["due"], s["device"])):
            self.sends.setdefault(self.m(line), line)
            self.hashes[self.m(line)].add(line["hash"])
        self.acks: dict[tuple, Line] = {}  # (conv, msg, seq) -> first ack
        for line in sorted(of("ack"), key=lambda a: (a["t"], a["device"])):
            self.acks.setdefault((*self.m(line), line["seq"]), line)
        self.acked = {key[:2] for key in self.acks}
        about = ("device", "member", "push", "presence", "receipt", "fault", "hole")
        self.acting = {line["device"] for line in lines if line["e"] not in about}
        self.refused = {self.m(line) for line in of("nack") if line["definite"]}
        self.owners = defaultdict(set)
        for line in of("device"):
            self.owners[line["device"]].add(line["user"])
        self.head: dict[tuple, int] = {}
        self.done: dict[tuple, int] = {}
        for line in of("final_done"):
            key = line["device"], line["conv"]
            self.head[key] = max(self.head.get(key, 0), line["head"])
            self.done[key] = max(self.done.get(key, 0), line["t"])
        self.finals = of("final")
        self.final_places = {(f["device"], f["conv"], f["msg"], f["seq"]) for f in self.finals}
        self.seen = of("wire") + of("show") + self.finals
        self.changes = {(line["conv"], line["seq"]) for line in of("member") if line["seq"] > 0}
        self.convs_with_members = {line["conv"] for line in of("member")}

    @staticmethod
    def m(line: Line) -> tuple:
        return line["conv"], line["msg"]

    def is_member(self, user: object, conv: object, seq: int) -> bool:
        """Replay the changes below seq; at the number of a change itself nobody concerned sees anything."""
        member = False
        changes = {(c["seq"], c["op"] == "add") for c in self.of("member") if (c["user"], c["conv"]) == (user, conv)}
        for at, add in sorted(changes):
            if at == seq and add != member:
                return False
            if at < seq:
                member = add
        return member

    def readers(self, conv: object, seq: int) -> set:
        return {d for d, users in self.owners.items() if any(self.is_member(u, conv, seq) for u in users)}

    def seqs(self) -> dict[tuple, set]:
        found = defaultdict(set)
        for line in self.seen:
            found[self.m(line)].add(line["seq"])
        for conv, msg, seq in self.acks:
            found[conv, msg].add(seq)
        return found


def acked_lost(h: Seen) -> Answer:
    lost, doubt = set(), bool(h.acks) and not h.acting <= set(h.owners)
    for (conv, msg, seq), ack in h.acks.items():
        readers = h.readers(conv, seq)
        if not readers:
            doubt = True
        for device in readers:
            if (device, conv) not in h.head:
                doubt = True
            elif (device, conv, msg, seq) not in h.final_places:
                somewhere = any(h.m(f) == (conv, msg) for f in h.finals)
                if h.done[device, conv] < ack["t"]:
                    doubt = True
                elif not h.holes or h.head[device, conv] >= seq or not somewhere:
                    lost.add((conv, msg))
                else:
                    doubt = True
    return ("invalid", len(lost)) if lost else ("unknown" if doubt else "valid", 0)


def indeterminate(h: Seen) -> Answer:
    bad, doubt = set(), False
    for key in set(h.sends) - h.acked - h.refused:
        places = {f["seq"] for f in h.finals if h.m(f) == key}
        holders = {f["device"] for f in h.finals if h.m(f) == key}
        if not places:
            users = {line["user"] for line in h.of("member") if line["conv"] == key[0] and line["op"] == "add"}
            doubt |= any((d, key[0]) not in h.head for d, owners in h.owners.items() if owners & users)
        for seq in places:
            readers = h.readers(key[0], seq)
            doubt |= not readers
            for device in readers:
                head = h.head.get((device, key[0]))
                if head is None:
                    doubt = True
                elif device not in holders:
                    if not h.holes or head >= seq:
                        bad.add(key)
                    else:
                        doubt = True
    return ("invalid", len(bad)) if bad else ("unknown" if doubt else "valid", 0)


def duplicates(h: Seen) -> Answer:
    shown = defaultdict(int)
    for show in h.of("show"):
        shown[show["device"], *h.m(show)] += 1
    bad = sum(times - 1 for times in shown.values()) + sum(len(seqs) - 1 for seqs in h.seqs().values())
    return ("invalid" if bad else "valid", bad)


def order(h: Seen) -> Answer:
    bad = 0
    firsts, done = [], set()
    for show in sorted(h.of("show"), key=lambda s: s["t"]):
        key = show["device"], *h.m(show), show["seq"]
        if key not in done:
            done.add(key)
            firsts.append(show)
    for show in firsts:
        same = [s for s in firsts if (s["device"], s["conv"]) == (show["device"], show["conv"])]
        bad += any(s["t"] < show["t"] and s["seq"] > show["seq"] for s in same)
    number = {key: min(seqs) for key, seqs in h.seqs().items()}
    sends = [send for key, send in h.sends.items() if key in number]
    for send in sends:
        seq = number[h.m(send)]
        before = [s for s in sends if (s["device"], s["conv"]) == (send["device"], send["conv"]) and s["t"] < send["t"]]
        bad += any(number[h.m(s)] > seq for s in before)
        bad += any(conv == send["conv"] and a["t"] < send["t"] and n > seq for (conv, _, n), a in h.acks.items())
    return ("invalid" if bad else "valid", bad)


def gaps_forks(h: Seen) -> Answer:
    msgs, bodies = defaultdict(set), defaultdict(set)
    for line in h.seen:
        msgs[line["conv"], line["seq"]].add(line["msg"])
        bodies[line["conv"], line["seq"]].add(line["hash"])
    for conv, msg, seq in h.acks:
        msgs[conv, seq].add(msg)
    forks = sum(
        len(found) > 1 or len(bodies[place]) > 1 or place in h.changes or place[1] < 1 for place, found in msgs.items()
    )
    proven = doubtful = 0
    for (device, conv), head in h.head.items():
        has = {f["seq"] for f in h.finals if (f["device"], f["conv"]) == (device, conv)}
        has |= {seq for c, seq in h.changes if c == conv}
        missing = [
            seq
            for seq in range(1, head + 1)
            if seq not in has and any(h.is_member(u, conv, seq) for u in h.owners.get(device, ()))
        ]
        for seq in missing:
            if h.holes and (conv, seq) not in msgs:
                doubtful += 1
            else:
                proven += 1
    taken = defaultdict(set)
    for change in h.of("member"):
        taken[change["conv"], change["seq"]].add((change["user"], change["op"]))
    forks += sum(len(who) > 1 if place[1] else any(op == "remove" for _, op in who) for place, who in taken.items())
    if forks or proven:
        return "invalid", None if h.holes else forks + proven
    return ("unknown" if doubtful else "valid", 0)


def phantoms(h: Seen) -> Answer:
    bad = {
        (*h.m(line), line["hash"])
        for line in h.seen
        if line["hash"] not in h.hashes.get(h.m(line), ()) or h.m(line) in h.refused
    }
    twofold = 0
    for key in h.seqs():
        sent = [line for line in h.of("send") if h.m(line) == key]
        devices = {line["device"] for line in sent}
        twofold += sum(len({line["hash"] for line in sent if line["device"] == d}) > 1 for d in devices)
    return ("invalid" if bad or twofold else "valid", len(bad) + twofold)


def leaks(h: Seen) -> Answer:
    bad, doubt = set(), False
    for line in h.seen:
        copy = line["device"], *h.m(line), line["seq"]
        users = h.owners.get(line["device"], set())
        if any(h.is_member(user, line["conv"], line["seq"]) for user in users):
            continue
        if not users or line["conv"] not in h.convs_with_members or h.holes:
            doubt = True
        else:
            bad.add(copy)
    for (conv, msg), seqs in h.seqs().items():
        send = h.sends.get((conv, msg))
        users = h.owners.get(send["device"], set()) if send and conv in h.convs_with_members else set()
        for seq in seqs if users else ():
            if not any(h.is_member(user, conv, seq) for user in users):
                bad |= set() if h.holes else {("sender", conv, msg, seq)}
                doubt |= h.holes
    if not h.seen:
        doubt = False
    return ("invalid", len(bad)) if bad else ("unknown" if doubt else "valid", 0)


def session(h: Seen) -> Answer:
    known = {(a["device"], *key): a["t"] for key, a in h.acks.items()}
    for show in reversed(h.of("show")):
        known.setdefault((show["device"], *h.m(show), show["seq"]), show["t"])
    for show in h.of("show"):
        key = show["device"], *h.m(show), show["seq"]
        if key not in {(a["device"], *at) for at, a in h.acks.items()}:
            known[key] = min(known[key], show["t"])
    lacking = {k for k in known if k not in h.final_places}
    bad = {k for k in lacking if h.done.get((k[0], k[1]), -INF) >= known[k]}
    doubt = any((k[0], k[1]) not in h.head for k in known) or lacking != bad
    return ("invalid", len(bad)) if bad else ("unknown" if doubt else "valid", 0)


def causal(h: Seen) -> Answer:
    first = {}
    for show in h.of("show"):
        first.setdefault((show["device"], *h.m(show)), show)
    for (d2, *m2), show2 in first.items():
        send = h.sends.get(tuple(m2))
        if send is None or send["device"] == d2 or d2 not in h.readers(m2[0], show2["seq"]):
            continue
        if show2.get("incomplete") == "sealed":
            continue
        for (d, *m1), show1 in first.items():
            late = first.get((d2, *m1))
            if d != send["device"] or late is None or d2 not in h.readers(m1[0], late["seq"]):
                continue
            if show1["t"] < send["t"] and late["t"] > show2["t"]:
                return "invalid", None
    return "valid", None


BOUND = 10  # catch_up and liveness in the random histories, in ns


def end_of(h: Seen) -> int:
    return max(line["t"] for line in h.lines if line["e"] not in ("fault", "hole"))


def moves(h: Seen, device: object) -> list[Line]:
    """Connection events and wishes; of the same time as they alternate: who was online went offline first."""
    found = [line for line in h.of("due_online") + h.of("online") + h.of("offline") if line["device"] == device]
    ordered: list[Line] = []
    was = "offline"
    for t in sorted({line["t"] for line in found}):
        gone = [line for line in found if line["t"] == t and line["e"] == "offline"]
        come = [line for line in found if line["t"] == t and line["e"] != "offline"]
        ordered += gone + come if was == "online" else come + gone
        kinds = {line["e"] for line in gone + come} - {"due_online"}
        was = kinds.pop() if len(kinds) == 1 else was
    return ordered


def conn(h: Seen, device: object) -> list[Line]:
    """Connection events alone."""
    return [line for line in moves(h, device) if line["e"] != "due_online"]


def absences(h: Seen, device: object, *ends: str) -> list[tuple[float, float]]:
    """Planned ones, until the next event that is one of `ends`."""
    events = moves(h, device)
    starts = [(-INF, 0)] if events and events[0]["e"] != "offline" else []
    starts += [(e["t"], n) for n, e in enumerate(events) if e["e"] == "offline" and e.get("planned", True)]
    return [(t, next((e["t"] for e in events[place:] if e["e"] in ends), INF)) for t, place in starts]


def windows(h: Seen) -> tuple[list[tuple[int, float]], bool]:
    """(inject, heal) of each fault, recovery bound 0; and whether all were healed. One fault name in the tests."""
    found: list[list[float]] = []
    events = h.of("fault")
    for t in sorted({line["t"] for line in events}):
        was_on = bool(found) and found[-1][1] == INF
        now = [line for line in events if line["t"] == t]
        heals = [line for line in now if line["phase"] == "heal"]
        injects = [line for line in now if line["phase"] == "inject"]
        for line in heals + injects if was_on else injects + heals:
            if line["phase"] == "inject" and (not found or found[-1][1] < INF):
                found.append([t, INF])
            elif line["phase"] == "heal" and found and found[-1][1] == INF:
                found[-1][1] = t
    return [(start, end) for start, end in found], all(end < INF for _, end in found)


def first_shown(h: Seen) -> dict[tuple, int]:
    shown: dict[tuple, int] = {}
    for show in h.of("show"):
        shown.setdefault((show["device"], *h.m(show)), show["t"])
    return shown


def catch_up(h: Seen) -> Answer:
    shown, bad = first_shown(h), 0
    for device in {line["device"] for line in h.of("online")}:
        events = conn(h, device)
        for here, after in [*pairwise(events), (events[-1], None)]:
            if here["e"] != "online":
                continue
            until = min(after["t"] if after else INF, end_of(h))
            deadline = here["t"] + BOUND
            for start, end in sorted(windows(h)[0]):
                if start <= deadline and here["t"] < end:
                    deadline = max(deadline, end + BOUND)
            if deadline > until:
                continue
            for (conv, msg, seq), ack in h.acks.items():
                if ack["t"] < here["t"] and ack["device"] != device and device in h.readers(conv, seq):
                    bad += shown.get((device, conv, msg), INF) > deadline
    return ("invalid" if bad else "valid", bad)


OWN = ("due_online", "online", "offline", "send", "ack", "nack", "wire", "show")


def present(h: Seen, device: object) -> list[tuple[float, float]]:
    """The times between planned absences, second by second as it were."""
    if not any(line["e"] in OWN and line["device"] == device for line in h.lines):
        return []
    events = moves(h, device)
    away = bool(events) and events[0]["e"] != "offline"
    found: list[tuple[float, float]] = []
    since = -INF
    for event in events:
        if event["e"] in ("due_online", "online") and away:
            away, since = False, event["t"]
        elif event["e"] == "offline" and event.get("planned", True) and not away:
            away = True
            found.append((since, event["t"]))
    if not away:
        found.append((since, end_of(h)))
    return [(start, min(end, end_of(h))) for start, end in found if start < min(end, end_of(h))]


def samples(h: Seen) -> list[tuple]:
    """(device, conv, msg, latency) of deliveries to devices that were not away as planned, nor on the way back."""
    found = []
    for (device, *key), t in first_shown(h).items():
        send = h.sends.get(tuple(key))
        if send is None or send["device"] == device:
            continue
        away = absences(h, device, "online")
        due = min(send["due"], send["t"])
        if not any(start < t and end > due for start, end in away):
            found.append((device, *key, max(0, t - due)))
    return found


def liveness(h: Seen) -> Answer:
    spans, healed = windows(h)
    if not healed:
        return "unknown", 0
    acted = {line["device"] for line in h.lines if line["e"] in OWN}
    shown, bad, doubt = first_shown(h), 0, False
    places: dict[tuple, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for line in [*h.of("wire"), *h.of("show"), *h.of("ack")]:
        places[h.m(line)][line["seq"]].append(line["t"])
    for (conv, msg), seqs in places.items():
        acks = [a["t"] for key, a in h.acks.items() if key[:2] == (conv, msg)]
        sender = h.sends[conv, msg]["device"] if (conv, msg) in h.sends else None
        if sender is None and not acks:
            continue
        for device in h.owners:
            mine = sorted(seq for seq in seqs if device in h.readers(conv, seq))
            if not mine or device == sender:
                continue
            known = min(acks) if acks else min(seqs[mine[0]])
            t = shown.get((device, conv, msg), INF)
            chances = [(due_by(spans, max(a, known)), b) for a, b in present(h, device)]
            chances = [deadline for deadline, b in chances if b >= deadline]
            if chances and t > min(chances):
                bad += t > known + BOUND
            elif not chances and t == INF:
                ends = [b for _, b in present(h, device)]
                doubt |= not h.of("due_online") + h.of("online") + h.of("offline") and device not in acted
                doubt |= bool(ends) and max(ends) == end_of(h) and end_of(h) >= known
    return ("invalid", bad) if bad else ("unknown" if doubt else "valid", 0)


def due_by(spans: list[tuple[int, float]], since: float) -> float:
    """The bound from `since`, or from the heal of a fault that is on within it."""
    heals = [end for start, end in spans if start <= since + BOUND and since < end]
    return max([since, *heals]) + BOUND


CHECKS = {
    "acked_lost": acked_lost, "indeterminate": indeterminate, "duplicates": duplicates, "order": order,
    "gaps_forks": gaps_forks, "phantoms": phantoms, "leaks": leaks, "session": session, "causal": causal,
    "catch_up": catch_up, "liveness": liveness,
}  # fmt: skip
