"""Probes: a device asks for a conversation that its user never was in, by FETCH or by HISTORY, and notes what it gets.

The answer must be a refusal and the end of the connection. Whatever comes instead goes to the history as WIRE events of
this device, which is what the check `leaks` looks at.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Set
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from load.device import body as bodies
from load.history.events import Event, message_id
from load.history.writer import HistoryWriter
from sut.protocol.frames import MAX_FETCH, MAX_SEQ, Error, Fetch, FrameError, History, Page, decode_server, encode

ANSWER_S: Final = 3.0
_REQ: Final = 0xBAD
_I64: Final = (1 << 63) - 1


def draw(known: Mapping[int, Set[int]], *, share: float, seed: int, users: range) -> dict[int, int]:
    """User -> the foreign conversation to ask for, for a share of the users: the same for a seed.

    Of each user who is in no foreign one there is nothing to draw.
    """
    rng = random.Random(f"probes {seed}")
    everywhere = sorted(set().union(*known.values()))
    found: dict[int, int] = {}
    for user in users:
        if rng.random() < share:
            foreign = [conv for conv in everywhere if conv not in known.get(user, set())]
            if foreign:
                found[user] = rng.choice(foreign)
    return found


async def probe(connection: ClientConnection, device: int, conv: int, history: HistoryWriter) -> int:
    """Ask once. Returns how many messages came that should not have; no answer is no leak."""
    question = Fetch(_REQ, conv, 0, MAX_FETCH) if device % 2 else History(_REQ, conv, MAX_SEQ, MAX_FETCH)
    came = 0
    try:
        async with asyncio.timeout(ANSWER_S):
            await connection.send(encode(question))
            while True:
                frame = decode_server(await connection.recv(decode=False))
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
    except (TimeoutError, ConnectionClosed, FrameError):
        pass
    return came
