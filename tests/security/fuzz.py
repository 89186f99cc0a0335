"""A fuzzer for everything that parses bytes of others: `python -m tests.security.fuzz --frames 10000000`.

Plain mutation of the documented examples: bits, bytes, numbers at their limits, pieces cut, doubled, moved and joined.
A round is a seed of its own, so what failed is repeated alone by the line that is printed. Memory is measured after a
first part and at the end of each process: a parser that keeps what it was fed shows.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.security.targets import TARGETS, masked

ROUND = 2_000
"""Inputs of a round."""
MAX_INPUT = 40_000
WARM = 0.1
"""The part after which memory is measured for the first time."""
NUMBERS = [
    value.to_bytes(size, "big")
    for size in (1, 2, 4, 6, 8)
    for value in (0, 1, 0x7F, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
    if value < 1 << 8 * size
]


class Found(Exception):
    """A bug; the text says how to see it again."""


@dataclass
class Outcome:
    """What one process did."""

    frames: int = 0
    inputs: Counter[str] = field(default_factory=Counter)
    rss_warm: int = 0
    rss_end: int = 0
    objects_warm: int = 0
    objects_end: int = 0


def mutated(corpus: list[bytes], rng: random.Random) -> bytes:
    """An example with one to four changes."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        size = len(data)
        at = rng.randrange(size + 1)
        match rng.randrange(10):
            case 0 | 1 if size:
                data[at % size] ^= 1 << rng.randrange(8)
            case 2 if size:
                data[at % size] = rng.randrange(256)
            case 3 | 4:
                number = rng.choice(NUMBERS)
                data[at : at + len(number)] = number
            case 5:
                del data[at:]
            case 6:
                del data[at : at + rng.randrange(1, 9)]
            case 7:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 16, 100)))
            case 8:
                data += rng.choice(corpus)
            case 9:
                begin = rng.randrange(size + 1)
                data[at:at] = data[begin : begin + 40] * rng.choice((1, 1, 1, 2, 50))
    return bytes(data[:MAX_INPUT])


def wrapped(corpus: list[bytes], rng: random.Random) -> bytes:
    """Some mutated frames as a device's stream, the heads broken now and then."""
    data = b"".join(masked(mutated(corpus, rng)[:MAX_INPUT], rng) for _ in range(rng.choice((1, 1, 2, 4))))
    return mutated([data], rng) if rng.random() < 0.2 else data


def play(seed: int, number: int, outcome: Outcome) -> None:
    """One round. Raises Found."""
    rng = random.Random(f"{seed}:{number}")
    names = list(TARGETS)
    shares = [share for _, _, _, share in TARGETS.values()]
    for name in rng.choices(names, shares, k=ROUND):
        target, corpus, is_stream, _ = TARGETS[name]
        data = wrapped(corpus, rng) if is_stream else mutated(corpus, rng)
        try:
            outcome.frames += target(data, rng)
        except Exception as error:
            again = f"python -m tests.security.fuzz --seed {seed} --round {number}"
            raise Found(f"{name}: {type(error).__name__}: {error}\n  input {data.hex()}\n  again: {again}") from error
        outcome.inputs[name] += 1


def run(seed: int, frames: int, first: int, step: int) -> Outcome:
    """Rounds `first`, `first` + `step`, ... until so many frames were tried. Raises Found."""
    outcome = Outcome()
    process = psutil.Process()
    number = first
    while outcome.frames < frames:
        play(seed, number, outcome)
        number += step
        if not outcome.rss_warm and outcome.frames >= WARM * frames:
            gc.collect()
            outcome.rss_warm, outcome.objects_warm = process.memory_info().rss, len(gc.get_objects())
    gc.collect()
    outcome.rss_end, outcome.objects_end = process.memory_info().rss, len(gc.get_objects())
    return outcome


def _run(arguments: tuple[int, int, int, int]) -> Outcome | str:
    try:
        return run(*arguments)
    except Found as found:
        return str(found)


def main() -> int:
    """Exit status 1 with the finding when there is one."""
    parser = argparse.ArgumentParser(description="Fuzz every parser of the protocol.")
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--round", type=int, help="only this round")
    wanted = parser.parse_args()
    if wanted.round is not None:
        play(wanted.seed, wanted.round, Outcome())
        return 0
    began_s = time.monotonic()
    share = -(-wanted.frames // wanted.processes)
    work = [(wanted.seed, share, first, wanted.processes) for first in range(wanted.processes)]
    if wanted.processes == 1:
        outcomes = [_run(work[0])]
    else:
        with multiprocessing.get_context("spawn").Pool(wanted.processes) as pool:
            outcomes = pool.map(_run, work)
    if bugs := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        print("\n".join(bugs), file=sys.stderr)
        return 1
    done = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    print(
        f"{sum(one.frames for one in done):,} frames in {time.monotonic() - began_s:.0f} s, seed {wanted.seed}, no bug"
    )
    inputs = sum((one.inputs for one in done), Counter())
    print("inputs: " + ", ".join(f"{name} {count:,}" for name, count in inputs.most_common()))
    for one in done:
        grown = one.rss_end - one.rss_warm
        print(
            f"memory {one.rss_warm / 1e6:.1f} MB after a tenth, {one.rss_end / 1e6:.1f} MB at the end"
            f" ({grown / 1024:+.0f} KiB), {one.objects_end - one.objects_warm:+d} objects"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
