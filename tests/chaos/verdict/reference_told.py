"""The slow and naive reading (see reference.py) of answers and clocks, and of what devices are told of others: pushes,
presence, receipts.
"""

from tests.chaos.verdict.reference import (
    BOUND,
    INF,
    OWN,
    Answer,
    Line,
    Seen,
    absences,
    conn,
    end_of,
    first_shown,
    moves,
    windows,
)  # fmt: skip

CLOCK_ERROR = 2  # in the random histories, in ns


def connected(h: Seen, device: object, t: int) -> tuple[str, float]:
    """Of a device that did something: whether it is online at t, and until when that stays so."""
    events = conn(h, device)
    after = next((line["t"] for line in events if line["t"] > t), INF)
    last = [line["e"] for line in events if line["t"] <= t][-1:]
    if last:
        return last[0], after
    first = [line["e"] for line in moves(h, device)][:1]
    return ("offline" if first and first[0] != "offline" else "untold"), after


def acted(h: Seen, device: object) -> bool:
    return any(line["e"] in OWN and line["device"] == device for line in h.lines)


def sessions(h: Seen, device: object) -> list[tuple[int, float]]:
    """From each `online` to the next event of the connection."""
    events = conn(h, device)
    ends = [*(line["t"] for line in events), INF][1:]
    return [(line["t"], min(end, end_of(h))) for line, end in zip(events, ends, strict=True) if line["e"] == "online"]


def calm(h: Seen, start: float, end: float) -> bool:
    return not any(first <= end and start <= last for first, last in windows(h)[0])


def missing_pushes(h: Seen) -> int:
    shown, bad = first_shown(h), 0
    told = bool(h.of("due_online") + h.of("online") + h.of("offline"))
    for (conv, msg, seq), ack in h.acks.items():
        acked, until = ack["t"], ack["t"] + BOUND
        sent = h.sends[conv, msg]["t"] if (conv, msg) in h.sends else -INF
        for device in h.readers(conv, seq) - {ack["device"]}:
            if acted(h, device):
                away = all(connected(h, device, t)[0] == "offline" for t in range(acked, until + 1))
                away &= not any(line["e"] == "online" and acked < line["t"] <= until for line in conn(h, device))
            else:
                away = told
            if not away or until > end_of(h) or shown.get((device, conv, msg), INF) <= until:
                continue
            mine = [p for p in h.of("push") if (p["device"], p["conv"]) == (device, conv)]
            bad += not any(p["seq"] >= seq and sent <= p["t"] <= until for p in mine)
    return bad


def meant(h: Seen, push: Line) -> list[tuple]:
    """The messages that have a push's number and were sent."""
    found = [key for key, seqs in h.seqs().items() if key[0] == push["conv"] and push["seq"] in seqs]
    return [key for key in found if key in h.sends]


def needless_pushes(h: Seen) -> set[tuple]:
    found = set()
    for line in h.of("push"):
        for key in meant(h, line):
            sent, device = h.sends[key]["t"], line["device"]
            state, until = connected(h, device, min(sent, line["t"]))
            if state != "online" or max(sent, line["t"]) >= min(until, end_of(h)):
                continue
            arrivals = [s["t"] for s in h.of("wire") + h.of("show") if s["device"] == device and h.m(s) == key]
            in_time = min(arrivals, default=INF) <= line["t"] + BOUND
            broken = any(
                o["t"] == until and not o.get("planned", True) for o in h.of("offline") if o["device"] == device
            )
            if not broken or (in_time and until >= line["t"] + 2 * 10**9):
                found.add((device, *key, line["t"]))
    return found


def shown_before(h: Seen) -> set[tuple]:
    shown, found, needless = first_shown(h), set(), needless_pushes(h)
    for line in h.of("push"):
        for key in meant(h, line):
            device, t, sent = line["device"], line["t"], h.sends[key]["t"]
            seen = shown.get((device, *key), INF)
            if seen >= t or not calm(h, sent, t) or (device, *key, t) in needless:
                continue
            state = [s for s in sessions(h, device) if s[0] <= sent][-1:]
            live = bool(state) and state[0][1] >= seen + 2 * 10**9
            if seen + BOUND < t or live:
                found.add((device, line["conv"], line["seq"], t))
    return found


