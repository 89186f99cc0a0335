"""What is kept, shown and read goes wrong."""

import random
from collections import defaultdict

from tests.chaos.verdict.mutations.common import Line, acked, breaks, heads, m, of, one_of, remove_one, senders
from tests.chaos.verdict.world import MS, S


@breaks("acked_lost")
def one_final_lacks_an_acked_message(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    remove_one(lines, rng, [f for f in of(lines, "final") if m(f) in done])


@breaks("acked_lost")
def an_acked_message_is_nowhere(lines: list[Line], rng: random.Random) -> None:
    there = {m(f) for f in of(lines, "final")}
    done = [key for key in acked(lines) if key in there]
    key = one_of(rng, done)
    lines[:] = [line for line in lines if not (line["e"] in ("wire", "show", "final") and m(line) == key)]


@breaks("acked_lost")
def the_log_lost_its_tail(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    finals = [f for f in of(lines, "final") if m(f) in done]
    cut = one_of(rng, finals)
    lines[:] = [
        line
        for line in lines
        if not (line["e"] == "final" and line["conv"] == cut["conv"] and line["seq"] >= cut["seq"])
    ]
    for line in of(lines, "final_done"):
        if line["conv"] == cut["conv"]:
            line["head"] = min(line["head"], cut["seq"] - 1)


@breaks("indeterminate")
def an_unanswered_send_is_in_some_finals(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    copies = defaultdict(list)
    for final in of(lines, "final"):
        if m(final) not in done:
            copies[m(final)].append(final)
    remove_one(lines, rng, [f for found in copies.values() if len(found) > 1 for f in found])


@breaks("duplicates")
def shown_twice(lines: list[Line], rng: random.Random) -> None:
    shows = of(lines, "show")
    show = one_of(rng, shows)
    lines.append({**show, "t": show["t"] + rng.randint(0, S)})


@breaks("duplicates")
def sequenced_twice(lines: list[Line], rng: random.Random) -> None:
    finals = of(lines, "final")
    key = m(one_of(rng, finals))
    top = max(f["seq"] for f in finals if f["conv"] == key[0]) + 20
    lines += [{**f, "seq": top} for f in finals if m(f) == key]


@breaks("order")
def one_senders_messages_swapped(lines: list[Line], rng: random.Random) -> None:
    """Everywhere alike: only the order tells."""
    numbers = {m(f): f["seq"] for f in of(lines, "final")}
    sends = senders(lines)
    pairs = [
        (a, b)
        for a in numbers
        for b in numbers
        if a != b and a in sends and b in sends and a[0] == b[0]
        and sends[a]["device"] == sends[b]["device"] and sends[a]["t"] < sends[b]["t"]
    ]  # fmt: skip
    a, b = one_of(rng, pairs)
    swap = {a: numbers[b], b: numbers[a]}
    for line in lines:
        if line["e"] in ("ack", "wire", "show", "final") and m(line) in swap:
            line["seq"] = swap[m(line)]


@breaks("order")
def invoked_later_numbered_lower(lines: list[Line], rng: random.Random) -> None:
    """By different devices: only real time tells."""
    sends, done = senders(lines), acked(lines)
    pairs = [
        (a, b)
        for a, ack in done.items()
        for b, send in sends.items()
        if b in done and a[0] == b[0] and ack["t"] < send["t"] and sends[a]["device"] != send["device"]
    ]
    a, b = one_of(rng, pairs)
    swap = {a: done[b]["seq"], b: done[a]["seq"]}
    for line in lines:
        if line["e"] in ("ack", "wire", "show", "final") and m(line) in swap:
            line["seq"] = swap[m(line)]


@breaks("order")
def shown_out_of_order(lines: list[Line], rng: random.Random) -> None:
    screens = defaultdict(list)
    for show in of(lines, "show"):
        screens[show["device"], show["conv"]].append(show)
    busy = [screen for screen in screens.values() if len(screen) > 1]
    first, second = rng.sample(one_of(rng, busy), 2)
    first["t"], second["t"] = second["t"], first["t"]


@breaks("gaps_forks")
def a_number_used_twice(lines: list[Line], rng: random.Random) -> None:
    """What a counter that went back does."""
    finals = of(lines, "final")
    convs = defaultdict(set)
    for final in finals:
        convs[final["conv"]].add((final["seq"], final["msg"]))
    busy = [conv for conv, places in convs.items() if len(places) > 1]
    conv = one_of(rng, busy)
    (first, _), (_, again) = rng.sample(sorted(convs[conv]), 2)
    for line in lines:
        if line["e"] in ("ack", "wire", "show", "final") and m(line) == (conv, again):
            line["seq"] = first


@breaks("gaps_forks")
def a_final_has_a_hole(lines: list[Line], rng: random.Random) -> None:
    head = heads(lines)
    remove_one(lines, rng, [f for f in of(lines, "final") if f["seq"] <= head.get((f["device"], f["conv"]), 0)])


@breaks("gaps_forks")
def one_device_has_another_content(lines: list[Line], rng: random.Random) -> None:
    copies = defaultdict(set)
    for final in of(lines, "final"):
        copies[m(final)].add(final["device"])
    forked = [f for f in of(lines, "final") if len(copies[m(f)]) > 1]
    one_of(rng, forked)["hash"] = 1


@breaks("gaps_forks")
def a_message_at_the_number_of_a_change(lines: list[Line], rng: random.Random) -> None:
    changes = [line for line in of(lines, "member") if line["seq"]]
    finals = of(lines, "final")
    pairs = [(c, f) for c in changes for f in finals if c["conv"] == f["conv"]]
    change, final = one_of(rng, pairs)
    key = m(final)
    for line in lines:
        if line["e"] in ("ack", "wire", "show", "final") and m(line) == key:
            line["seq"] = change["seq"]


@breaks("phantoms")
def content_changed_on_the_way(lines: list[Line], rng: random.Random) -> None:
    seen = [line for line in lines if line["e"] in ("wire", "show", "final")]
    one_of(rng, seen)["hash"] = 1


@breaks("phantoms")
def never_sent(lines: list[Line], rng: random.Random) -> None:
    seen = {m(line) for line in lines if line["e"] in ("wire", "show", "final")}
    remove_one(lines, rng, [line for line in of(lines, "send") if m(line) in seen])


@breaks("phantoms")
def in_the_wrong_conversation(lines: list[Line], rng: random.Random) -> bool:
    wires, convs = of(lines, "wire"), {line["conv"] for line in of(lines, "member")}
    if not wires or len(convs) < 2:
        return False
    wire = rng.choice(wires)
    wire["conv"] = rng.choice(sorted(convs - {wire["conv"]}))
    return True


@breaks("phantoms")
def refused_and_yet_there(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    taken = {m(f) for f in of(lines, "final")} - set(done)
    sends = [line for line in of(lines, "send") if m(line) in taken]
    send = one_of(rng, sends)
    fields = {name: send[name] for name in ("device", "conv", "msg")}
    lines.append({"e": "nack", "t": send["t"] + S, **fields, "definite": True})


@breaks("leaks")
def read_by_an_outsider(lines: list[Line], rng: random.Random) -> None:
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    ever = {(line["conv"], line["user"]) for line in of(lines, "member")}
    pairs = [(w, d) for w in of(lines, "wire") for d, user in owners.items() if (w["conv"], user) not in ever]
    wire, device = one_of(rng, pairs)
    lines.append({**wire, "device": device})


@breaks("leaks")
def read_after_the_removal(lines: list[Line], rng: random.Random) -> None:
    finals = {(f["conv"], f["seq"]): f for f in of(lines, "final")}
    owners = defaultdict(list)
    for line in of(lines, "device"):
        owners[line["user"]].append(line["device"])
    again = {(x["conv"], x["user"]) for x in of(lines, "member") if x["op"] == "add" and x["seq"]}
    found = [
        (final, device)
        for change in of(lines, "member")
        if change["op"] == "remove" and (change["conv"], change["user"]) not in again
        for (conv, seq), final in finals.items()
        if conv == change["conv"] and seq > change["seq"]
        for device in owners[change["user"]]
    ]
    final, device = one_of(rng, found)
    lines.append({**final, "device": device})


@breaks("causal")
def an_answer_shown_before_its_question(lines: list[Line], rng: random.Random) -> None:
    sends = senders(lines)
    shows = {(s["device"], *m(s)): s for s in of(lines, "show")}
    found = [
        (question, answer)
        for (device, *key), answer in shows.items()
        if (send := sends[tuple(key)])["device"] != device
        for (other, *cause), question in shows.items()
        if other == device and question["t"] < answer["t"]
        and (cause_shown := shows.get((send["device"], *cause))) and cause_shown["t"] < send["t"]
    ]  # fmt: skip
    question, answer = one_of(rng, found)
    question["t"] = answer["t"] + rng.randint(1, S)


@breaks("gaps_forks")
def two_changes_with_one_number(lines: list[Line], rng: random.Random) -> None:
    changes = [line for line in of(lines, "member") if line["seq"]]
    change = one_of(rng, changes)
    lines.append({**change, "user": 999})


@breaks("leaks")
def a_sender_who_is_no_member(lines: list[Line], rng: random.Random) -> None:
    """Of somebody who was removed, a message takes a number behind the removal."""
    owners = {line["device"]: line["user"] for line in of(lines, "device")}
    out = {(x["conv"], x["user"]): x["seq"] for x in of(lines, "member") if x["op"] == "remove"}
    again = {(x["conv"], x["user"]) for x in of(lines, "member") if x["op"] == "add" and x["seq"]}
    sends = senders(lines)
    found = [
        (send, device)
        for (conv, user), seq in out.items()
        for final in of(lines, "final")
        if (conv, user) not in again and final["conv"] == conv and final["seq"] > seq
        for send in [sends[m(final)]]
        for device, owner in owners.items()
        if owner == user
    ]
    send, device = one_of(rng, found)
    send["device"] = device


@breaks("phantoms")
def one_key_two_contents(lines: list[Line], rng: random.Random) -> None:
    done = acked(lines)
    sends = [line for line in of(lines, "send") if m(line) in done]
    send = one_of(rng, sends)
    lines.append({**send, "t": send["t"] + MS, "hash": 1})


@breaks("phantoms")
def under_a_wrong_name(lines: list[Line], rng: random.Random) -> None:
    shows = of(lines, "show")
    one_of(rng, shows)["author"] = 999
