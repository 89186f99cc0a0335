"""Real end-to-end encryption for a share of the devices, and bodies of true size for the rest.

The share is made of whole conversations, so that those in it have somebody to talk to. A crypto device publishes keys,
encrypts what it writes where all are crypto devices, and decrypts all it shows: a message that does not decrypt to what
was written is reported as another message than was sent. Whoever shows a message must be able to read what it depends
on, so nothing is encrypted where somebody else is or will be: there, and by all others, bodies are sent of the size
that encryption would give them. Plaintexts carry the run's canary: bytes that must be found nowhere in the system.

Keys come over HTTP, which waits; sending must not. So they are fetched by one greenlet (`Keys.work`), and what is due
before they are there goes out as an opaque body.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.device.causality import ever
from load.device.crypto_person import ASK_AGAIN_S, Person, Wanted
from load.drive.api import ApiClient, ApiError, parallel
from load.history.recorder import Recorder
from load.plan.plan import Change, DevicePlan
from load.plan.population import Conversation, Population, shuffled, stream
from sut.crypto import envelope as envelopes
from sut.crypto.prekeys import Bundle
from sut.protocol.api_answers import KeysOf

AT_ONCE: Final = 8
"""Publications under way."""
PATIENCE_S: Final = 20.0
GRACE_S: Final = 15.0
"""Three requests for keys, and their answers. A run ends when all is delivered, without a thought of these."""
IDLE_S: Final = 0.05
RETRY_S: Final = 0.5


def choose(
    population: Population, share: float, seed: int, changes: Iterable[Change] = ()
) -> tuple[frozenset[int], frozenset[int]]:
    """The users with real encryption: all of some conversations, a group among them if one fits. And those
    conversations, by place, in which nobody else is or will be.
    """
    members = ever(population, changes)
    users = _chosen(population, members, share, seed)
    return users, frozenset(place for place, people in enumerate(members) if people <= users)


def _chosen(population: Population, members: Sequence[frozenset[int]], share: float, seed: int) -> frozenset[int]:
    budget = round(share * len(population.users))
    if share >= 1:
        return frozenset(population.users)
    known = population.conversations
    order = shuffled(stream(seed, "crypto"), [place for place, one in enumerate(known) if one.weight])
    groups = [p for p in order if known[p].kind == "group" and 3 <= len(members[p]) <= max(3, budget // 2)]
    chosen: set[int] = set()
    for place in [*groups[:1], *order]:
        if len(chosen | members[place]) <= budget:
            chosen |= members[place]
    return frozenset(chosen)


@dataclass(kw_only=True)
class Cost:
    """What encryption took of this process, in seconds of CPU time, and how often."""

    sealed: int = 0
    seal_s: float = 0.0
    opened: int = 0
    open_s: float = 0.0
    sessions: int = 0
    session_s: float = 0.0
    opaque: int = 0
    """Messages of crypto devices that went out before their keys were there."""
    asked: int = 0
    """Messages that could not be read at first."""

    def __str__(self) -> str:
        return (
            f"{self.sealed} sealed, {1e3 * self.seal_s / max(1, self.sealed):.2f} ms each; "
            f"{self.opened} opened, {1e3 * self.open_s / max(1, self.opened):.2f} ms each; "
            f"{self.sessions} sessions begun, {1e3 * self.session_s / max(1, self.sessions):.2f} ms each; "
            f"{self.opaque} went out before the keys were there; {self.asked} asked for again"
        )


class Keys:
    """What the crypto devices of a process share: who they are, and the fetching of keys."""

    def __init__(
        self,
        *,
        users: frozenset[int],
        conversations: frozenset[int],
        seed: int,
        canary: bytes,
        plaintext: bool,
        api: ApiClient,
        tokens: Mapping[int, str],
        recorder: Recorder,
    ) -> None:
        """`conversations`: where nobody but these `users` ever is. `plaintext`: the known-bad client, which encrypts
        nothing.
        """
        self.users = users
        self.conversations = conversations
        self.seed = seed
        self.canary = canary
        self.plaintext = plaintext
        self.recorder = recorder
        self.cost = Cost()
        self.people: dict[int, Person] = {}
        self.wake: Callable[[int], None] = lambda _device: None
        """Called with a device that has something to send."""
        self._api = api
        self._tokens = tokens
        self._lists: dict[int, bytes] = {}
        self._queue: deque[Wanted] = deque()
        self._queued: set[Wanted] = set()

    def join(self, device: int, members: Mapping[int, frozenset[int]], *, groups: frozenset[int]) -> None:
        """A device of this process begins. `members`: of those of its conversations that are encrypted."""
        self.people[device] = Person(device, members, groups, self)

    def join_all(
        self,
        plans: Mapping[int, DevicePlan],
        conversations: Mapping[int, Conversation],
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """All devices of this process that are meant publish their keys and get those of whom they will write to.

        `conversations`: by id, in the order of the population. Waits: for what other processes publish meanwhile
        `patience_s`; the rest comes later. Raises ApiError.
        """
        members = {conv: frozenset(c.members) for conv, c in conversations.items() if conv in self.conversations}
        groups = frozenset(conv for conv in members if conversations[conv].kind == "group")
        of_user: defaultdict[int, dict[int, frozenset[int]]] = defaultdict(dict)
        for conv, users in members.items():
            for user in users:
                of_user[user][conv] = users
        mine = [device for device in plans if device in self.users]
        for device in mine:
            self.join(device, of_user[device], groups=groups)
        parallel(self.publish, mine, at_once=AT_ONCE)
        ids = list(conversations)
        for device in mine:
            self.people[device].expects_to_write([ids[send.conversation] for send in plans[device].sends])
        deadline = time.monotonic() + patience_s
        while self._queue and time.monotonic() < deadline:
            if not self.step():
                sleep(IDLE_S)

    def publish(self, device: int) -> None:
        """Put its keys on the shelf. Waits; raises ApiError."""
        account = self.people[device].account
        publication = account.publication()
        self._api.publish_keys(self._tokens[device], publication, device_list=account.device_list, version=1)
        account.published(publication)

    def want(self, wanted: Wanted) -> None:
        """Fetch it as soon as possible."""
        if wanted not in self._queued:
            self._queued.add(wanted)
            self._queue.append(wanted)

    def known_list(self, user: int) -> bytes | None:
        """A user's device list, if this process has it already."""
        return self._lists.get(user)

    def step(self) -> bool:
        """Fetch what was asked for first. Returns false when there was nothing, or nothing came. Waits."""
        if not self._queue:
            return False
        wanted = self._queue.popleft()
        self._queued.discard(wanted)
        if not wanted.bundle and wanted.user in self._lists:
            self.people[wanted.device].learn(wanted.user, self._lists[wanted.user], [])
            return True
        try:
            found = self._api.keys_of(self._tokens[wanted.device], wanted.user, one_time=wanted.bundle)
        except ApiError:
            found = KeysOf()
        if not found.device_list:  # not published yet, or the API is away: again, after the others
            self.want(wanted)
            return False
        self._lists[wanted.user] = found.device_list
        started = time.thread_time()
        self.people[wanted.device].learn(wanted.user, found.device_list, _bundles(found) if wanted.bundle else [])
        if wanted.bundle:
            self.cost.sessions += 1
            self.cost.session_s += time.thread_time() - started
        return True

    @staticmethod
    def true_size(size: int, *, group: bool) -> int:
        """Bytes of an envelope for a plaintext of so many, among devices that know each other."""
        return envelopes.group_size(size) if group else envelopes.direct_size(size, devices=1)

    def work(self, sleep: Callable[[float], None]) -> None:
        """Fetch for ever."""
        failures, look_at = 0, 0.0
        while True:
            failures = 0 if self.step() else failures + 1
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + ASK_AGAIN_S / 5
                for person in self.people.values():
                    person.ask_late()
            if not self._queue:
                sleep(IDLE_S)
            elif failures > len(self._queue):
                sleep(RETRY_S)
                failures = 0

    def finish(self, *, grace_s: float = GRACE_S) -> None:
        """The run is over: what could not be read for so long is lost."""
        for person in self.people.values():
            person.give_up(grace_s)


def _bundles(found: KeysOf) -> list[Bundle]:
    return [
        Bundle(
            one.device,
            one.identity_key,
            one.signed_prekey.number,
            one.signed_prekey.key,
            one.signed_prekey.signature,
            *((one.one_time.number, one.one_time.key) if one.one_time is not None else (0, b"")),
        )
        for one in found.devices
    ]
