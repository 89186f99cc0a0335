"""One person's client without a user interface. It keeps the device connected, updates the model and runs actions.

    async with Chat.open(access, name="alice", path=state_file, listener=show) as chat:
        running = asyncio.create_task(chat.run())
        conv = await chat.begin("bob")
        await chat.send(conv, "hello")

Every change is a step under one lock. A step passes an input to the protocol machine and applies its events to the
model. It then commits all changes to disk, sends the frames and calls the listener. Cancellation never interrupts
a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from sut.client.core import (
    ConversationChanged,
    Core,
    MembersOf,
    PeopleChanged,
    Publish,
    ReceiptsOf,
    StatusChanged,
    Update,
)
from sut.client.device.accounts import Accounts
from sut.client.device.handover import take, until_wanted
from sut.client.device.joining import Joining
from sut.client.device.state import Outgoing
from sut.client.errors import ClientError
from sut.client.messages.causality import Ties
from sut.client.messages.inbound import Inbound
from sut.client.messages.outbound import Outbound
from sut.client.messages.sealed import Encryption
from sut.client.model import TYPING_S, Conversation, Line, LineKind
from sut.client.model import Presence as Seen
from sut.client.names import DEVICE, user_of
from sut.client.service.api import Access, Api
from sut.client.service.errands import Errands
from sut.client.service.link import Link, Status
from sut.client.service.upkeep import Upkeep
from sut.protocol.device.client import Client
from sut.protocol.device.events import (
    Acked,
    ClientEvent,
    ClientSettings,
    GaveUp,
    MemberChange,
    Nacked,
    Notified,
    Online,
    Outrun,
    Presence,
    RolledBack,
    Show,
    Stalled,
    SyncAnswered,
    Told,
    Unwatched,
    Violation,
    Writing,
)
from sut.protocol.signals import MAX_WATCHED

GIVE_UP_S: Final = 7 * 24 * 3600.0
"""Seconds (one week) after which an unanswered message is given up.

