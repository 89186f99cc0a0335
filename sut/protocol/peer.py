"""What our own processes say to each other over persistent TCP.

On the wire: length u32 (of what follows), correlation u32, then one msgpack array whose first item is the tag.
Correlation 0 is one-way; otherwise the answer carries the same number with the top bit set. The first frame in
each direction is Hello, with a nonce; the second is Proof, an HMAC over both Hellos under the secret of the system.
Before a valid Proof nothing else is taken. sut/process/peer.py moves these over sockets; nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from sut.protocol.frames import FrameError

MAX_PEER_FRAME: Final = 16 << 20
MAX_UNPROVEN_FRAME: Final = 4096
"""Bytes of a frame from a peer that has not proven itself: enough for a Hello."""
NONCE_SIZE: Final = 16
HEAD_STORED: Final = -1
"""A head: the conversation is not in memory, the store knows all of it."""
HEAD_RECOVERING: Final = -2
"""A head: the sequencer has not caught up with its log since it started; the store may lack the newest."""
ANSWER: Final = 1 << 31
"""Set in the correlation of an answer."""


class _Tagged(msgspec.Struct, frozen=True, array_like=True, tag_field="t"):
    pass


class Hello(_Tagged, frozen=True, tag=0):
    """First frame of a link, both ways: who is there."""

    node: str
    incarnation: int
    nonce: bytes = b""
    """Random, new for each connection: so that a Proof that was overheard proves nothing on another one."""


class Proof(_Tagged, frozen=True, tag=44):
    """Second frame of a link, both ways: whoever sent the Hello knows the secret (`proof`)."""

    mac: bytes


class Ping(_Tagged, frozen=True, tag=1):
    """Are you there? Answered by Pong. What `petrel` probes use from outside."""


class Pong(_Tagged, frozen=True, tag=2):
    """Counters and gauges of the process, by name."""

    node: str
    incarnation: int
    stats: dict[str, float]


class Submit(_Tagged, frozen=True, tag=3):
    """Gateway to chat service: a SEND of an authenticated device."""

    conn: int
    user: int
    device: int
    conv: int
    client_seq: int
    body: bytes


class FetchPage(_Tagged, frozen=True, tag=4):
    """Gateway to chat service: a FETCH."""

    conn: int
    user: int
    req: int
    conv: int
    after: int
    limit: int


class SyncDevice(_Tagged, frozen=True, tag=5):
    """Gateway to chat service: a SYNC."""

    conn: int
    user: int
    req: int
    after_conv: int
    cursors: tuple[tuple[int, int], ...]


class Shown(_Tagged, frozen=True, tag=6):
    """Gateway to chat service: a RECV."""

    user: int
    device: int
    conv: int
    seq: int


class Deliver(_Tagged, frozen=True, tag=7):
    """To an edge (gateway or API): write `frame` to these connections; close them with `close` after it if not 0.

    Valid only for the incarnation the link said Hello to. Connections that are gone are skipped.
    """

    conns: tuple[int, ...]
    frame: bytes
    close: int = 0


class Deliveries(_Tagged, frozen=True, tag=8):
    """A batch of Deliver, in order."""

    items: tuple[Deliver, ...]


class Missed(_Tagged, frozen=True, tag=9):
    """Sequencer to gateways: some notifications could not be routed; have devices SYNC at their next heartbeat."""


class Poke(_Tagged, frozen=True, tag=10):
    """Chat service or API to sequencer: the log of this partition has grown."""

    partition: int


class ReadHot(_Tagged, frozen=True, tag=11):
    """Chat service to sequencer: what follows `after`, as this user may see it, if it is still in memory."""

    conv: int
    user: int
    after: int
    limit: int


class HotPage(_Tagged, frozen=True, tag=12):
    """Answer to ReadHot: an encoded PAGE with req 0; b"" when the store must be asked (hit false).

    `member`: whether the user is or was a member as far as the sequencer knows (false with hit true: refuse).
    `readers`: of a page of a large group, the users for whom this page is the same.
    """

    hit: bool
    member: bool
    head: int
    page: bytes
    readers: tuple[int, ...] = ()


class ReadHeads(_Tagged, frozen=True, tag=13):
    """Chat service to sequencer: the numbers these conversations have reached, as this user may see them."""

    user: int
    convs: tuple[int, ...]


class Heads(_Tagged, frozen=True, tag=14):
    """Answer to ReadHeads, in the order asked; below 0: HEAD_STORED, HEAD_RECOVERING."""

    heads: tuple[int, ...]


class Early(_Tagged, frozen=True, tag=15):
    """Chat service to sequencer: a LogRecord, msgpack, that the log does not have yet.

    Only the known-bad variant ack_before_durable sends it; only that variant's sequencer listens.
    """

    partition: int
    record: bytes


class FetchHistory(_Tagged, frozen=True, tag=30):
    """Gateway to chat service: a HISTORY."""

    conn: int
    user: int
    req: int
    conv: int
    before: int
    limit: int


class ReadBefore(_Tagged, frozen=True, tag=31):
    """Chat service or API to sequencer: what comes before `before`, as this user may see it. Answered by HotPage."""

    conv: int
    user: int
    before: int
    limit: int


class ReadMembers(_Tagged, frozen=True, tag=32):
    """API to sequencer: who is in the conversation."""

    conv: int


class Members(_Tagged, frozen=True, tag=33):
    """Answer to ReadMembers. `head` below 0 (HEAD_STORED, HEAD_RECOVERING): not in memory, the rest is empty."""

    head: int
    kind: str
    members: tuple[tuple[int, int, int], ...]
    """(user, role, first number the user may see)."""


class ReadUpTo(_Tagged, frozen=True, tag=20):
    """Gateway to chat service: a READ."""

    user: int
    device: int
    conv: int
    seq: int


class TypingIn(_Tagged, frozen=True, tag=21):
    """A TYPING: gateway to chat service, which hands it to the sequencer of the conversation."""

    user: int
    device: int
    conv: int
    state: int


class Progress(_Tagged, frozen=True, tag=22):
    """Chat service to sequencer: (conv, user, kind, seq), kinds as in signals.ReceiptKind; the highest of each."""

    items: tuple[tuple[int, int, int, int], ...]


class ReadReceipts(_Tagged, frozen=True, tag=23):
    """API to sequencer: what is known of this conversation's receipts, and of this user in it?"""

    conv: int
    user: int


