"""The plan of mobile devices: which cell each one uses, and when it changes its address.

A device that changes its address leaves its connection open and unread, as a phone does whose network is gone. It
connects anew over the next cell. Made from the seed like the rest; a run without mobile devices has the same sends as
one with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from load.plan.population import Population, shuffled, stream
from load.workload import SwarmConfig

STAY_S: Final = (10.0, 30.0)
"""Shortest and longest time in s between two changes of the address."""


@dataclass(frozen=True, slots=True)
class Mobile:
    """The plan of one mobile device."""

    cell: int
    """Its first cell, from 0."""
    moves: tuple[int, ...] = ()
    """When it changes its address, in us after t0, rising."""


def mobile(config: SwarmConfig, population: Population, duration_us: int) -> dict[int, Mobile]:
    """Return the plan of each mobile device. The last change comes a while before the last send."""
    chosen = shuffled(stream(config.seed, "mobile"), population.users)
    chosen = chosen[: round(len(chosen) * config.mobile_share)]
    moving, rng = round(len(chosen) * config.move_share), stream(config.seed, "moves")
    shortest, longest = (round(stay_s * 1e6) for stay_s in STAY_S)
    plans = {}
    for turn, user in enumerate(chosen):
        moves: list[int] = []
        at_us = 0 if turn < moving else duration_us
        while (at_us := at_us + shortest + round(rng.random() * (longest - shortest))) < duration_us * 0.9:
            moves.append(at_us)
        plans[user] = Mobile(turn % len(config.cells), tuple(moves))
    return plans
