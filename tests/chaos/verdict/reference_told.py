"""The slow and naive reading (see reference.py) of what devices are told of others: pushes, presence, receipts."""

from tests.chaos.verdict.reference import BOUND, INF, OWN, Answer, Seen, conn, end_of, first_shown


def connected(h: Seen, device: object, t: int) -> tuple[str, float]:
    """Of a device that did something: whether it is online at t, and until when that stays so."""
    events = conn(h, device)
    after = next((line["t"] for line in events if line["t"] > t), INF)
    last = [line["e"] for line in events if line["t"] <= t][-1:]
    if last:
        return last[0], after
    return ("offline" if events and events[0]["e"] == "online" else "untold"), after


def push(h: Seen) -> Answer:
    if not h.of("push"):
        return "valid", 0
    shown, bad = first_shown(h), 0
    for (conv, msg, seq), ack in h.acks.items():
        acked, until = ack["t"], ack["t"] + BOUND
        sent = h.sends[conv, msg]["t"] if (conv, msg) in h.sends else -INF
        for device in h.readers(conv, seq) - {ack["device"]}:
            watched = any(line["e"] in OWN and line["device"] == device for line in h.lines)
            away = all(connected(h, device, t)[0] == "offline" for t in range(acked, until + 1))
            away &= not any(line["e"] == "online" and acked < line["t"] <= until for line in conn(h, device))
            if not watched or not away or until > end_of(h) or shown.get((device, conv, msg), INF) <= until:
                continue
            mine = [p for p in h.of("push") if (p["device"], p["conv"]) == (device, conv)]
            bad += not any(p["seq"] >= seq and sent <= p["t"] <= until for p in mine)
    needless = set()
    for line in h.of("push"):
        for (conv, msg), seqs in h.seqs().items():
            sent = h.sends.get((conv, msg))
            if sent is None or conv != line["conv"] or line["seq"] not in seqs:
                continue
            state, until = connected(h, line["device"], min(sent["t"], line["t"]))
            if state == "online" and max(sent["t"], line["t"]) < min(until, end_of(h)):
                needless.add((line["device"], conv, msg, line["t"]))
    return ("invalid", bad + len(needless)) if bad + len(needless) else ("valid", 0)


def presence(h: Seen) -> Answer:
    """Nanosecond by nanosecond."""
    end, words, bad = end_of(h), {"offline": 0, "online": 1}, 0
    told = sorted(h.of("presence"), key=lambda line: (line["t"], words.get(line["state"], 2)))
    acted = {line["device"] for line in h.lines if line["e"] in OWN}
    for viewer, user in {(line["viewer"], line["user"]) for line in told}:
        mine = [line for line in told if (line["viewer"], line["user"]) == (viewer, user)]
        devices = [device for device, users in h.owners.items() if user in users and device in acted]
        run, before = 0, None
        for t in range(end):
            last = [line for line in mine if line["t"] <= t][-1:]
            picture = last[0]["state"] if last else None
            if last and viewer in acted:
                state, until = connected(h, viewer, last[0]["t"])
                picture = picture if state != "offline" and t < until else None
            states = {connected(h, device, t)[0] for device in devices}
            truth = "online" if "online" in states else "offline" if states == {"offline"} else None
            stale = truth is not None and picture in words and picture != truth
            run = (run + 1 if picture == before else 1) if stale else 0
            before = picture
            bad += run == BOUND + 1
    return ("invalid", bad) if bad else ("valid", 0)


def receipts(h: Seen) -> Answer:
    bad = 0
    shows = {(s["device"], s["conv"], s["seq"], s["t"]) for s in h.of("show")}
    for line in h.of("receipt"):
        conv, by = line["conv"], line["by"]
        devices = {device for device, users in h.owners.items() if by in users or by == device}
        fine = not devices
        for device in devices:
            numbers = {
                seq
                for key, seqs in h.seqs().items()
                for seq in seqs
                if key[0] == conv and seq <= line["seq"] and device in h.readers(conv, seq)
                and (key not in h.sends or h.sends[key]["device"] != device)
            }  # fmt: skip
            adds = [c for c in h.of("member") if c["conv"] == conv and c["op"] == "add" and c["seq"] <= line["seq"]]
            added = any(c["user"] in h.owners[device] for c in adds) or conv not in h.convs_with_members
            if numbers:
                fine |= any(s[:3] == (device, conv, max(numbers)) and s[3] <= line["t"] for s in shows)
            else:
                fine |= added or line["seq"] == 0 or h.holes
        bad += not fine
        stream = ("device", "conv", "kind", "by")
        same = [r for r in h.of("receipt") if all(r[name] == line[name] for name in stream)]
        bad += any(r["t"] < line["t"] and r["seq"] > line["seq"] for r in same)
    return ("invalid", bad) if bad else ("valid", 0)


CHECKS = {"push": push, "presence": presence, "receipts": receipts}
