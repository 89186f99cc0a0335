"""The frames between the system's own processes, over persistent TCP connections.

On the wire: length u32 (of the rest), correlation u32, then one msgpack array whose first item is the tag. Correlation
0 is one-way. Otherwise the answer carries the same number with the top bit set. The first frame in each direction is
Hello, with a nonce. The second is Proof, an HMAC over both Hellos under the secret of the system; other frames are not
accepted before a valid Proof. sut/process/peer.py moves these frames over sockets; nothing here does I/O.
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
"""In place of a head: the conversation is not in memory, and the store has all of it."""
HEAD_RECOVERING: Final = -2
"""In place of a head: the sequencer has not caught up with its log since its start; the store may lack the newest
records.
"""
ANSWER: Final = 1 << 31
"""The bit that marks the correlation of an answer."""


class _Tagged(msgspec.Struct, frozen=True, array_like=True, tag_field="t", gc=False):
    """A frame holds values and other frames, and can be in no circle: the garbage collector need not look at it."""


class Hello(_Tagged, frozen=True, tag=0):
    """The first frame of a link, in both directions: the sender's node and incarnation."""

    node: str
    incarnation: int
    nonce: bytes = b""
    """Random, new for each connection: so that a Proof that was overheard proves nothing on another one."""


class Proof(_Tagged, frozen=True, tag=44):
    """Second frame of a link, both ways: whoever sent the Hello knows the secret (`proof`)."""

    mac: bytes


class Ping(_Tagged, frozen=True, tag=1):
    """Asks for a Pong. The probes of `petrel` send it from outside."""


class Pong(_Tagged, frozen=True, tag=2):
    """Answer to Ping: the counters and gauges of the process, by name, for a probe from outside; none for a peer."""

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


class Reported(_Tagged, frozen=True, tag=6):
    """Gateway to chat service: the RECVs and READs of a moment, (user, device, conv, kind, seq), the highest of each.

    Kinds as in signals.ReceiptKind.
    """

    items: tuple[tuple[int, int, int, int, int], ...]


class Deliver(_Tagged, frozen=True, tag=7):
    """To an edge (gateway or API): write `frame` to these connections. If `close` is not 0, close them with it
    afterwards.

    Valid only for the incarnation that the link's Hello named. Connections that are gone are skipped.
    """

    conns: tuple[int, ...]
    frame: bytes
    close: int = 0


class Deliveries(_Tagged, frozen=True, tag=8):
    """A batch of Deliver frames, in order. `number`: to be confirmed by Took; 0: not."""

    items: tuple[Deliver, ...]
    number: int = 0


class Missed(_Tagged, frozen=True, tag=9):
    """Sequencer to a gateway: notifications were lost, or may be. The gateway lets its devices SYNC."""


class Poke(_Tagged, frozen=True, tag=10):
    """Chat service or API to sequencer: the log of this partition has grown."""

    partition: int


class ReadHot(_Tagged, frozen=True, tag=11):
    """Chat service to sequencer: read what follows `after` and this user may see, if it is still in memory."""

    conv: int
    user: int
    after: int
    limit: int


class HotPage(_Tagged, frozen=True, tag=12):
    """Answer to ReadHot: an encoded PAGE with req 0; b"" when the store must be asked (hit false).

    `member`: the user is or was a member as far as the sequencer knows; false with hit true: refuse. `readers`: for a
    page of a group, the users for whom this page is the same.
    """

    hit: bool
    member: bool
    head: int
    page: bytes
    readers: tuple[int, ...] = ()


class ReadHeads(_Tagged, frozen=True, tag=13):
    """Chat service to sequencer: the heads of these conversations, as far as this user may see them.

    `of`: the sequencer that is meant, if its understudy is asked.
    """

    user: int
    convs: tuple[int, ...]
    of: str = ""


class Heads(_Tagged, frozen=True, tag=14):
    """Answer to ReadHeads, in the order asked. Values below 0: HEAD_STORED, HEAD_RECOVERING.

    `fresh`: (conversation, head) of the user's conversations that the store may not list as theirs yet. `complete`: the
    partitions of the sequencer that is meant are up to date with their log, and `fresh` lists all of them.
    """

    heads: tuple[int, ...]
    fresh: tuple[tuple[int, int], ...] = ()
    complete: bool = True


class ReadAllHeads(_Tagged, frozen=True, tag=16):
    """Chat service to sequencer: several questions at once."""

    asked: tuple[ReadHeads, ...]


class AllHeads(_Tagged, frozen=True, tag=17):
    """Answer to ReadAllHeads, in the order asked."""

    answers: tuple[Heads, ...]


