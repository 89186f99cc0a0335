"""The interfaces between the chat system's rules and the servers it stands on.

One adapter a backend implements each (sut/adapters/). The contract tests in tests/adapters run unchanged against
every backend. All methods are coroutines; all may raise Unavailable, which says that the backend could not answer
in its deadline and that the effect of a write is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Literal, Protocol

import msgspec


class SutError(Exception):
    """Root of the chat system's errors. `definite`: the operation certainly had no effect."""

    definite = False


class Unavailable(SutError):
    """A backend did not answer in time or refused; a write may or may not have happened."""


class Kind(IntEnum):
    """What a log record asks for."""

    MESSAGE = 0
    CREATE = 1
    ADD = 2
    REMOVE = 3
    ROLE = 4


class Role(IntEnum):
    """What a member of a group may do; a higher one may all that a lower one may."""

    MEMBER = 0
    ADMIN = 1
    OWNER = 2


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where the answer to a record goes: a connection of one incarnation of an edge node (a gateway or the API)."""

    node: str
    incarnation: int
    conn: int


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of the log. For MESSAGE: user and device are the sender, body is opaque.

    CREATE: `members` are there from the start, `user` is the creator, body b"d" for 1:1, b"g" for a group and b"m" for
    one to which only admins add. ADD, REMOVE, ROLE: `members` holds the one user concerned, `user` asked for it; the
    body of ROLE is the new role, one byte.
    """

    kind: int
    conv: int
    user: int
    device: int
    client_seq: int
    body: bytes
    members: tuple[int, ...]
    origin: Origin | None


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """A record with its place in its partition. Offsets rise; they need not be dense."""

    offset: int
    record: LogRecord


class Follower(IntEnum):
    """Who follows the log to its end and remembers how far it came. The number is part of what adapters store."""

    SEQUENCER = 0
    PUSH = 1


class MessageLog(Protocol):
    """The durable, ordered log. Partition of a conversation: `sut.partitioning.partition_of`."""

    async def append(self, partition: int, records: Sequence[LogRecord]) -> list[int]:
        """Append in order; on return all are durable: they survive SIGKILL of any process."""

    async def read(self, partition: int, after: int, limit: int) -> list[Logged]:
        """Up to `limit` records with an offset above `after`, in order. Empty when there are none yet.

        May wait a moment, 0.1 s at most, for a first one. Unavailable when `after` is beyond the end: the log has lost
        what it had, or the offset is another log's.
        """

    async def end(self, partition: int) -> int:
        """The offset of the last durable record now, 0 when there is none."""

    async def committed(self, partition: int, follower: Follower = Follower.SEQUENCER) -> int:
        """The offset that this follower last committed, 0 when none was."""

    async def commit(self, partition: int, offset: int, follower: Follower = Follower.SEQUENCER) -> None:
        """Remember that the follower is done with everything up to `offset` (the sequencer: it is in the store). Never
        moves back.
        """

    async def close(self) -> None:
        """Release files and connections."""


class StoredMessage(msgspec.Struct, frozen=True, array_like=True):
    """A row of a conversation: a message (flags 0) or a membership change (flags as in frames.Flag, user concerned)."""

    seq: int
    flags: int
    user: int
    device: int
    client_seq: int
    body: bytes


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stay of a user in a conversation: sees the numbers n with first <= n < end.

    An add that took number s opens a span with first s + 1 (1 at the creation); a removal that took number s closes
    it with end s. end 0: still there.
    """

    user: int
    first: int
    end: int = 0


class RoleMark(msgspec.Struct, frozen=True, array_like=True):
    """The role of a user of a group and the number that gave it. Who has none: the creator is owner, others members."""

    user: int
    role: int
    seq: int


class SenderMark(msgspec.Struct, frozen=True, array_like=True):
    """Dedup state, kept for ever: the last client_seq sequenced from a device in a conversation, and its number."""

    device: int
    client_seq: int
    seq: int


class ConversationRow(msgspec.Struct, frozen=True, array_like=True):
    """The sequencer's state of one conversation, as stored beside its rows."""

    conv: int
    kind: str  # "d", "g" or "m", as in CREATE
    creator: int
    head: int  # last number given
    applied: int  # log offset of the last record applied


class ConversationImage(msgspec.Struct, frozen=True, array_like=True):
    """All of a conversation but its messages."""

    row: ConversationRow
    spans: tuple[Span, ...]
    marks: tuple[SenderMark, ...]
    roles: tuple[RoleMark, ...] = ()