People prefer a late message to an unknown outcome.
"""
CHECK_S: Final = 1.5
"""Seconds after a notification. If its message cannot be fetched by then, ask whether this user is still a member."""
MAX_ASKED: Final = 50
"""The number of conversations, newest first, whose members and receipts are fetched after a reconnect."""
MAX_PEERS: Final = 200
"""The number of people in 1:1 conversations whose presence is watched."""
SETTINGS: Final = ClientSettings(give_up_s=GIVE_UP_S, renumber=False)
_LOGGER = logging.getLogger(__name__)


class Chat:
    """The whole client of one device. All methods must be called in one event loop; see also Actions."""

    def __init__(
        self,
        core: Core,
        api: Api,
        *,
        encryption: Encryption,
        ties: Ties,
        listener: Callable[[Update], None],
        rng: random.Random,
    ) -> None:
        """Use `open` to create one."""
        self.core = core
        self.api = api
        self._listener = listener
        self._lock = asyncio.Lock()
        self._steps: set[asyncio.Task[None]] = set()
        self.encryption = encryption
        self.accounts = Accounts(core, api, encryption)
        self.outbound = Outbound(core)
        self.inbound = Inbound(core, self.outbound)
        self.upkeep = Upkeep(core, api, self.accounts, inbound=self.inbound, outbound=self.outbound, step=self.step)
        self.errands = Errands(do=self.upkeep.do, needed=self.upkeep.needed, clock=core.clock, rng=rng)
        core.want = self.errands.want
        self.joining = Joining(core, api, self.accounts, step=self.step, status=self.status)
        self._link = Link(api, self, clock=core.clock)
        self.connection = Status("connecting")
        self._watched: frozenset[int] = frozenset()
        self._renewed = False
        self._log = core.machine.log = core.state.get("log")
        ties.read = self.inbound.reading.names
        ties.linked = encryption.linked
        core.machine.resume(
            {one.conv: one.cursor for one in reversed(core.recent()) if one.cursor},
            self.outbound.unsettled(),
            core.clock(),
            read={one.conv: one.read for one in core.conversations.values()},
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        access: Access,
        *,
        name: str,
        path: Path,
        listener: Callable[[Update], None],
        device_name: str = DEVICE,
        clock: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> AsyncIterator[Chat]:
        """Open the chat of device `device_name` of user `name`, with its state in file `path`. Both names must be
        checked.

        Another program that has the file open is asked to end first. Raises ClientError, UserMistake.
        """
        rng = random.SystemRandom()
        with contextlib.closing(await take(path)) as state:
            me = user_of(name)
            device = access.device or state.number("device") or rng.randrange(1, 1 << 62)
            state.put("device", str(device).encode())
            cipher = Encryption.load(state.get("cipher"), user=me, device=device, now_s=wall_s)
            state.put("cipher", cipher.state())
            conversations = state.conversations()
            ties = Ties(conversations)
            machine = Client(
                user=me, device=device, rng=rng, settings=SETTINGS, next_client_seq=state.next_client_seq,
                causality=ties,
            )  # fmt: skip
            core = Core(
                me=me, name=name, device=device, state=state, machine=machine, cipher=cipher,
                conversations=conversations, names=state.names(), clock=clock,
                wall_ms=lambda: int(wall_s() * 1000), want=lambda _errand: None,
                device_name=device_name, device_names=state.device_names(), earlier=state.earlier(),
                arriving=bool(state.get("arriving")),
            )  # fmt: skip
            core.learn_name(me, name)
            await state.commit()
            async with Api(access, user=me, device=device) as api:
                chat = cls(core, api, encryption=cipher, ties=ties, listener=listener, rng=rng)
                try:
                    yield chat
                finally:
                    await chat.quiet()

    async def run(self) -> None:
        """Stay connected until cancelled. Raises ClientError when the client cannot go on.

        Raises Replaced when another program wants the state: then close it at once.
        """
        await self.step(lambda _now: self._begin())
        doings = (self._connect(), self.errands.run(), until_wanted(self.core.state.path))
        tasks = [asyncio.create_task(doing) for doing in doings]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ClientError as error:
            self.status(Status("stopped", reason=str(error)))
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self) -> None:
        await self.joining.run()
        await self._link.run()

    async def quiet(self) -> None:
        """Wait for the steps that are in progress. After `run` has ended, nothing changes once this returns."""
        while self._steps:
            await asyncio.gather(*self._steps, return_exceptions=True)

    # For the link.

    @property
    def machine(self) -> Client:
        """Return the protocol machine; see Desk."""
        return self.core.machine

    async def step(self, act: Callable[[float], object]) -> None:
        """Run `act` as one step; see Desk.

        An exception from `act` is raised here, and the rest of the step is skipped.
        """
        task = asyncio.create_task(self._locked(act))
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        await asyncio.shield(task)

    def status(self, status: Status) -> None:
        """Store the status and tell the listener; see Desk."""
        self.connection = status
        if status.state != "online":
            self.core.online = False
        self._listener(StatusChanged(status))

    async def _locked(self, act: Callable[[float], object]) -> None:
        core, machine = self.core, self.core.machine
        async with self._lock:
            act(core.clock())
            while True:
                for event in machine.events():
                    self._react(event)
                ready = self.outbound.ready()
                self._note_cursors()
                self._watch()
                self.inbound.reading.save()
                await core.state.commit()
                for outgoing in ready:
                    self._submit(outgoing)
                if not ready:
                    break
            await self._link.send(machine.frames())
            updates, core.updates = core.updates, []
        for update in updates:
            self._listener(update)

    def _submit(self, outgoing: Outgoing) -> None:
        body = outgoing.body
        made = (lambda _now: body) if outgoing.ref else body  # only a message (with a ref) names dependencies
        taken = self.core.machine.submit(outgoing.conv, made, self.core.clock())
        assert taken == outgoing.client_seq, "the machine and the state count alike"

    def _note_cursors(self) -> None:
        if self.core.machine.log != self._log:
            self._log = self.core.machine.log
            self.core.state.put("log", self._log)
        for conv, cursor in self.core.machine.cursors.items():
            one = self.core.conversations.get(conv)
            if one is not None and one.cursor != cursor:
                one.cursor = cursor
                self.core.state.put_conversation(one)

    def _begin(self) -> None:
        for one in self.core.conversations.values():
            if not one.known and not one.left:
                self.errands.want(MembersOf(one.conv))
        self.inbound.resume()

    # What the machine says.

    def _react(self, event: ClientEvent) -> None:
        core = self.core
        match event:
            case Show(message, incomplete):
                one = core.conversation(message.conv)
                if one.left:  # back again
                    one.left = one.known = False
                    core.want(MembersOf(one.conv))
                self.inbound.shown(message, incomplete=incomplete)
            case Acked():
                self.outbound.acked(event)
            case Nacked(definite=True) | GaveUp():
                self.outbound.lost(event)
            case RolledBack(conv, head, cursor):
                self.upkeep.rolled_back(core.conversation(conv), head, cursor)
            case Outrun(first, last):
                self._restored(first, last)
            case MemberChange(conv, seq, user, added):
                self._membership(core.conversation(conv), seq, user, added=added)
            case Online():
                core.online = True
                self.status(Status("online", self.connection.gateway))
                self._catch_up()
                self._ask_what_was_read(())
            case SyncAnswered(ahead):
                self._ask_what_was_read(ahead)
            case Notified(conv, head):
                asyncio.get_running_loop().call_later(CHECK_S, self._check, conv, head)
            case Stalled(reason):
                self._link.dead = reason
            case Told(conv, seq, kind, by):
                self.upkeep.receipt(core.conversation(conv), by, kind, seq)
            case Writing(conv, user, active):
                core.conversation(conv).typing[user] = core.clock() + TYPING_S if active else 0.0
                core.updates.append(ConversationChanged(conv))
            case Presence(user, online, last_seen_ms):
                core.presence[user] = Seen(online=online, last_seen_ms=last_seen_ms)
                core.updates.append(PeopleChanged())
            case Unwatched(user):
                core.presence.pop(user, None)
                core.updates.append(PeopleChanged())
            case Violation(text):
                _LOGGER.warning("%s", text)
            case _:
                pass

    def _restored(self, first: int, last: int) -> None:
        """Go on after an outrun: this device used client_seqs that the state does not know, so its file is an older
        copy.
        """
        self.core.state.skip_client_seqs(last)
        self.inbound.outrun(first, last)
        if not self._renewed:
            self._renewed = True
            self.encryption.account.renew()
            self.core.state.put("cipher", self.encryption.state())
            self.core.say("this device was put back to an older copy; what it wrote since then cannot be read here")

    def _catch_up(self) -> None:
        """Fetch what the service sent only to connected devices while this one was offline."""
        if self.core.arriving:
            self._arrived()
        if self.accounts.due:
            self.core.want(Publish())
        for one in self.core.recent()[:MAX_ASKED]:
            self.ask_whether_still_in(one.conv)
            if one.unconfirmed(self.core.me):
                self.core.want(ReceiptsOf(one.conv))

    def _ask_what_was_read(self, ahead: Sequence[int]) -> None:
        """Fetch how far other devices of this person have read, where this one has missed messages or has some unread.

        While both are connected the service tells (Told). This is for what was read while this one was away.
        """
        if not self.encryption.linked():
            return
        unread = [one.conv for one in self.core.recent() if one.unread(self.core.me)]
        for conv in dict.fromkeys([*ahead[:MAX_ASKED], *unread[:MAX_ASKED]]):
            self.core.want(ReceiptsOf(conv))

    def _arrived(self) -> None:
        """Fetch the receipts of all conversations, on the first connection of a device that was just linked."""
        core = self.core
        for conv in core.machine.cursors:
            core.conversation(conv)
            core.want(ReceiptsOf(conv))
        core.arriving = False
        core.state.put("arriving", b"")

    def ask_whether_still_in(self, conv: int) -> None:
        """Fetch the members of a group: the service does not tell a user that they were removed."""
        one = self.core.conversations.get(conv)
        if one is not None and not one.direct and not one.left:
            self.core.want(MembersOf(conv))

    def _watch(self) -> None:
        """Watch the presence of people in recent 1:1 conversations, and of the members of the conversation in front."""
        core = self.core
        peers = [one.peer for one in core.recent()[:MAX_PEERS] if one.direct and one.peer and not one.left]
        front = core.conversations.get(core.front)
        wanted = dict.fromkeys([*peers, *(front.members if front is not None else ())])
        wanted.pop(core.me, None)
        watched = frozenset(list(wanted)[:MAX_WATCHED])
        if watched != self._watched:
            self._watched = watched
            core.machine.watch(watched)

    def _membership(self, one: Conversation, seq: int, user: int, *, added: bool) -> None:
        core = self.core
        if added:
            one.members[user] = seq + 1
        else:
            one.members.pop(user, None)
        core.state.put_members(one)
        line = Line(
            row=core.state.next_row(), conv=one.conv, kind=LineKind.NOTICE, seq=seq, user=user,
            at_ms=core.wall_ms(), text="joined" if added else "is gone",
        )  # fmt: skip
        core.put_line(one, line, new=True)
        core.updates.append(ConversationChanged(one.conv))

    def _check(self, conv: int, head: int) -> None:
        """Fetch the members if the announced message is still missing: this user may have been removed."""
        one = self.core.conversations.get(conv)
        if one is not None and one.known and not one.direct and one.cursor < head:
            self.errands.want(MembersOf(conv))