class Early(_Tagged, frozen=True, tag=15):
    """Chat service to sequencer: a LogRecord, in msgpack, that the log does not have yet.

    Only the known-bad variant ack_before_durable sends it, and only the sequencer of that variant reads it.
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
    """Chat service or API to sequencer: read what comes before `before` and this user may see. Answered by HotPage."""

    conv: int
    user: int
    before: int
    limit: int


class ReadMembers(_Tagged, frozen=True, tag=32):
    """API to sequencer: read the members of the conversation."""

    conv: int


class Members(_Tagged, frozen=True, tag=33):
    """Answer to ReadMembers. `head` below 0 (HEAD_STORED, HEAD_RECOVERING): not in memory, and the rest is empty."""

    head: int
    kind: str
    members: tuple[tuple[int, int, int], ...]
    """(user, role, first sequence number that the user may see)."""


class TypingIn(_Tagged, frozen=True, tag=21):
    """A TYPING: from gateway to chat service, which passes it to the sequencer of the conversation."""

    user: int
    device: int
    conv: int
    state: int


class Progress(_Tagged, frozen=True, tag=22):
    """Chat service to sequencer: (conv, user, kind, seq, device that reported it), the highest of each.

    Kinds as in signals.ReceiptKind.
    """

    items: tuple[tuple[int, int, int, int, int], ...]


class ReadReceipts(_Tagged, frozen=True, tag=23):
    """API to sequencer: read the receipts of this conversation, and the membership of this user."""

    conv: int
    user: int


class ReceiptsOf(_Tagged, frozen=True, tag=24):
    """Answer to ReadReceipts. `hit`: the conversation is in memory; `head` and `known` are then valid.

    Items: (user, kind, seq). `head`: the highest number that the asking user may see. `known`: the users who had joined
    by then, the asking user included; empty for one who never was a member.
    """

    hit: bool
    items: tuple[tuple[int, int, int], ...]
    head: int = 0
    known: tuple[int, ...] = ()


class Changed(_Tagged, frozen=True, tag=25):
    """Gateway to sequencers through a chat service: a user came online (1) or went offline (0).

    Only the known-bad variant eager_presence sends it. Only its chat service and sequencer read it.
    """

    user: int
    state: int


class Took(_Tagged, frozen=True, tag=45):
    """Gateway to sequencer: the Deliveries of the present link, up to this number, have arrived."""

    node: str
    number: int


class PassOn(_Tagged, frozen=True, tag=46):
    """Sequencer to chat service: deliver these to this incarnation of a gateway, which does not confirm them itself."""

    node: str
    incarnation: int
    items: tuple[Deliver, ...]


class Announce(_Tagged, frozen=True, tag=47):
    """Gateway to sequencers: routes of its connections, as long as it cannot keep them in the registry.

    `there`: (user, device, connection, epoch) of connections that are new here. `gone`: connections that have ended.
    `anew`: earlier announcements of this gateway are void. With `since_ms` all its routes follow, without it that ends
    its announcing. `since_ms`: the registry may not have shown these routes for so long.
    """

    node: str
    incarnation: int
    there: tuple[tuple[int, int, int, int], ...] = ()
    gone: tuple[int, ...] = ()
    anew: bool = False
    since_ms: int = 0


class AskRoutes(_Tagged, frozen=True, tag=48):
    """Sequencer to gateways: announce your routes for some seconds, as the registry may not show me all of them."""


class AskConnected(_Tagged, frozen=True, tag=40):
    """Push service to gateway: which of these devices are connected?"""

    devices: tuple[int, ...]


class Connected(_Tagged, frozen=True, tag=41):
    """Answer to AskConnected: the devices that are connected and not silent.

    `sure`: as far as the gateway knows, the registry has been told of all connected devices. `silent`: (device, ms) for
    each device that has owed an answer for too long, waits for long for its first SYNCED, or has left and is in the
    registry still.
    """

    devices: tuple[int, ...]
    sure: bool = True
    silent: tuple[tuple[int, int], ...] = ()


class AskApplied(_Tagged, frozen=True, tag=42):
    """Push service to sequencer: how far are the partitions applied?"""


class Applied(_Tagged, frozen=True, tag=43):
    """Answer to AskApplied: partition -> the offset of the last record that was applied, and answered or notified."""

    positions: dict[int, int]


PeerFrame = (
    Hello | Proof | Ping | Pong | Submit | FetchPage | SyncDevice | Reported | Deliver | Deliveries | Missed | Poke
    | ReadHot | HotPage | ReadHeads | Heads | ReadAllHeads | AllHeads | Early
    | FetchHistory | ReadBefore | ReadMembers | Members
    | TypingIn | Progress | ReadReceipts | ReceiptsOf | Changed
    | AskConnected | Connected | AskApplied | Applied | Took | PassOn | Announce | AskRoutes
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[PeerFrame] = msgspec.msgpack.Decoder(PeerFrame)


def encode(frame: PeerFrame, correlation: int = 0) -> bytes:
    """Return the frame with its length and correlation, ready for the socket."""
    payload = _encoder.encode(frame)
    return (len(payload) + 4).to_bytes(4, "big") + correlation.to_bytes(4, "big") + payload


def decode(body: bytes) -> tuple[int, PeerFrame]:
    """Return (correlation, frame) from the bytes after a length. Raises FrameError."""
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