def push(h: Seen) -> Answer:
    if not h.of("push"):
        return "valid", 0
    places = {(conv, seq) for (conv, _), seqs in h.seqs().items() for seq in seqs} | h.changes
    nowhere = strangers = again = 0
    times: dict[tuple, int] = {}
    for line in h.of("push"):
        device, conv, seq = line["device"], line["conv"], line["seq"]
        times[device, conv, seq] = times.get((device, conv, seq), 0) + 1
        again += times[device, conv, seq] > 2
        if (conv, seq) not in places:
            nowhere += 1
        elif device in h.owners and conv in h.convs_with_members:
            near = (seq, seq + 0.5, seq - 0.5)  # whom this number itself adds or removes may be told of it
            strangers += not any(h.is_member(user, conv, at) for user in h.owners[device] for at in near)
    bad = missing_pushes(h) + len(needless_pushes(h)) + len(shown_before(h)) + nowhere + strangers + again
    return ("invalid", bad) if bad else ("valid", 0)


def presence(h: Seen) -> Answer:
    """Nanosecond by nanosecond."""
    end, words, bad = end_of(h), {"offline": 0, "online": 1}, 0
    told = sorted(h.of("presence"), key=lambda line: (line["t"], words.get(line["state"], 2)))
    if not any(line["state"] in words for line in told):
        return "valid", 0
    for viewer, user in {(line["viewer"], line["user"]) for line in told}:
        mine = [line for line in told if (line["viewer"], line["user"]) == (viewer, user)]
        devices = [device for device, users in h.owners.items() if user in users and acted(h, device)]
        run, before = 0, None
        for t in range(end):
            last = [line for line in mine if line["t"] <= t][-1:]
            picture = last[0]["state"] if last else None
            if last and acted(h, viewer):
                state, until = connected(h, viewer, last[0]["t"])
                picture = picture if state != "offline" and t < until else None
            states = {connected(h, device, t)[0] for device in devices}
            truth = "online" if "online" in states else "offline" if states == {"offline"} else None
            stale = truth is not None and picture in words and picture != truth
            run = (run + 1 if picture == before else 1) if stale else 0
            before = picture
            bad += run == BOUND + 1
        for back, until in sessions(h, viewer):
            earlier = [line for line in mine if sessions(h, viewer)[0][0] <= line["t"] < back][-1:]
            later = [line for line in mine if back <= line["t"]]
            deadline = back + BOUND
            for start, heal in windows(h)[0]:
                if start <= deadline and back < heal:
                    deadline = max(deadline, heal + BOUND)
            owed = bool(earlier) and earlier[0]["state"] in words and deadline <= until
            bad += owed and not any(line["t"] <= deadline for line in later)
    return ("invalid", bad) if bad else ("valid", 0)


def meant_by(h: Seen, by: object) -> set:
    """The devices whose display a receipt may mean: a user's, else the device of that name."""
    users = {user for users in h.owners.values() for user in users} | {line["user"] for line in h.of("member")}
    return {d for d, owners in h.owners.items() if (by in owners if by in users else by == d)}


def receipts(h: Seen) -> Answer:
    bad = 0
    places = {(conv, seq) for (conv, _), seqs in h.seqs().items() for seq in seqs} | h.changes
    shows = {(s["device"], s["conv"], s["seq"], s["t"]) for s in h.of("show")}
    for line in h.of("receipt"):
        conv, by = line["conv"], line["by"]
        devices = meant_by(h, by)
        named = {user for users in h.owners.values() for user in users} | {c["user"] for c in h.of("member")}
        is_known = by in named or by in h.owners or conv not in h.convs_with_members or h.holes
        fine = not devices and (is_known or line["seq"] == 0)
        for device in devices:
            numbers = {
                seq
                for key, seqs in h.seqs().items()
                for seq in seqs
                if key[0] == conv and seq <= line["seq"] and device in h.readers(conv, seq)
                and (key not in h.sends or h.sends[key]["device"] != device)
            }  # fmt: skip
            near = (line["seq"], line["seq"] + 0.5, line["seq"] - 0.5)  # the numbers of one's own add and removal too
            possible = any(h.is_member(user, conv, at) for user in h.owners[device] for at in near)
            possible |= conv not in h.convs_with_members or line["seq"] == 0
            possible &= line["seq"] <= max((seq for c, seq in places if c == conv), default=0)
            if possible or h.holes:
                fine |= not numbers or any(s[:3] == (device, conv, max(numbers)) and s[3] <= line["t"] for s in shows)
        bad += not fine
        stream = ("device", "conv", "kind", "by")
        same = [r for r in h.of("receipt") if all(r[name] == line[name] for name in stream)]
        bad += any(r["t"] < line["t"] and r["seq"] > line["seq"] for r in same)
    bad += untold_displays(h) if h.of("receipt") else 0
    return ("invalid", bad) if bad else ("valid", 0)


