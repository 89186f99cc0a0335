"""The small world of simulated.py with people who are not all in the same conversations, and who name what they saw.

Beside broken connections devices stay away for longer; users are added to and removed from conversations they were
never in. Who FETCHes a conversation without ever having been in it fails the test: the real service cuts them off.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from sut.protocol import frames as f
from sut.protocol.causal import Dependency, pack, unpack
from sut.protocol.device.client import Client
from tests.sut.protocol.device import simulated

FOREVER = 1 << 62


class CausalWorld(simulated.World):
    """`names`: whether messages name what was shown. `obeys`: whether devices wait for it."""

    def __init__(
        self, seed: int, *, devices: int, convs: int, trouble: float = 0.1, names: bool = True, obeys: bool = True,
        hold_s: float = 15.0,
    ) -> None:  # fmt: skip
        self.names, self.obeys = names, obeys
        self.settings = replace(simulated.SETTINGS, hold_s=hold_s)
        self.clock = 0
        users = range(1, max(2, devices))
        draw = random.Random(seed)
        self.stays: dict[tuple[int, int], list[list[int]]] = {}
        """(user, conversation) -> [number of the adding, number of the removal], in order."""
        self.planned: set[tuple[int, int]] = set()
        """(user, conversation) that will be."""
        self.founders: dict[int, set[int]] = {}
        for conv in range(10, 10 + convs):
            self.founders[conv] = set(draw.sample(users, min(len(users), draw.randint(2, 4))))
            for user in self.founders[conv]:
                self.stays[user, conv] = [[0, FOREVER]]
        super().__init__(seed, devices=0, convs=tuple(self.founders), trouble=trouble)
        self.devices = [CausalDevice(self, number) for number in range(1, devices + 1)]

    def sees(self, user: int, conv: int, seq: int) -> bool:
        return any(first < seq < last for first, last in self.stays.get((user, conv), ()))

    def visible(self, user: int, conv: int) -> list[f.Message]:
        return [row for row in self.logs[conv] if self.sees(user, conv, row.seq)]

    def head(self, user: int, conv: int, length: int) -> int:
        stays = self.stays.get((user, conv))
        if not stays or stays[-1][0] >= length:
            return min(length, stays[-2][1] - 1) if stays and len(stays) > 1 else 0
        return min(length, stays[-1][1] - 1)

    def change(self, user: int, conv: int) -> None:
        """Add the user, or remove them if they are there."""
        stays, seq = self.stays.setdefault((user, conv), []), len(self.logs[conv]) + 1
        add = not stays or stays[-1][1] != FOREVER
        if add:
            stays.append([seq, FOREVER])
        else:
            stays[-1][1] = seq
        flag = f.Flag.MEMBER_ADD if add else f.Flag.MEMBER_REMOVE
        self.logs[conv].append(f.Message(conv, seq, flag, user, 0, 0, b""))
        self._tell_members(self.logs[conv][-1], but=None)

    def _notify(self, link: simulated.Link, message: f.Message) -> None:
        if self.sees(link.device.user, message.conv, message.seq):
            super()._notify(link, message)
        elif not self.bad_luck(2.0):
            link.down(f.encode(f.Notify((f.Entry(message.conv, message.seq, message.flags),))))
        else:
            link.missed = True

    def handle(self, link: simulated.Link, data: bytes) -> None:
        frame = f.decode_client(data)
        if isinstance(frame, f.Fetch):
            assert (link.device.user, frame.conv) in self.stays, "a foreign conversation was fetched"
        super().handle(link, data)

    def inversions(self) -> list[tuple[int, f.Message, f.Message]]:
        """(device, answer, question) wherever the answer was shown first though its sender had seen the question."""
        found = []
        for device in self.devices:
            for answer, at in device.order.items():
                sender = self.devices[answer.device - 1]
                sent_at = sender.sent_at.get(answer.client_seq, 0)
                for question, seen_at in sender.order.items():
                    if seen_at > sent_at:
                        break
                    if device.order.get(question, 0) > at and device is not sender:
                        found.append((device.number, answer, question))
        return found


class CausalDevice(simulated.Device):
    """Its bodies are what it names, as entries, after four bytes that make each unique."""

    def __init__(self, world: CausalWorld, number: int) -> None:
        super().__init__(world, number)
        self.client = Client(
            user=self.user, device=number, rng=random.Random(number), settings=world.settings, causality=self
        )
        self.order: dict[f.Message, int] = {}
        """Message -> when it was shown, by the world's count of events."""
        self.sent_at: dict[int, int] = {}
        self.held: list[tuple[float, bool]] = []

    def named_by(self, message: f.Message) -> Sequence[Dependency]:
        return unpack(message.body[4:]) if self.world.obeys else ()

    def shared(self, conv: int, other: int) -> bool:
        ever = self.world.planned.union(self.world.stays)
        mine, theirs = ({user for user, in_ in ever if in_ == one} for one in (conv, other))
        return bool((mine & theirs) - ({self.user} if self.user > 1 else set()))

    def grows(self, conv: int) -> bool:
        return True

    def may_be_in(self, user: int, conv: int) -> bool:
        return (user, conv) in self.world.stays or (user, conv) in self.world.planned

    def member_of(self, conv: int) -> bool:
        return self.user in self.world.founders[conv]

    def say(self, conv: int, body: bytes) -> None:
        if not self.world.sees(self.user, conv, len(self.world.logs[conv]) + 1):
            return

        def compose(now: float) -> bytes:
            return body.rjust(4) + (pack(self.client.dependencies(conv, now)) if self.world.names else b"")

        self.submitted[conv].append((self.client.submit(conv, compose, self.world.now), body))
        self.drain()

    def connect(self) -> None:
        if self.world.trouble and self.world.rng.random() < 0.15:
            self.world.at(self.world.rng.uniform(5, 20), self.connect)  # away
            return
        super().connect()

    def drain(self) -> None:
        before = len(self.events)
        super().drain()
        gate = self.client._gate
        assert all(map(gate._waits, gate._held.values())), "something is held back that waits for nothing"
        for event in self.events[before:]:
            self.world.clock += 1
            match type(event).__name__:
                case "Show":
                    self.order[event.message] = self.world.clock
                case "Sent":
                    self.sent_at[event.client_seq] = self.world.clock
                case "HeldBack":
                    self.held.append((event.for_s, event.late))