class ConversationWrite(msgspec.Struct, frozen=True, array_like=True):
    """What became of one conversation since the last write; lands whole or not at all."""

    row: ConversationRow
    messages: tuple[StoredMessage, ...]
    spans: tuple[Span, ...]  # new or changed stays; (user, first) is their key
    marks: tuple[SenderMark, ...]  # new or changed; device is the key
    roles: tuple[RoleMark, ...] = ()  # new or changed; user is the key


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long changes are gathered before they are written, in seconds: what a write costs decides."""

    rows_s: float
    """For write(). Also how much of the log a restart replays, beside what was under way."""
    cursors_s: float
    """For save_cursors() and save_receipts()."""


class MessageStore(Protocol):
    """Messages by conversation and number, with the sequencer's state beside them."""

    @property
    def pace(self) -> Pace:
        """How often to write here."""

    async def load(self, conv: int, *, confirmed: int | None = None) -> ConversationImage | None:
        """The stored state, None when the conversation is not stored.

        An owner passes the log offset up to which writes are known to have returned: a state from beyond it is on
        return as durable as if its write had. Readers leave it out.
        """

    async def write(self, partition: int, writes: Sequence[ConversationWrite]) -> None:
        """Store each conversation's change atomically. Repeating a write changes nothing.

        What is written is a function of the log up to the row's `applied`; a write with an `applied` below the stored
        one leaves the stored state as it is (a zombie owner does no harm). Numbers have no holes: a row comes with or
        after those before it.
        """

    async def page(self, conv: int, after: int, limit: int) -> list[StoredMessage]:
        """Up to `limit` rows with a number above `after`, in order."""

    async def page_before(self, conv: int, before: int, limit: int) -> list[StoredMessage]:
        """The newest rows with a number below `before`, `limit` at most, in order."""

    async def expire(self, partition: int, older_than_s: float) -> bool:
        """Delete some messages of a partition stored more than so long ago; whether there is more to delete.

        One call is bounded work. The oldest of a conversation go first; states, stays, roles and marks stay. By whole
        days or whole buckets of numbers, as the backend can: later than asked, never earlier.
        """

    async def conversations_of(self, user: int, after: int, limit: int) -> list[int]:
        """Up to `limit` ids above `after`, rising, of the conversations that this user is or was in.

        One that is not stored may be among them (a crash came between it and this index), none that is stored is
        missing.
        """

    async def heads(self, user: int, convs: Sequence[int]) -> dict[int, int]:
        """The stored head of each of these as far as this user may see; without those not stored or never entered."""

    async def save_cursors(self, cursors: Iterable[tuple[int, int, int]]) -> None:
        """(device, conv, seq): what devices have shown. Cursors only rise."""

    async def cursors(self, device: int) -> dict[int, int]:
        """conv -> seq shown by this device."""

    async def save_receipts(self, receipts: Iterable[tuple[int, int, int, int]]) -> None:
        """(conv, user, kind, seq): how far people have got (kind 0) and read (1). They only rise."""

    async def receipts(self, conv: int) -> dict[tuple[int, int], int]:
        """(user, kind) -> seq in this conversation."""

    async def close(self) -> None:
        """Release files and connections."""


class Route(msgspec.Struct, frozen=True, array_like=True):
    """Where a device is connected. Valid only while the lease of (node, incarnation) lives."""

    device: int
    node: str
    incarnation: int
    conn: int  # unique within the incarnation, never reused
    epoch: int  # rises with each connection of the device