def untold_displays(h: Seen) -> int:
    bad = 0
    firsts: dict[tuple, Line] = {}
    for show in sorted(h.of("show"), key=lambda s: (s["t"], s["seq"], s["hash"])):
        firsts.setdefault((show["device"], *h.m(show)), show)
    for (device, *key), show in firsts.items():
        conv, t, until = key[0], show["t"], show["t"] + BOUND
        send = h.sends.get(tuple(key))
        if send is None or send["device"] == device or not calm(h, t, until):
            continue
        sender = send["device"]
        authors = h.owners.get(sender, set())
        if authors & h.owners.get(device, set()):
            continue
        there = True
        for who in (device, sender):
            there &= any(start <= t and until <= end for start, end in [s for s in sessions(h, who) if s[0] <= t][-1:])
            stays = [h.is_member(u, conv, show["seq"]) and h.is_member(u, conv, INF) and not any(
                c["user"] == u and c["conv"] == conv and c["op"] == "remove" and c["seq"] > show["seq"]
                for c in h.of("member")) for u in h.owners.get(who, ())]  # fmt: skip
            there &= any(stays)
        if not there:
            continue
        bad += not any(
            r["conv"] == conv and r["seq"] >= show["seq"] and r["t"] <= until and device in meant_by(h, r["by"])
            and h.owners.get(r["device"], set()) & authors
            for r in h.of("receipt")
        )  # fmt: skip
    return bad


def answers(h: Seen) -> Answer:
    total = late = missing = 0
    for (conv, msg), send in h.sends.items():
        device, t, until = send["device"], send["t"], send["t"] + BOUND
        if not any(sure_member(h, user, conv, t, until) for user in h.owners.get(device, ())) or not calm(h, t, t):
            continue
        acked = min((a["t"] for key, a in h.acks.items() if key[:2] == (conv, msg)), default=None)
        if acked is not None and acked <= until:
            total += 1
            continue
        nacks = [n["t"] for n in h.of("nack") if n["definite"] and h.m(n) == (conv, msg)]
        away = any(start < until and end > t for start, end in absences(h, device, "online", "due_online"))
        if until > end_of(h) or away or not calm(h, t, min([until, *nacks])):
            continue
        total += 1
        late += acked is not None
        missing += acked is None
    bad = late + (missing if missing * 1000 > total else 0)
    return ("invalid", bad) if bad else ("valid", 0)


def sure_member(h: Seen, user: object, conv: object, t: int, until: int) -> bool:
    """Whether somebody is a member at t, by the times of the changes, and not removed until `until`."""
    mine = [line for line in h.of("member") if (line["user"], line["conv"]) == (user, conv)]
    changes = [(-INF if c["op"] == "add" and c["seq"] == 0 else c["t"], c["op"] == "add") for c in mine]
    last = sorted(change for change in changes if change[0] <= t)[-1:]
    return bool(last) and last[0][1] and not any(not add and t <= at <= until for at, add in changes)


def clocks(h: Seen) -> Answer:
    if not h.sends:
        return "valid", 0
    after = [line for line in h.seen + h.of("ack") if h.m(line) in h.sends]
    times = [line["t"] for line in h.lines if line["e"] not in ("fault", "hole")]
    bad = any(line["t"] + CLOCK_ERROR < h.sends[h.m(line)]["t"] for line in after)
    bad |= any(line["due"] > line["t"] + CLOCK_ERROR for line in h.of("send"))
    bad |= bool(after) and max(times) - min(times) < CLOCK_ERROR
    return ("unknown" if bad else "valid"), 0


CHECKS = {"push": push, "presence": presence, "receipts": receipts, "answers": answers, "clocks": clocks}
