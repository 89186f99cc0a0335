"""What the mutations share: their registry, and ways to look at a history's lines."""

import functools
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Line = dict[str, object]
Mutation = Callable[[list[Line], random.Random], bool]
T = TypeVar("T")
MUTATIONS: dict[str, tuple[str, Mutation]] = {}


class NothingToBreak(Exception):
    """The history holds nothing that the mutation could break."""


def breaks(check: str) -> Callable[[Callable[[list[Line], random.Random], bool | None]], Mutation]:
    """Register a mutation with the check that must find it. Registered it returns False if there was nothing to break.

    The mutation itself may return None, which counts as True, or raise NothingToBreak.
    """

    def register(mutation: Callable[[list[Line], random.Random], bool | None]) -> Mutation:
        @functools.wraps(mutation)
        def broken(lines: list[Line], rng: random.Random) -> bool:
            try:
                return mutation(lines, rng) is not False
            except NothingToBreak:
                return False

        MUTATIONS[mutation.__name__] = check, broken
        return broken

    return register


def one_of(rng: random.Random, candidates: Sequence[T]) -> T:
    """One of them, by chance. Raises NothingToBreak when there is none."""
    if not candidates:
        raise NothingToBreak
    return rng.choice(candidates)


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


def remove_one(lines: list[Line], rng: random.Random, candidates: list[Line]) -> None:
    lines.remove(one_of(rng, candidates))
