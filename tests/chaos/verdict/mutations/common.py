"""What the mutations share: their registry, and ways to look at a history's lines."""

import random
from collections.abc import Callable

Line = dict[str, object]
Mutation = Callable[[list[Line], random.Random], bool]
MUTATIONS: dict[str, tuple[str, Mutation]] = {}


def breaks(check: str) -> Callable[[Mutation], Mutation]:
    """Register a mutation with the check that must find it."""

    def register(mutation: Mutation) -> Mutation:
        MUTATIONS[mutation.__name__] = check, mutation
        return mutation

    return register


def of(lines: list[Line], event: str) -> list[Line]:
    return [line for line in lines if line["e"] == event]


def m(line: Line) -> tuple[object, object]:
    return line["conv"], line["msg"]


def acked(lines: list[Line]) -> dict[tuple, Line]:
    return {m(line): line for line in of(lines, "ack")}


def senders(lines: list[Line]) -> dict[tuple, Line]:
    return {m(line): line for line in of(lines, "send")}


def heads(lines: list[Line]) -> dict[tuple, int]:
    return {(line["device"], line["conv"]): line["head"] for line in of(lines, "final_done")}


def remove_one(lines: list[Line], rng: random.Random, candidates: list[Line]) -> bool:
    if not candidates:
        return False
    lines.remove(rng.choice(candidates))
    return True
