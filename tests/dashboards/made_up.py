"""Made-up runs of any size, built as the frames that the verdict's loader would give."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from chaos.verdict.history.history import SCHEMA, History
from load.history.control import Bounds, Fault, Meta, Phase

START_NS = 1_790_000_000 * 10**9
SECOND = 10**9
MEMBERS = 3
RAMP_S = 12


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fault of a made-up run: while it is in force latencies are `slower` times as long."""

    name: str
    target: str
    at_s: float
    for_s: float
    recovery_s: float = 1.0
    slower: float = 60.0
    effective: bool = True


def made_up_history(
    *,
    messages: int,
    devices: int = 30,
    duration_s: float = 60.0,
    troubles: tuple[Trouble, ...] = (),
    lose: int | None = None,
) -> History:
    """A history of `messages` sends to conversations of MEMBERS devices each; every event as in a good run.

    `lose`: that message (its number, from 0) is acked, and never reaches one member.
    """
    rng = np.random.default_rng(7)
    convs = max(1, devices // MEMBERS)
    due = np.sort(rng.uniform(0, duration_s, messages))
    conv = rng.integers(0, convs, messages)
    order = np.argsort(conv, kind="stable")
    seq = np.empty(messages, np.int64)
    first = np.searchsorted(conv[order], conv[order], side="left")
    seq[order] = np.arange(messages) - first + 1
    sender = conv * MEMBERS + rng.integers(0, MEMBERS, messages) + 1
    slow = np.ones(messages)
    for trouble in troubles:
        inside = (due >= trouble.at_s) & (due < trouble.at_s + trouble.for_s + trouble.recovery_s)
        slow[inside] = 1 + (trouble.slower - 1) * rng.random(int(inside.sum()))
    delay = rng.lognormal(np.log(0.008), 0.6, messages) * slow
    due_ns = START_NS + (due * SECOND).astype(np.int64)
    ack_ns = in_order(conv, due_ns + (delay * 0.6 * SECOND).astype(np.int64))
    msg = np.arange(messages)
    hashes = msg * 7919 % 1_000_003
    per_message = {"conv": conv, "msg": msg, "seq": seq}
    frames = [
        frame("send", t=due_ns + 200_000, due=due_ns, device=sender, conv=conv, msg=msg, hash=hashes),
        frame("ack", t=ack_ns, device=sender, **per_message),
    ]
    for place in range(MEMBERS):
        reader = conv * MEMBERS + place + 1
        keep = np.ones(messages, bool)
        if lose is not None and place == sender[lose] % MEMBERS:  # the member after its sender
            keep[lose] = False
        shown_ns = in_order(conv, due_ns + (delay * rng.uniform(0.8, 1.4, messages) * SECOND).astype(np.int64))
        seen = {key: value[keep] for key, value in per_message.items()}
        for kind, t in (
            ("wire", shown_ns),
            ("show", shown_ns + 30_000),
            ("final", np.full(messages, end_ns(duration_s))),
        ):
            frames.append(frame(kind, t=t[keep], device=reader[keep], hash=hashes[keep], **seen))
    everyone = np.arange(1, convs * MEMBERS + 1)
    conv_of = (everyone - 1) // MEMBERS
    online_ns = START_NS - RAMP_S * SECOND + (everyone * (RAMP_S - 2) * SECOND // len(everyone))
    heads = np.zeros(convs, np.int64)
    np.maximum.at(heads, conv, seq)
    frames += [
        frame("device", t=online_ns - SECOND, device=everyone, user=everyone),
        frame("member", t=online_ns - SECOND, conv=conv_of, user=everyone, seq=everyone * 0, arg=everyone * 0 + 1),
        frame("online", t=online_ns, device=everyone),
        frame("final_done", t=everyone * 0 + end_ns(duration_s), device=everyone, conv=conv_of, seq=heads[conv_of]),
    ]  # fmt: skip
    frames += disconnections(everyone, troubles)
    events = pl.concat(frames).sort("t", *(name for name in SCHEMA if name != "t"), nulls_last=True)
    return History(
        events=events,
        own=True,
        meta=Meta(
            experiment="quick", profile="embedded", seed=20261124, duration_s=duration_s, bounds=Bounds(min_acked=1)
        ),
        faults=tuple(fault for place, trouble in enumerate(troubles) for fault in faults(place, trouble)),
        phases=(
            Phase(t=START_NS - RAMP_S * SECOND, name="ramp"),
            Phase(t=START_NS, name="steady"),
            Phase(t=START_NS + int((duration_s + 0.5) * SECOND), name="quiesce"),
            Phase(t=end_ns(duration_s), name="final"),
        ),
    )


def in_order(conv: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Times of messages by due, put off until the earlier ones of the conversation are through."""
    return pl.DataFrame({"conv": conv, "t": t}).select(pl.col("t").cum_max().over("conv"))["t"].to_numpy()


def end_ns(duration_s: float) -> int:
    """When the read-back of a made-up run happens."""
    return START_NS + int((duration_s + 3) * SECOND)


def faults(place: int, trouble: Trouble) -> list[Fault]:
    """The two control lines of a trouble."""
    inject_ns = START_NS + int(trouble.at_s * SECOND)
    heal_ns = inject_ns + int(trouble.for_s * SECOND)
    said = f"{trouble.target}: no answer to ping in 0.5 s" if trouble.effective else f"{trouble.target} still answers"
    inject = Fault(
        t=inject_ns, phase="inject", ok=trouble.effective, evidence=said, fault=f"f{place + 1}", name=trouble.name,
        target=trouble.target,
    )  # fmt: skip
    healed = f"{trouble.target} answers again"
    return [inject, msgspec.structs.replace(inject, t=heal_ns, phase="heal", ok=True, evidence=healed)]


def disconnections(everyone: np.ndarray, troubles: tuple[Trouble, ...]) -> list[pl.DataFrame]:
    """A third of the devices loses its connection when a gateway breaks, and is back after it healed."""
    frames = []
    for trouble in troubles:
        if not trouble.target.startswith("gateway"):
            continue
        there = everyone[everyone % 3 == int(trouble.target[-1]) % 3]
        gone_ns = START_NS + int(trouble.at_s * SECOND) + there * 1_000_000
        frames.append(frame("offline", t=gone_ns, device=there, arg=there * 0))
        frames.append(frame("online", t=gone_ns + int(trouble.for_s * SECOND) + there * 3_000_000, device=there))
    return frames


def frame(kind: str, **columns: np.ndarray) -> pl.DataFrame:
    """Events of one kind with the columns of a history."""
    found = pl.DataFrame(columns)
    absent = [
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in SCHEMA.items() if name not in (*found.columns, "e")
    ]
    return found.with_columns(*absent, e=pl.lit(kind)).select(
        pl.col(name).cast(dtype) for name, dtype in SCHEMA.items()
    )


def write_metrics(run_dir: Path, *, services: tuple[str, ...], duration_s: int) -> None:
    """One sample a second and service; a service whose CPU counter falls has restarted."""
    (run_dir / "metrics").mkdir(parents=True)
    rng = np.random.default_rng(3)
    with (run_dir / "metrics" / "runner.jsonl").open("wb") as file:
        for place, service in enumerate(services):
            cpu_s = 0.0
            for second in range(-RAMP_S, duration_s + 3):
                cpu_s += float(rng.uniform(0.02, 0.3)) / (1 + place % 4)
                if place == 1 and second == duration_s // 3:
                    cpu_s = 0.1
                sample = {
                    "t": START_NS + second * SECOND, "service": service, "cpu_s": round(cpu_s, 3),
                    "rss_bytes": int((28 + place * 3 + second * 0.05 + rng.random()) * (1 << 20)),
                    "stats": {"connections": 300 + second, "send_buffer_bytes": int(rng.integers(0, 90_000))},
                }  # fmt: skip
                file.write(msgspec.json.encode(sample) + b"\n")
