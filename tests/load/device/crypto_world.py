"""Three devices with real encryption in one process, an API in memory, and no network between them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from load.device.body import Draft
from load.drive.api import ApiError, Publication
from load.drive.keys import Keys
from load.history.events import Event, message_id
from load.history.recorder import Nobody, Recorder
from load.history.writer import HistoryTail, HistoryWriter
from load.plan.plan import DevicePlan, PlannedSend
from load.plan.population import Conversation
from sut.protocol.api_answers import BundleOf, KeysOf, OneTimePrekeyOf, SignedPrekeyOf
from sut.protocol.causal import Dependency
from sut.protocol.device.events import MemberChange
from sut.protocol.frames import Message

CANARY = b"Ab3dEf6hIj9lMn2p"
DIRECT, GROUP = 100, 200
CONVERSATIONS = {
    DIRECT: Conversation(key="d", kind="direct", members=(1, 2), weight=0.5),
    GROUP: Conversation(key="g", kind="group", members=(1, 2, 3), weight=0.5),
}
SENDS = tuple(PlannedSend(0, place, 150) for place in (0, 1))


class Shelf:
    """The API's two calls, in memory. `away`: so many calls fail first."""

    def __init__(self) -> None:
        self.published: dict[int, tuple[Publication, bytes]] = {}
        self.one_time: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self.away = 0
        self.fetched: list[tuple[str, int, bool]] = []

    def publish_keys(self, token: str, publication: Publication, *, device_list: bytes, version: int) -> int:
        assert version == 1
        self.published[int(token)] = (publication, device_list)
        self.one_time[int(token)] += publication[4]
        return len(self.one_time[int(token)])

    def keys_of(self, token: str, user: int, *, one_time: bool) -> KeysOf:
        self.fetched.append((token, user, one_time))
        if self.away:
            self.away -= 1
            raise ApiError("away")
        if user not in self.published:
            return KeysOf()
        (identity, number, key, signature, _), device_list = self.published[user]
        taken = OneTimePrekeyOf(*self.one_time[user].pop(0)) if one_time else None
        bundle = BundleOf(user, identity, SignedPrekeyOf(number, key, signature), taken)
        return KeysOf((bundle,), device_list)


class World:
    """Three devices, and what they say to each other."""

    def __init__(self, directory: Path, *, plaintext: bool = False) -> None:
        self.shelf = Shelf()
        self.path = directory / "a.bin"
        self.history = HistoryWriter(self.path)
        self.recorder = Recorder(self.history, groups=frozenset([GROUP]), recipients={}, observer=Nobody())
        self.keys = Keys(
            users=frozenset([1, 2, 3]),
            conversations=frozenset(CONVERSATIONS),
            seed=7,
            canary=CANARY,
            plaintext=plaintext,
            api=self.shelf,  # type: ignore[arg-type]
            tokens={device: str(device) for device in (1, 2, 3)},
            recorder=self.recorder,
        )
        self.seqs: defaultdict[int, int] = defaultdict(int)
        self.client_seqs: defaultdict[int, int] = defaultdict(lambda: 1)

    def join(self) -> None:
        self.keys.join_all({device: DevicePlan(sends=SENDS) for device in (1, 2, 3)}, CONVERSATIONS, patience_s=0)

    def fetch(self) -> None:
        for _ in range(100):
            self.keys.step()

    def seal(self, device: int, conv: int, *dependencies: Dependency) -> list[Message] | None:
        """The messages as they come back from the service, with their numbers."""
        draft = Draft(conv, message_id(device, self.client_seqs[device]), due_offset_ns=5, size=150)
        sealed = self.keys.people[device].seal(draft, dependencies)
        return None if sealed is None else [self.number(device, conv, sealed)]

    def said_without_three(self, *dependencies: Dependency, seq: int) -> Message:
        """What user 1 writes to the group when it believes that user 3 was removed; the group is at `seq` by then."""
        self.keys.people[1].changed(MemberChange(GROUP, 1, 3, added=False))
        self.seqs[GROUP] = seq
        (message,) = self.seal(1, GROUP, *dependencies) or []
        return message

    def number(self, device: int, conv: int, body: bytes) -> Message:
        self.seqs[conv] += 1
        client_seq = self.client_seqs[device]
        self.client_seqs[device] += 1
        self.keys.people[device].acked(client_seq, self.seqs[conv])
        return Message(conv, self.seqs[conv], 0, device, device, client_seq, body)

    def controls(self) -> list[Message]:
        found = []
        for device, person in self.keys.people.items():
            outgoing, person.outgoing = person.outgoing, []
            found += [self.number(device, conv, body) for conv, body in outgoing]
        return found

    def settle(self) -> None:
        """Until nobody has anything to say or to fetch."""
        for _ in range(10):
            self.fetch()
            for message in self.controls():
                for device, person in self.keys.people.items():
                    if device != message.device:
                        person.shown(message)

    def spoiled(self) -> int:
        """WIRE events: here only those of messages that did not decrypt."""
        tail = HistoryTail(self.path)
        found = [record for record in tail.read() if record[7] == Event.WIRE]
        tail.close()
        return len(found)
