"""Chooses the devices with real encryption, and fetches their keys.

The share is made of whole conversations, so that its users can write to each other. A conversation is not encrypted if
a user outside the share is or will be in it. The reason is that every device that shows a message must be able to read
its dependencies. There, and from all other devices, bodies have the size that encryption would give them.

Keys come over HTTP, which waits; sends must not wait. So one greenlet (`Keys.work`) fetches them, and a message that is
due before they arrive is sent as an opaque body.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.device.causality import ever
from load.device.crypto import ASK_AGAIN_S, Encryption
from load.drive.api import ApiClient, ApiError, parallel
from load.plan.changes import Change
from load.plan.plan import DevicePlan
from load.plan.population import Conversation, Population, shuffled, stream
from sut.crypto.prekeys import Bundle
from sut.protocol.api_answers import KeysOf

AT_ONCE: Final = 8
"""Publications in flight at once."""
PATIENCE_S: Final = 20.0
GRACE_S: Final = 15.0
"""Time for three requests for keys and their answers. A run ends once all is delivered, without regard to these."""
IDLE_S: Final = 0.05
RETRY_S: Final = 0.5


def choose(
    population: Population, share: float, seed: int, changes: Iterable[Change] = ()
) -> tuple[frozenset[int], frozenset[int]]:
    """Return the users with real encryption, and the conversations, by place, in which no other user is or will be.

    The users are all members of some conversations, with a group among them if one fits.
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


@dataclass(kw_only=True, eq=False)
class Keys(Encryption):
    """Fetches the keys of the crypto devices of a process, and publishes theirs."""

    api: ApiClient
    tokens: Mapping[int, str]
    """Tokens of the devices of this process."""

    def join_all(
        self,
        plans: Mapping[int, DevicePlan],
        conversations: Mapping[int, Conversation],
        *,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Publish the keys of this process's crypto devices, and fetch those of the users whom they will write to.

        `conversations`: by id, in the order of the population. Waits up to `patience_s` for keys that other processes
        publish; missing ones come later. Raises ApiError.
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
        while self.queue and time.monotonic() < deadline:
            if not self.step():
                sleep(IDLE_S)

    def publish(self, device: int) -> None:
        """Publish the keys of a device. Waits; raises ApiError."""
        account = self.people[device].account
        publication = account.publication()
        self.api.publish_keys(self.tokens[device], publication, device_list=account.device_list, version=1)
        account.published(publication)

    def step(self) -> bool:
        """Fetch the oldest request. Returns False if there was none, or if its keys did not come. Waits."""
        wanted = self.next_wanted()
        if wanted is None:
            return False
        if not wanted.bundle and wanted.user in self.lists:
            self.people[wanted.device].learn(wanted.user, self.lists[wanted.user], [])
            return True
        try:
            found = self.api.keys_of(self.tokens[wanted.device], wanted.user, one_time=wanted.bundle)
        except ApiError:
            found = KeysOf()
        if not found.device_list:  # not published yet, or the API does not answer: retry after the others
            self.want(wanted)
            return False
        self.lists[wanted.user] = found.device_list
        started = time.thread_time()
        self.people[wanted.device].learn(wanted.user, found.device_list, _bundles(found) if wanted.bundle else [])
        if wanted.bundle:
            self.cost.sessions += 1
            self.cost.session_s += time.thread_time() - started
        return True

    def work(self, sleep: Callable[[float], None]) -> None:
        """Fetch requested keys until the greenlet is killed."""
        failures, look_at = 0, 0.0
        while True:
            failures = 0 if self.step() else failures + 1
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + ASK_AGAIN_S / 5
                for person in self.people.values():
                    person.ask_late()
            if not self.queue:
                sleep(IDLE_S)
            elif failures > len(self.queue):
                sleep(RETRY_S)
                failures = 0

    def finish(self, *, grace_s: float = GRACE_S) -> None:
        """Report messages that are still unreadable at the end of the run and older than `grace_s`."""
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
