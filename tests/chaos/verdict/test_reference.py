"""The checks against a naive reading of the same definitions, on small histories in which anything may happen."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.verdict.checks import CHECKS
from chaos.verdict.relations.facts import facts_of
from tests.chaos.verdict import reference, reference_told
from tests.chaos.verdict.help import Line, history_of

BOUNDS: Line = {
    "e": "meta", "t": 0,
    "bounds": {
        "catch_up_s": 1e-8, "liveness_s": 1e-8, "recovery_s": 0, "push_s": 1e-8, "presence_s": 1e-8, "answer_s": 1e-8,
        "receipt_s": 1e-8, "clock_error_ms": 2e-6, "min_acked": 0, "min_deliveries": 0,
    },
}  # fmt: skip
CAREFUL = ("catch_up", "liveness", "push", "presence", "answers", "receipts")
"""With holes these are only ever more careful; test_holes has their cases."""


def anything(rng: random.Random) -> list[Line]:
    """A small history: mostly sane, so that the checks do not all fail at the first event, and then shaken."""
    devices, convs, span = rng.randint(1, 3), rng.randint(1, 2), rng.randint(4, 80)
    lines: list[Line] = []

    def t() -> int:
        return rng.randint(1, span)

    for device in range(1, devices + 1):
        if rng.random() < 0.95:
            lines.append({"e": "device", "t": 0, "device": device, "user": rng.choice((device, 1))})
        for conv in range(1, convs + 1):
            if rng.random() < 0.85:
                lines.append({"e": "member", "t": 0, "conv": conv, "user": device, "op": "add", "seq": 0})
            if rng.random() < 0.15:
                op, seq = rng.choice(("add", "remove")), rng.randint(0, 5)
                lines.append({"e": "member", "t": t(), "conv": conv, "user": device, "op": op, "seq": seq})
        for _ in range(rng.choice((0, 0, 1, 3))):
            event = rng.choice(("online", "offline"))
            planned = {"planned": rng.random() < 0.5} if event == "offline" else {}
            lines.append({"e": event, "t": t(), "device": device, **planned})
    head = dict.fromkeys(range(1, convs + 1), 0)
    for msg in range(1, rng.randint(1, 5) + 1):
        conv, sender = rng.randint(1, convs), rng.randint(1, devices)
        head[conv] += 1
        copy = {"conv": conv, "msg": msg, "seq": head[conv], "hash": msg}
        at = t()
        lines.append({"e": "send", "t": at, "due": at, "device": sender, "conv": conv, "msg": msg, "hash": msg})
        fate = rng.random()
        if fate < 0.7:
            lines.append({"e": "ack", "t": at + rng.randint(0, 9), "device": sender, **copy})
        elif fate < 0.8:
            definite = rng.random() < 0.5
            lines.append({"e": "nack", "t": at, "device": sender, "conv": conv, "msg": msg, "definite": definite})
        for device in range(1, devices + 1):
            for event, chance in (("wire", 0.5), ("show", 0.85), ("final", 0.95)):
                times = (rng.random() < chance) + (rng.random() < 0.05)
                lines += [
                    {"e": event, "t": at + rng.randint(0, span // 2), "device": device, **copy} for _ in range(times)
                ]
    lines += [
        {
            "e": "final_done",
            "t": span,
            "device": device,
            "conv": conv,
            "head": max(0, head[conv] - rng.choice([0] * 9 + [1])),
        }
        for device in range(1, devices + 1)
        for conv in range(1, convs + 1)
        if rng.random() < 0.95
    ]
    ids = range(1, devices + 1)
    for _ in range(rng.choice((0, 1, 3, 6))):
        place = {"t": t(), "device": rng.choice(ids), "conv": rng.randint(1, convs), "seq": rng.randint(0, 4)}
        state = rng.choice(("online", "online", "offline", "away"))
        lines += rng.sample(
            [
                {"e": "push", **place},
                {"e": "receipt", **place, "kind": rng.choice(("read", "delivered")), "by": rng.choice(ids)},
                {"e": "presence", "t": t(), "viewer": rng.choice(ids), "user": rng.choice(ids), "state": state},
            ],
            rng.randint(1, 3),
        )
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        line = rng.choice(lines)
        for name in ("seq", "msg", "device", "conv", "user", "hash"):
            if name in line and rng.random() < 0.3:
                line[name] = rng.randint(name in ("device", "user"), 4)
    for _ in range(rng.choice((0, 0, 1, 2))):
        fault: Line = {"e": "fault", "name": "f", "target": "g"}
        lines += [{**fault, "t": t(), "phase": "inject"}, {**fault, "t": t() + 5, "phase": "heal"}]
    for line in lines:
        if line["e"] == "send" and rng.random() < 0.05:
            line[rng.choice(("t", "due"))] += rng.randint(0, 9)
    if rng.random() < 0.15:
        lines.append({"e": "hole", "t": 1, "process": "p", "detail": "died"})
    rng.shuffle(lines)
    return lines


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**9))
def test_agrees_with_the_definitions(seed: int) -> None:
    lines = anything(random.Random(seed))
    seen = reference.Seen(lines)
    history = history_of([BOUNDS, *lines])
    for name, naive in {**reference.CHECKS, **reference_told.CHECKS}.items():
        if seen.holes and name in CAREFUL:
            continue
        verdict, anomalies = naive(seen)
        found = CHECKS[name](history)
        assert found.verdict == verdict, found
        if anomalies is not None:
            assert found.anomalies == anomalies, found
        assert (found.verdict == "invalid") == bool(found.anomalies)
        assert found.verdict != "invalid" or found.counterexamples
    samples = facts_of(history).samples.select("device", "conv", "msg", "latency_ns").rows()
    assert sorted(samples) == sorted(reference.samples(seen))
