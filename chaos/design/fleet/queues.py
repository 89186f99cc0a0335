"""The discrete-event part: messages one by one through the queues of their way.

A visit is a stay at one place: its work, then a delay that occupies nobody. A place has cores and one queue, first come
first served. Arrivals are a Poisson process. Work is exponential with the measured mean, which is what a mixture of
batched and single messages comes near to.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

WARM_UP: Final = 0.1
"""The share of the first messages that is not counted: queues begin empty."""


class Visit(NamedTuple):
    """One stay on the way of a message."""

    places: Sequence[int]
    """The places of which one is drawn for each message."""
    work_s: float


def waits_s(
    visits: Sequence[Visit],
    cores: Sequence[float],
    *,
    rate_per_s: float,
    messages: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return what each message spent on its way in s: waiting and work. Places that are overloaded fill up.

    `cores` are those of each place. A fraction of a core is a slower one: 1.4 cores are two of 0.7.
    """
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, messages))
    count = [max(1, int(np.ceil(each))) for each in cores]
    speed = [each / servers for each, servers in zip(cores, count, strict=True)]
    free = [[0.0] * servers for servers in count]
    places = np.stack([rng.choice(np.asarray(visit.places), messages) for visit in visits])
    works = np.stack([rng.exponential(visit.work_s, messages) for visit in visits])
    ends = np.zeros(messages)
    events = [(float(at_s), number, 0) for number, at_s in enumerate(arrivals)]
    heapq.heapify(events)
    while events:
        at_s, number, stage = heapq.heappop(events)
        if stage == len(visits):
            ends[number] = at_s
            continue
        place = int(places[stage, number])
        servers = free[place]
        begin_s = max(at_s, servers[0])
        end_s = begin_s + float(works[stage, number]) / speed[place]
        heapq.heapreplace(servers, end_s)
        heapq.heappush(events, (end_s, number, stage + 1))
    return (ends - arrivals)[int(messages * WARM_UP) :]
