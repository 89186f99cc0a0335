"""Devices with real end-to-end encryption: each encrypts, decrypts, waits for keys and requests them again.

A device encrypts the messages that it writes where all members have encryption, and decrypts all it shows. Plaintexts
carry the run's canary: bytes that must be found nowhere in the system. Keys are fetched elsewhere (load/drive/keys.py).

A message that cannot be read yet waits, and later ones of its sender in that conversation wait behind it. The device
requests its keys from the sender in a new session, and answers such requests. A message that decrypts to a wrong
plaintext, or stays unreadable to the end, goes into the history with another content than was sent.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from load.device import body as bodies
from load.device.body import Draft
from load.history.events import message_id
from load.history.recorder import Recorder
from sut.crypto import envelope as envelopes
from sut.crypto.account import Account
from sut.crypto.errors import CryptoError, NoSession, Unreadable
from sut.crypto.prekeys import Bundle
from sut.protocol.causal import ENTRY_SIZE, Dependency
from sut.protocol.device.events import MemberChange
from sut.protocol.frames import Message

MAX_WAITING: Final = 200
"""Maximum number of messages of one device that wait for their keys."""
MAX_REFS: Final = 1000
"""Number of own messages whose sequence numbers a device keeps, to decide who may have their keys."""
ASK_AGAIN_S: Final = 5.0
"""Seconds without an answer after which a device asks once more."""

K = TypeVar("K")


class Wanted(NamedTuple):
    """Keys to fetch for a device, of `user`. With `bundle`, those that begin a session, else only the device list."""

    device: int
    user: int
    bundle: bool


@dataclass(kw_only=True)
class Cost:
    """The cost of encryption in this process: seconds of CPU time, and counts."""

    sealed: int = 0
    seal_s: float = 0.0
    opened: int = 0
    open_s: float = 0.0
    sessions: int = 0
    session_s: float = 0.0
    opaque: int = 0
    """Messages of crypto devices that were sent unencrypted because keys were missing."""
    asked: int = 0
    """Messages that could not be read at first."""

    def __str__(self) -> str:
        return (
            f"{self.sealed} sealed, {1e3 * self.seal_s / max(1, self.sealed):.2f} ms each; "
            f"{self.opened} opened, {1e3 * self.open_s / max(1, self.opened):.2f} ms each; "
            f"{self.sessions} sessions begun, {1e3 * self.session_s / max(1, self.sessions):.2f} ms each; "
            f"{self.opaque} went out before the keys were there; {self.asked} asked for again"
        )


@dataclass(kw_only=True)
class _Waiting:
    """Messages of one sender in one conversation that cannot be read yet."""

    messages: list[Message] = field(default_factory=list)
    since: float = 0.0
    """Arrival time of the newest of them."""
    quiet_until: float = 0.0
    """No further request before this time, so that an answer can arrive."""


@dataclass(kw_only=True, eq=False)
class Encryption:
    """The state that the crypto devices of a process share: the users, and the keys that they want and have."""

    users: frozenset[int]
    """All crypto devices, also those of other processes."""
    conversations: frozenset[int]
    """The conversations whose members are always crypto devices."""
    seed: int
    canary: bytes
    plaintext: bool
    """True for the known-bad client, which encrypts nothing."""
    recorder: Recorder
    cost: Cost = field(default_factory=Cost)
    people: dict[int, Person] = field(default_factory=dict)
    """The crypto devices of this process."""
    wake: Callable[[int], None] = lambda _device: None
    """Called with a device that has something to send."""
    lists: dict[int, bytes] = field(default_factory=dict)
    """User -> device list, as far as this process has fetched it."""
    queue: deque[Wanted] = field(default_factory=deque)
    """The fetches to make, in order, without duplicates."""
    _queued: set[Wanted] = field(default_factory=set)

    def join(self, device: int, members: Mapping[int, frozenset[int]], *, groups: frozenset[int]) -> None:
        """Register a device of this process. `members`: those of its encrypted conversations."""
        self.people[device] = Person(device, members, groups, self)

    def want(self, wanted: Wanted) -> None:
        """Queue a fetch, unless it is queued already."""
        if wanted not in self._queued:
            self._queued.add(wanted)
            self.queue.append(wanted)

    def next_wanted(self) -> Wanted | None:
        """Remove and return the oldest queued fetch; None if there is none."""
        if not self.queue:
            return None
        wanted = self.queue.popleft()
        self._queued.discard(wanted)
        return wanted

    @staticmethod
    def true_size(size: int, *, group: bool) -> int:
        """Return the bytes of an envelope for a plaintext of `size` bytes, among devices with sessions."""
        return envelopes.group_size(size) if group else envelopes.direct_size(size, devices=1)


class Person:
    """One crypto device. User and device have the same id here."""

    def __init__(
        self, device: int, members: Mapping[int, frozenset[int]], groups: frozenset[int], keys: Encryption
    ) -> None:
        self._device = device
        self._keys = keys
        self._groups = groups
        self._members = {conv: set(users) for conv, users in members.items()}
        self._joined: dict[tuple[int, int], int] = {}
        """(conversation, user) -> the number of the add, for users who joined later."""
        self._refs: dict[tuple[int, int], int] = {}
        """(conversation, ref) -> our client_seq."""
        self._numbers: dict[int, int] = {}
        """Our client_seq -> number."""
        self._waiting: defaultdict[tuple[int, int], _Waiting] = defaultdict(_Waiting)
        self._early: dict[tuple[int, int], bytes | None] = {}
        """(conversation, number) -> plaintext of messages that are read and not displayed."""
        self._asked: dict[tuple[int, int], Sequence[int]] = {}
        """(conversation, number) -> the refs that the message asks for."""
        self.account = Account.create(user=device, device=device, now_s=int(time.time()))
        self.outgoing: list[tuple[int, bytes]] = []
        """(conversation, body): control bodies to be sent."""

    def expects_to_write(self, convs: Sequence[int]) -> None:
        """Request the keys for sessions with all members of these conversations."""
        for user in {user for conv in convs for user in self._members.get(conv, ())} - {self._device}:
            self._keys.want(Wanted(self._device, user, bundle=True))

    def seal(self, draft: Draft, dependencies: Sequence[Dependency] = ()) -> bytes | None:
        """Return the encrypted body of an own message; None without other members, or without keys.

        The dependencies are encrypted with it. Call it once, when the message is sent for the first time, because
        sessions advance.
        """
        conv, msg, due_offset_ns, size = draft
        others = self._members.get(conv, set()) - {self._device}
        if not others:
            return None
        plain = bodies.make(
            seed=self._keys.seed,
            msg=msg,
            due_offset_ns=due_offset_ns,
            size=size,
            canary=self._keys.canary,
            dependencies=dependencies,
        )
        if self._keys.plaintext:
            return plain
        started = time.thread_time()
        try:
            if conv not in self._groups:
                sealed = self.account.seal_direct(conv, others, plain)
            else:
                *keys, sealed = self.account.seal_group(conv, self._members[conv], plain)
                for body in keys:  # for more new readers than fit into the message; they can read it once these arrive
                    self._send(conv, body)
        except NoSession as error:
            for user in error.users:
                self._keys.want(Wanted(self._device, user, bundle=True))
            self._keys.cost.opaque += 1
            return None
        self._keys.cost.sealed += 1
        self._keys.cost.seal_s += time.thread_time() - started
        _remember(self._refs, (conv, envelopes.parse(sealed).ref), msg & 0xFFFF_FFFF)
        return sealed

    def acked(self, client_seq: int, seq: int) -> None:
        """Record the number of an own message."""
        _remember(self._numbers, client_seq, seq)

    def changed(self, change: MemberChange) -> None:
        """Apply a membership change at its place among the messages."""
        if change.conv not in self._keys.conversations:
            return
        members = self._members.setdefault(change.conv, set())
        if not change.added:
            members.discard(change.user)
            return
        members.add(change.user)
        self._joined[change.conv, change.user] = change.seq
        if change.user != self._device and self._device in members:
            self._keys.want(Wanted(self._device, change.user, bundle=True))

    def read(self, message: Message) -> bytes:
        """Return the plaintext of a message whose turn in its conversation has come, or its bytes if it is unreadable.

        Call it at most once for a message, and before `shown`. The plaintext is kept until then; the client bounds how
        many are held back.
        """
        plain = self._open(message)
        if plain is not None or envelopes.is_envelope(message.body):
            self._early[message.conv, message.seq] = plain
        return message.body if plain is None else plain

    def shown(self, message: Message) -> bytes | None:
        """Return the plaintext of a displayed message; None if there is nothing to read in it (yet)."""
        place = message.conv, message.seq
        plain = self._early.pop(place) if place in self._early else self._open(message)
        asked = self._asked.pop(place, None)
        if asked:
            self._answer(message.conv, (message.user, message.device), asked)
        return plain

    def encrypted(self, message: Message) -> bool:
        """Return True for the encrypted message of another device."""
        theirs = message.device != self._device and message.user in self._keys.users
        return theirs and envelopes.is_envelope(message.body)

    def _open(self, message: Message) -> bytes | None:
        if not self.encrypted(message):
            return None
        waiting = self._waiting.get((message.conv, message.device))
        if (
            waiting is not None
            and waiting.messages
            and envelopes.parse(message.body).type is not envelopes.Type.CONTROL
        ):
            self._wait(message)  # earlier ones first: they may bring its keys
            return None
        return self._read(message)

    def learn(self, user: int, device_list: bytes, bundles: Sequence[Bundle]) -> None:
        """Take the device list of a user, begin sessions with the bundles, and read waiting messages again."""
        try:
            self.account.learn(user, device_list, bundles)
            if bundles and not self._waits_for(user):  # a waiting device needs the bundle to ask with
                self.account.prepare([user])
        except CryptoError as error:
            self._keys.recorder.violation(self._device, f"keys of user {user}: {error}")
            return
        for (conv, device), waiting in list(self._waiting.items()):
            if device == user and waiting.messages:
                self._try_again(conv, device, may_ask=bool(bundles))

    def ask_late(self) -> None:
        """Request keys again if no answer came. Call it regularly."""
        now = time.monotonic()
        for (_, device), waiting in self._waiting.items():
            if waiting.messages and now >= waiting.quiet_until:
                self._keys.want(Wanted(self._device, device, bundle=True))

    def _waits_for(self, user: int) -> bool:
        return any(waiting.messages for (_, device), waiting in self._waiting.items() if device == user)

    def give_up(self, grace_s: float) -> None:
        """Report the messages that still wait, unless the newest arrived less than `grace_s` ago."""
        for waiting in self._waiting.values():
            if time.monotonic() - waiting.since >= grace_s:
                for message in waiting.messages:
                    self._spoiled(message, "it could not be read to the end of the run")

    def _read(self, message: Message, *, again: bool = False) -> bytes | None:
        """Decrypt a message; also handle its requests, or request its keys. Returns the plaintext or None."""
        conv, sender = message.conv, (message.user, message.device)
        cached = self._keys.lists.get(message.user)
        started = time.thread_time()
        try:
            if cached is not None and not self.account.devices(message.user):
                self.account.learn(message.user, cached, [])
            opened = self.account.open(conv, sender=sender, body=message.body)
        except NoSession:
            self._wait(message, again=again)
            self._keys.want(Wanted(self._device, message.user, bundle=False))
            return None
        except Unreadable:
            if envelopes.parse(message.body).type is envelopes.Type.CONTROL:
                # For others, or useless without a session: a device that needs it asks for the message itself.
                return None
            self._wait(message, again=again)
            if time.monotonic() >= self._waiting[conv, message.device].quiet_until:
                self._keys.want(Wanted(self._device, message.user, bundle=True))
            return None
        except CryptoError as error:
            self._spoiled(message, str(error))
            return None
        self._keys.cost.opened += 1
        self._keys.cost.open_s += time.thread_time() - started
        if opened.asked:  # answered at the display, when the members at its place are known
            self._asked[conv, message.seq] = opened.asked
        if opened.unlocked:
            self._waiting[conv, message.device].quiet_until = 0.0  # the rest may be requested at once
            self._try_again(conv, message.device, may_ask=False)
        if opened.plaintext is not None:
            self._check(message, opened.plaintext)
        return opened.plaintext

    def _check(self, message: Message, plain: bytes) -> None:
        """Report a plaintext that its sender did not write: all of a plaintext follows from its head."""
        msg, due_ns = int.from_bytes(plain[:8], "big"), bodies.due_offset_ns(plain)
        last = message_id(message.device, message.client_seq)
        if due_ns is not None and msg == last:
            named = bodies.dependencies(plain)
            wanted = bodies.make(
                seed=self._keys.seed,
                msg=msg,
                due_offset_ns=due_ns,
                size=len(plain) - ENTRY_SIZE * len(named),
                canary=self._keys.canary,
                dependencies=named,
            )
            if plain == wanted:
                return
        self._spoiled(message, "it decrypts to something that was not written")

    def _wait(self, message: Message, *, again: bool = False) -> None:
        if again:
            return
        waiting = self._waiting[message.conv, message.device]
        if len(waiting.messages) >= MAX_WAITING:
            self._spoiled(message, f"{MAX_WAITING} messages wait for their keys already")
            return
        self._keys.cost.asked += 1
        waiting.messages.append(message)
        waiting.since = time.monotonic()

    def _try_again(self, conv: int, device: int, *, may_ask: bool) -> None:
        """Read the waiting messages again; request the keys of the rest, if there is a bundle to ask with."""
        waiting = self._waiting[conv, device]
        waiting.messages, left = [], waiting.messages
        unread = []
        for message in left:
            before = self._keys.cost.opened
            if self._read(message, again=True) is None and self._keys.cost.opened == before:
                unread.append(message)
        waiting.messages = unread + waiting.messages
        if not unread or not may_ask or time.monotonic() < waiting.quiet_until:
            return
        asked = unread[: envelopes.MAX_ASKED]
        waiting.quiet_until = time.monotonic() + ASK_AGAIN_S
        try:
            body = self.account.ask_again(conv, sender=(device, device), bodies=[message.body for message in asked])
        except NoSession:  # a session that began meanwhile used the bundle
            waiting.quiet_until = 0.0
            return
        except Unreadable as error:
            waiting.messages = []
            for message in unread:
                self._spoiled(message, str(error))
            return
        self._send(conv, body)

    def _answer(self, conv: int, asker: tuple[int, int], refs: Sequence[int]) -> None:
        """Send the keys of those messages at which the asker was a member."""
        if asker[0] not in self._members.get(conv, ()):
            return
        since = self._joined.get((conv, asker[0]), 0)
        seen = [ref for ref in refs if self._numbers.get(self._refs.get((conv, ref), 0), 0) > since]
        for body in self.account.answer(conv, asker=asker, refs=seen):
            self._send(conv, body)

    def _send(self, conv: int, body: bytes) -> None:
        self.outgoing.append((conv, body))
        self._keys.wake(self._device)

    def _spoiled(self, message: Message, text: str) -> None:
        self._keys.recorder.spoiled(self._device, message, text)


def _remember(where: dict[K, int], key: K, value: int) -> None:
    where[key] = value
    if len(where) > MAX_REFS:
        del where[next(iter(where))]