class ReceiptsOf(_Tagged, frozen=True, tag=24):
    """Answer to ReadReceipts. `hit`: the conversation is in memory; `head` and `known` then count.

    Items: (user, kind, seq). `head`: the highest number that the user who asked may see. `known`: who had come by then,
    the asking user included; empty for one who never was a member.
    """

    hit: bool
    items: tuple[tuple[int, int, int], ...]
    head: int = 0
    known: tuple[int, ...] = ()


class Changed(_Tagged, frozen=True, tag=25):
    """Gateway to sequencers by way of a chat service: a user came (1) or went (0).

    Only the known-bad variant eager_presence sends it; only that variant's chat service and sequencer listen.
    """

    user: int
    state: int


class AskConnected(_Tagged, frozen=True, tag=40):
    """Push service to gateway: which of these devices are connected to you?"""

    devices: tuple[int, ...]


class Connected(_Tagged, frozen=True, tag=41):
    """Answer to AskConnected: those that are. `sure`: the registry has been told of all who are, as far as we know."""

    devices: tuple[int, ...]
    sure: bool = True


class AskApplied(_Tagged, frozen=True, tag=42):
    """Push service to sequencer: how far have you applied your partitions?"""


class Applied(_Tagged, frozen=True, tag=43):
    """Answer to AskApplied: by partition, the offset of the last record applied, and answered or notified."""

    positions: dict[int, int]


PeerFrame = (
    Hello | Proof | Ping | Pong | Submit | FetchPage | SyncDevice | Shown | Deliver | Deliveries | Missed | Poke
    | ReadHot | HotPage | ReadHeads | Heads | Early
    | FetchHistory | ReadBefore | ReadMembers | Members
    | ReadUpTo | TypingIn | Progress | ReadReceipts | ReceiptsOf | Changed
    | AskConnected | Connected | AskApplied | Applied
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[PeerFrame] = msgspec.msgpack.Decoder(PeerFrame)


def encode(frame: PeerFrame, correlation: int = 0) -> bytes:
    """The frame with its length and correlation, ready for the socket."""
    payload = _encoder.encode(frame)
    return (len(payload) + 4).to_bytes(4, "big") + correlation.to_bytes(4, "big") + payload


def decode(body: bytes) -> tuple[int, PeerFrame]:
    """(correlation, frame) of what followed a length. Raises FrameError."""
    try:
        return int.from_bytes(body[:4], "big"), _decoder.decode(memoryview(body)[4:])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise FrameError(f"peer frame: {error}") from None


def proof(secret: bytes, own: Hello, other: Hello, *, dials: bool) -> bytes:
    """Return the MAC with which the sender of `own` proves to the sender of `other` that it knows the secret.

    `dials`: whether the sender of `own` opened the connection; so nobody's Proof can be sent back to it as another's.
    """
    parts = _encoder.encode(("petrel peer 1", dials, own, other))
    return hmac.new(secret, parts, hashlib.sha256).digest()


def is_proven(frame: PeerFrame, secret: bytes, *, own: Hello, other: Hello, dials: bool) -> bool:
    """Return whether this frame of the sender of `other` proves that it knows the secret. In constant time.

    `dials`: whether `own` opened the connection. A nonce too short is no proof: it could come twice.
    """
    if not isinstance(frame, Proof) or len(other.nonce) < NONCE_SIZE:
        return False
    return hmac.compare_digest(frame.mac, proof(secret, other, own, dials=not dials))