class Presence(Protocol):
    """Who is there, on any gateway, and when they last were. Losing all of it makes pictures old, nothing else."""

    @property
    def generation(self) -> int:
        """Rises when what was written before may be gone: write it again."""

    async def here(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """These users are connected to this incarnation of a gateway. Holds for the presence's time to live."""

    async def gone(self, node: str, incarnation: int, users: Sequence[int]) -> None:
        """They no longer are; what other gateways or incarnations said of them stands. They were last seen now."""

    async def look(self, users: Sequence[int]) -> Mapping[int, tuple[bool, int]]:
        """Of each user: online, and when last seen in Unix ms (0: not known). One round trip for some hundreds."""

    async def close(self) -> None:
        """Release connections."""


class Registry(Protocol):
    """Who is connected where. Losing all of it costs latency, never a message."""

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take or renew the lease of a gateway incarnation; `address` is what clients dial."""

    async def release(self, node: str, incarnation: int) -> None:
        """End the lease, if it is still this incarnation's."""

    async def gateways(self) -> dict[str, tuple[int, str]]:
        """Live leases: node -> (incarnation, address)."""

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Put (user, route)s in; an entry with a newer epoch stays. Returns what each replaced."""

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete: removes an entry only if it is exactly this connection's."""

    async def routes(self, users: Sequence[int]) -> Mapping[int, tuple[Route, ...]]:
        """Routes of these users whose lease lives. One round trip for all of them."""

    async def close(self) -> None:
        """Release connections."""


class SignedPrekey(msgspec.Struct, frozen=True, array_like=True):
    """A device's current signed prekey."""

    number: int
    key: bytes
    signature: bytes


class OneTimePrekey(msgspec.Struct, frozen=True, array_like=True):
    """One of a batch. Numbers of a device only rise."""

    number: int
    key: bytes


class PrekeyBundle(msgspec.Struct, frozen=True, array_like=True):
    """What begins a session with a device; without a one-time prekey when there is none left (or none was asked for)."""

    device: int
    identity_key: bytes
    signed_prekey: SignedPrekey
    one_time: OneTimePrekey | None


class UserKeys(msgspec.Struct, frozen=True, array_like=True):
    """All that is published of a user. `device_list` is signed by the user and not understood here; b"" for none."""

    bundles: tuple[PrekeyBundle, ...]
    device_list: bytes


class KeyStore(Protocol):
    """Public keys of devices: a blind shelf. Whoever fetches them checks their signatures.

    A one-time prekey is handed out at most once, ever: over processes, crashes, and repeated calls of publish. One that
    was taken by somebody who then died is lost, which costs nothing but the key.
    """

    async def publish(
        self,
        user: int,
        device: int,
        *,
        identity_key: bytes,
        signed_prekey: SignedPrekey,
        one_time: Sequence[OneTimePrekey],
    ) -> None:
        """Put these in the place of the device's identity key and signed prekey, and add the one-time prekeys.

        Of these only those count whose number is above every number that was published for the device before, so a
        repeated call adds nothing. Another identity key removes what is left of the old one's.
        """

    async def put_device_list(self, user: int, version: int, data: bytes) -> bool:
        """Replace a user's list if `version` is above that of the one that is there. Returns whether it is there now."""

    async def take(self, user: int, *, with_one_time: bool = True) -> UserKeys:
        """A bundle of each of the user's devices, each with a one-time prekey that nobody else gets."""

    async def count(self, user: int, device: int) -> int:
        """One-time prekeys left of a device."""

    async def remove(self, user: int, device: int) -> None:
        """The device is revoked: nothing of it is handed out any more, until it publishes again."""

    async def close(self) -> None:
        """Release files and connections."""


Provider = Literal["apns", "fcm"]


class PushAddress(msgspec.Struct, frozen=True, array_like=True):
    """Where a device is reached while it is not connected: its token at a push provider."""

    provider: Provider
    token: str


class RegisteredDevice(msgspec.Struct, frozen=True, array_like=True):
    """A device of a user, for ever; `push` None: it gets none."""

    user: int
    device: int
    push: PushAddress | None


class Devices(Protocol):
    """Whose device is which, where it gets its pushes, and which are revoked. Ids are below 2^63."""

    async def register(self, devices: Sequence[RegisteredDevice]) -> list[bool]:
        """Add the devices, or set their push address anew. False, and nothing done, for one that is another user's or
        revoked. Repeating a call changes nothing.
        """

    async def devices_of(self, users: Sequence[int]) -> dict[int, tuple[RegisteredDevice, ...]]:
        """The devices of these users that are not revoked, by device; users without one are left out."""

    async def owner(self, device: int) -> int | None:
        """Whose device it is or was; None when it was never registered."""

    async def retire(self, device: RegisteredDevice) -> None:
        """The provider says that this push token is dead: forget it, unless the device has another one by now."""

    async def revoke(self, device: int, user: int) -> None:
        """From now on the device gets no token, no push and no connection, for ever. `user`: whose it is; 0 when
        it was never registered.
        """

    async def revoked(self, devices: Sequence[int]) -> set[int]:
        """Those of these that are revoked. What hands out tokens, and what accepts connections, asks this."""

    async def close(self) -> None:
        """Release files and connections."""


class Push(msgspec.Struct, frozen=True, array_like=True):
    """What a push says: this conversation has reached this number. Never a body: providers are blind relays."""

    conv: int
    seq: int


class Verdict(IntEnum):
    """What became of one attempt to push."""

    ACCEPTED = 0
    REFUSED = 1
    """For ever: repeating the very same push would not help."""
    UNREGISTERED = 2
    """Refused, and the token is dead."""
    LATER = 3
    """Not now: slow, overloaded or failing. It may have been accepted all the same."""
    UNREACHABLE = 4
    """The connection failed: others would have no answer either just now. It may have been accepted all the same."""


class PushAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The verdict, after how many seconds the provider wants to be asked again (0: it did not say), and its words."""

    verdict: Verdict
    retry_after_s: float = 0.0
    reason: str = ""


class PushProvider(Protocol):
    """One of the services that wake up phones. Never raises for what a provider or a network may do."""

    async def push(self, token: str, push: Push) -> PushAnswer:
        """One attempt, within a bounded time. A later push of a conversation replaces an earlier one on the device."""

    async def close(self) -> None:
        """End the connections."""
