"""Probes: a device requests a conversation that its user never was in, by FETCH or by HISTORY, and records the answer.

The service must refuse and end the connection. Any message that comes instead goes to the history as a WIRE event of
this device, which the check `leaks` judges.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Set
from typing import Final

from load.device import body as bodies
from load.history.events import Event, message_id
from load.history.writer import HistoryWriter
from load.readback.wire import Closed, Wire
from sut.protocol.frames import MAX_FETCH, MAX_SEQ, Error, Fetch, FrameError, History, Page, decode_server, encode

ANSWER_S: Final = 3.0
DRAWS: Final = 8
"""Conversations drawn for a user, of whom nearly all are foreign in a large swarm."""
_REQ: Final = 0xBAD
_I64: Final = (1 << 63) - 1


def draw(known: Mapping[int, Set[int]], *, share: float, seed: int, users: range) -> dict[int, int]:
    """Return user -> the foreign conversation to request, for a share of the users: the same for a seed.

    A user without any foreign conversation is left out.
    """
    rng = random.Random(f"probes {seed}")
    everywhere = sorted(set().union(*known.values()))
    found: dict[int, int] = {}
    for user in users:
        if rng.random() < share:
            its = known.get(user, set())
            foreign = (conv for conv in rng.choices(everywhere, k=DRAWS) if conv not in its) if everywhere else iter(())
            conv = next(foreign, None) or next((conv for conv in everywhere if conv not in its), None)
            if conv is not None:
                found[user] = conv
    return found


async def probe(connection: Wire, device: int, conv: int, history: HistoryWriter) -> int:
    """Send one probe. Returns the number of messages that should not have come; no answer is no leak."""
    question = Fetch(_REQ, conv, 0, MAX_FETCH) if device % 2 else History(_REQ, conv, MAX_SEQ, MAX_FETCH)
    came = 0
    try:
        async with asyncio.timeout(ANSWER_S):
            connection.send(encode(question))
            while True:
                frame = decode_server(await connection.recv())
                if isinstance(frame, Error) and frame.req == _REQ:
                    break
                if isinstance(frame, Page) and frame.conv == conv:
                    for message in frame.messages:
                        if not message.flags:
                            came += 1
                            history.append(
                                Event.WIRE,
                                device=device,
                                conv=conv,
                                msg=message_id(message.device, message.client_seq) & _I64,
                                seq=message.seq,
                                hash_=bodies.digest(message.body),
                            )
                    break
    except (TimeoutError, Closed, FrameError):
        pass
    return came
