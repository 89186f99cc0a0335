"""Things come too late, too early or not at all, or are gone again."""

import random

from tests.chaos.verdict.mutations.common import Line, acked, breaks, m, of, one_of, remove_one, senders
from tests.chaos.verdict.world import MS, S


@breaks("session")
def what_was_shown_is_gone(lines: list[Line], rng: random.Random) -> None:
    shown = {(s["device"], *m(s)) for s in of(lines, "show")}
    remove_one(lines, rng, [f for f in of(lines, "final") if (f["device"], *m(f)) in shown])


@breaks("session")
def a_writer_cannot_read_its_own(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    remove_one(lines, rng, [f for f in of(lines, "final") if m(f) in done and done[m(f)]["device"] == f["device"]])


@breaks("catch_up")
def not_told_on_coming_back(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    heals = [line["t"] for line in of(lines, "fault")]
    stays = []
    for online in of(lines, "online"):
        offs = [o["t"] for o in of(lines, "offline") if o["device"] == online["device"] and o["t"] > online["t"]]
        if min(offs, default=10**19) > max([online["t"], *(h for h in heals if h >= online["t"])]) + 21 * S:
            stays.append(online)
    missed = [
        show
        for online in stays
        for show in of(lines, "show")
        if show["device"] == online["device"] and show["t"] > online["t"]
        and m(show) in done and done[m(show)]["t"] < online["t"] and done[m(show)]["device"] != show["device"]
    ]  # fmt: skip
    remove_one(lines, rng, missed)


@breaks("liveness")
def never_notified(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    heals = [line["t"] for line in of(lines, "fault")]
    leaving = {line["device"] for line in of(lines, "offline")}
    lost = [
        show
        for show in of(lines, "show")
        if m(show) in done and done[m(show)]["device"] != show["device"] and show["device"] not in leaving
    ]
    assert max(heals, default=0) + 25 * S < max(line["t"] for line in lines)
    remove_one(lines, rng, lost)


@breaks("latency")
def everything_a_little_late(lines: list[Line], rng: random.Random) -> bool:
    faults = [line["t"] for line in of(lines, "fault")]
    leaving = {line["device"] for line in of(lines, "offline")}
    sends = senders(lines)
    steady = [
        show
        for show in of(lines, "show")
        if show["device"] not in leaving and sends[m(show)]["device"] != show["device"]
        and not any(abs(sends[m(show)]["due"] - t) < 20 * S for t in faults)
    ]  # fmt: skip
    for show in of(lines, "show"):
        show["t"] += 250 * MS
    return bool(steady)


@breaks("push")
def no_push_to_who_is_away(lines: list[Line], rng: random.Random) -> bool:
    pushes = of(lines, "push")
    if len({(p["device"], p["conv"]) for p in pushes}) < 2:  # at least one must stay, else there are none to check
        return False
    gone = rng.choice(pushes)
    last = max(p["seq"] for p in pushes if (p["device"], p["conv"]) == (gone["device"], gone["conv"]))
    lines[:] = [
        line
        for line in lines
        if not (line["e"] == "push" and (line["device"], line["conv"]) == (gone["device"], gone["conv"]))
    ]
    return last > 0


@breaks("push")
def a_push_to_who_is_there(lines: list[Line], rng: random.Random) -> None:
    leaving = {line["device"] for line in of(lines, "offline")}
    shows = [s for s in of(lines, "show") if s["device"] not in leaving]
    show = one_of(rng, shows)
    lines.append({"e": "push", "t": show["t"], **{name: show[name] for name in ("device", "conv", "seq")}})


@breaks("presence")
def a_ghost(lines: list[Line], rng: random.Random) -> None:
    leaving = {line["device"] for line in of(lines, "offline")}
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    people = [(viewer, owners[other]) for viewer in owners for other in owners if not {viewer, other} & leaving]
    viewer, user = one_of(rng, people)
    lines[:] = [line for line in lines if line["e"] != "presence"]
    t = max(line["t"] for line in of(lines, "online")) + S
    lines.append({"e": "presence", "t": t, "viewer": viewer, "user": user, "state": "offline"})


@breaks("receipts")
def a_tick_before_the_display(lines: list[Line], rng: random.Random) -> None:
    receipts = of(lines, "receipt")
    one_of(rng, receipts)["t"] = 1


@breaks("receipts")
def a_tick_that_goes_back(lines: list[Line], rng: random.Random) -> None:
    receipts = [r for r in of(lines, "receipt") if r["seq"] > 1]
    receipt = one_of(rng, receipts)
    lines.append({**receipt, "t": receipt["t"] + S, "seq": 1})


@breaks("receipts")
def ticks_that_stop(lines: list[Line], rng: random.Random) -> bool:
    """Of one message, shown and sent by devices that never left, in calm, nothing is told any more."""
    heals = [line["t"] for line in of(lines, "fault")]
    leaving = {line["device"] for line in of(lines, "offline")}
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    removed = {(line["conv"], line["user"]) for line in of(lines, "member") if line["op"] == "remove"}
    sends, end = senders(lines), max(line["t"] for line in of(lines, "show"))
    shows = [
        (s["device"], sends[m(s)]["device"], s)
        for s in of(lines, "show")
        if not any(t - 25 * S < s["t"] < t + 25 * S for t in heals) and s["t"] + 11 * S < end
    ]
    told = [
        (s["conv"], owners[reader], s["seq"])
        for reader, author, s in shows
        if owners[reader] != owners[author] and not {reader, author} & leaving
        and not removed & {(s["conv"], owners[reader]), (s["conv"], owners[author])}
    ]  # fmt: skip
    keep = [line for line in of(lines, "receipt") if told and (line["conv"], line["by"]) != told[-1][:2]]
    if not told or not keep:
        return False
    conv, by, seq = rng.choice([place for place in told if place[:2] == told[-1][:2]])
    lines[:] = [
        line
        for line in lines
        if not (line["e"] == "receipt" and (line["conv"], line["by"]) == (conv, by) and line["seq"] >= seq)
    ]
    return True


@breaks("presence")
def not_told_again_after_a_reconnect(lines: list[Line], rng: random.Random) -> bool:
    """A viewer that never leaves is cut off for a moment, and never told again."""
    leaving = {line["device"] for line in of(lines, "offline")}
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    staying = [device for device in owners if device not in leaving]
    viewer, start = one_of(rng, staying), max(line["t"] for line in of(lines, "online"))
    lines[:] = [line for line in lines if line["e"] != "presence"]
    fields = {"viewer": viewer, "user": owners[viewer], "state": "online"}
    lines += [
        {"e": "presence", "t": start + S, **fields},
        {"e": "offline", "t": start + 2 * S, "device": viewer, "planned": True},
        {"e": "online", "t": start + 3 * S, "device": viewer},
    ]
    return start + 90 * S < max(line["t"] for line in of(lines, "final_done")) - 100 * S


@breaks("liveness")
def late_in_calm(lines: list[Line], rng: random.Random) -> None:
    """One display comes 30 s after its ack, far from every fault."""
    done, edges = acked(lines), [line["t"] for line in of(lines, "fault")]
    leaving = {line["device"] for line in of(lines, "offline")}
    late = [
        show
        for show in of(lines, "show")
        if m(show) in done and done[m(show)]["device"] != show["device"] and show["device"] not in leaving
        and not any(-25 * S < edge - done[m(show)]["t"] < 35 * S for edge in edges)
        and not any(-25 * S < done[m(show)]["t"] - edge < 25 * S for edge in edges)
    ]  # fmt: skip
    show = one_of(rng, late)
    show["t"] = done[m(show)]["t"] + 30 * S


@breaks("answers")
def answers_that_stop(lines: list[Line], rng: random.Random) -> None:
    """Sends of a device that never leaves, in calm, get no ack any more."""
    edges, members = [line["t"] for line in of(lines, "fault")], of(lines, "member")
    leaving = {line["device"] for line in of(lines, "offline")}
    removed = {(line["conv"], line["user"]) for line in members if line["op"] == "remove" or line["seq"]}
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    sends, done = senders(lines), acked(lines)
    silent = [
        key
        for key, send in sends.items()
        if key in done and send["device"] not in leaving and (send["conv"], owners[send["device"]]) not in removed
        and not any(-25 * S < edge - send["t"] < 25 * S for edge in edges)
    ]  # fmt: skip
    key = one_of(rng, silent)
    if rng.random() < 0.5:
        done[key]["t"] += 11 * S
    else:
        lines.remove(done[key])


@breaks("push")
def a_push_of_nothing(lines: list[Line], rng: random.Random) -> None:
    device, conv = rng.choice(of(lines, "device"))["device"], rng.choice(of(lines, "member"))["conv"]
    lines.append({"e": "push", "t": rng.choice(of(lines, "online"))["t"], "device": device, "conv": conv, "seq": 999})


@breaks("push")
def a_push_again_and_again(lines: list[Line], rng: random.Random) -> None:
    pushes = of(lines, "push")
    push = one_of(rng, pushes)
    lines += [{**push, "t": push["t"] + n * MS} for n in (1, 2, 3)]
