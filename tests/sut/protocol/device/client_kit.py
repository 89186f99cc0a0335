"""Shorthand for the tests of the client state machine: a client, frames given to it, and what it says then."""

from __future__ import annotations

import random

from sut.protocol import frames as f
from sut.protocol.device.client import Client, ClientSettings

CONV = 9
ME = 1


def make(**settings) -> Client:
    return Client(user=ME, device=ME, rng=random.Random(1), settings=ClientSettings(**settings))


def online(client: Client, now: float = 0.0) -> None:
    client.connected(now)
    client.receive(f.encode(f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY)), now)
    sync = next(frame for frame in sent(client) if isinstance(frame, f.Sync))
    client.receive(f.encode(f.Synced(sync.req, 0, ())), now)


def connected(**settings: object) -> Client:
    """A client that is online and has asked what it missed: nothing."""
    client = make(**settings)
    online(client)
    return client


def sent(client: Client) -> list[f.ClientFrame]:
    return [f.decode_client(data) for data in client.frames()]


def told(client: Client, kind: str) -> list:
    return [event for event in client.events() if type(event).__name__ == kind]


def theirs(seq: int, body: bytes = b"hi", flags: int = 0, user: int = 2) -> f.Message:
    return f.Message(CONV, seq, flags, user, user, seq, body)


def give(client: Client, frame: f.ServerFrame, now: float = 0.0) -> None:
    client.receive(f.encode(frame), now)


def fetches(client: Client) -> list[f.Fetch]:
    """The FETCHes among what it wants sent; the rest is dropped."""
    return [frame for frame in sent(client) if isinstance(frame, f.Fetch)]


def notified(client: Client, head: int) -> f.Fetch:
    """Tell it that the conversation has reached `head`; the FETCH that it then wants sent."""
    give(client, f.Notify((f.Entry(CONV, head, 0),)))
    (fetch,) = fetches(client)
    return fetch


def syncs(client: Client) -> list[f.Sync]:
    """The SYNCs among what it wants sent; the rest is dropped."""
    return [frame for frame in sent(client) if isinstance(frame, f.Sync)]


def welcomed(client: Client) -> f.Sync:
    """Connect it up to WELCOME; the SYNC it then asks is still to be answered."""
    client.connected(0.0)
    give(client, f.Welcome(ME, ME, 1, 30_000, f.MAX_BODY))
    (sync,) = syncs(client)
    return sync
