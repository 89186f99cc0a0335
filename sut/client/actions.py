"""The actions of a person, one method each. An action asks the service first, then changes the local state in one step.

An action that cannot be done raises UserMistake with a text for the person, and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from sut.client.chat import Chat
from sut.client.core import ConversationChanged
from sut.client.device.own_devices import OwnDevices
from sut.client.errors import UserMistake
from sut.client.messages.cipher import CannotSeal
from sut.client.messages.payload import MAX_TEXT, MAX_TEXT_BYTES, MAX_TITLE
from sut.client.model import Conversation, Line, LineKind
from sut.client.names import check_name, user_of
from sut.client.service.api import AddedBy
from sut.client.service.asking import asked
from sut.crypto.errors import IdentityChanged, NoSession
from sut.crypto.fingerprint import grouped
from sut.protocol.content import Delete, Edit, Target, Text

ARRIVAL_S: Final = 10.0
"""The longest wait, in seconds, for a line that was just written to get its sequence number, before it can be
changed.
"""
TYPING_EVERY_S: Final = 3.0

T = TypeVar("T")


class Actions:
    """The actions of the person whose device `chat` is."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._core = chat.core
        self.devices = OwnDevices(chat)
        self._typed_at: dict[int, float] = {}

    async def begin(self, name: str) -> int:
        """Find or create the 1:1 conversation with this user. Returns its id."""
        user = self._other(name)
        conv = await asked(lambda: self._chat.api.create("direct", [user], "d"))
        if not self._known(conv):
            members = {self._core.me: 1, user: 1}
            await self._chat.step(lambda _now: self._made(conv, members, [name], direct=True))
        return conv

    async def group(self, title: str, names: Sequence[str]) -> int:
        """Create a group with these users. Returns its id."""
        if not 0 < len(title.strip()) <= MAX_TITLE:
            raise UserMistake(f"a title has 1 to {MAX_TITLE} characters")
        users = [self._other(name) for name in names]
        if not users:
            raise UserMistake("name at least one other person")
        for user, name in zip(users, names, strict=True):
            await self._must_be_here(user, name)
        key = secrets.token_hex(16)
        conv = await self._unless_refused(
            lambda: self._chat.api.create("group", users, key), dict(zip(users, names, strict=True))
        )
        members = dict.fromkeys([self._core.me, *users], 1)
        await self._chat.step(lambda _now: self._made(conv, members, names, direct=False, title=title.strip()))
        return conv

    async def add(self, conv: int, name: str) -> None:
        one, user = self._group(conv), self._other(name)
        if user in one.members:
            raise UserMistake(f"{check_name(name)} is a member already")
        await self._must_be_here(user, name)
        seq = await self._unless_refused(lambda: self._chat.api.add(conv, user), {user: name})

        def added(_now: float) -> None:
            self._core.learn_name(user, check_name(name))
            one.members[user] = seq + 1
            self._core.state.put_members(one)
            self._chat.outbound.tell_about(one)
            self._core.updates.append(ConversationChanged(conv))

        await self._chat.step(added)

    async def added_by(self, who: str = "") -> str:
        """Return a line that says who may add this person to groups; sets it first, unless `who` is empty."""
        chosen: AddedBy | None = None
        match who.strip().lower():
            case "":
                pass
            case "anybody" | "nobody" as chosen:
                pass
            case _:
                raise UserMistake("say /groups anybody, or /groups nobody")
        now = await asked(lambda: self._chat.api.added_by(chosen))
        return f"{now} may add you to groups"

    async def _unless_refused(self, change: Callable[[], Awaitable[T]], users: Mapping[int, str]) -> T:
        """Make a change of members. A refusal names the person, whom the service knows by number.

        Raises UserMistake.
        """
        try:
            return await asked(change)
        except UserMistake as mistake:
            text = str(mistake)
            for user, name in users.items():
                text = re.sub(rf"\buser {user}\b", check_name(name), text)
            raise UserMistake(text) from None

    async def remove(self, conv: int, name: str) -> None:
        """Remove a user from a group. Later messages are encrypted with keys that this user does not get."""
        one, user = self._group(conv), self._other(name)
        if user not in one.members:
            raise UserMistake(f"{check_name(name)} is not a member")
        await asked(lambda: self._chat.api.remove(conv, user))

        def removed(_now: float) -> None:
            one.members.pop(user, None)
            self._core.state.put_members(one)
            self._core.updates.append(ConversationChanged(conv))

        await self._chat.step(removed)

    async def leave(self, conv: int) -> None:
        self._group(conv)
        await asked(lambda: self._chat.api.remove(conv, self._core.me))
        await self._chat.step(lambda _now: self._chat.upkeep.gone(conv))

    async def send(self, conv: int, text: str) -> None:
        """Write a line. On return it is on disk; it is sent as soon as possible."""
        one = self._here(conv)
        _check_length(text)
        await self._write(one, Text(text), text=text)
        self._typed_at.pop(conv, None)

    async def edit(self, conv: int, text: str) -> None:
        """Change the newest line that this person wrote in the conversation."""
        _check_length(text)
        one, line = await self._own_last(conv)

        def edited(_now: float) -> None:
            self._chat.outbound.write(one, Edit(Target(line.device, line.client_seq), text))
            line.text, line.edited = text, True
            self._core.put_line(one, line, new=False)

        await self._chat.step(edited)

    async def delete(self, conv: int) -> None:
        """Delete the newest line that this person wrote in the conversation."""
        one, line = await self._own_last(conv)

        def deleted(_now: float) -> None:
            self._chat.outbound.write(one, Delete(Target(line.device, line.client_seq)))
            line.text, line.deleted = "", True
            self._core.put_line(one, line, new=False)

        await self._chat.step(deleted)

    async def safety(self, conv: int, name: str = "") -> str:
        """Return the safety number to compare with user `name`; by default with the other member of a 1:1
        conversation.
        """
        if self._chat.joining.waiting:
            raise UserMistake("this device has to be added to your others first")
        one = self._core.conversations.get(conv)
        user = self._other(name) if name else one.peer if one is not None and one.direct else 0
        if not user:
            raise UserMistake("name a person: /safety NAME")
        account, called = self._chat.encryption.account, self._core.called(user)
        try:
            digits = await asyncio.to_thread(account.safety_number, user)
        except NoSession:
            learned = await asked(lambda: self._chat.accounts.fetch(user))
            await self._chat.step(lambda _now: self._chat.accounts.learn(user, learned))
            digits = await asyncio.to_thread(account.safety_number, user)
        proof = "if both sides see the same, nobody intercepts your messages"
        return f"safety number with {called}:\n{grouped(digits)}\n{proof}"

    async def accept(self, name: str) -> str:
        """Accept the changed keys of this user, after the person has checked that they are genuine."""
        user = self._other(name)
        try:
            self._chat.encryption.account.devices(user)
        except IdentityChanged:
            await self._chat.step(lambda _now: self._accept(user))
            return f"the changed keys of {self._core.called(user)} are accepted"
        raise UserMistake(f"the keys of {self._core.called(user)} have not changed")

    async def read(self, conv: int) -> None:
        """Mark every line of the conversation as read."""
        one = self._core.conversations.get(conv)
        if one is None or one.last_seq() <= one.read:
            return
        await self._chat.step(lambda now: self._read(one, now))

    async def typing(self, conv: int) -> None:
        """Tell the members that the person is typing. May be called for each keystroke: sends at most every
        TYPING_EVERY_S.
        """
        one, now = self._core.conversations.get(conv), self._core.clock()
        if one is None or not self._core.online or now - self._typed_at.get(conv, -TYPING_EVERY_S) < TYPING_EVERY_S:
            return
        self._typed_at[conv] = now
        await self._chat.step(lambda at: self._core.machine.typing(conv, at))

    async def stop_typing(self, conv: int) -> None:
        """Tell the members that the person cleared the input without sending it."""
        if self._typed_at.pop(conv, None) is not None:
            await self._chat.step(lambda at: self._core.machine.stop_typing(conv, at))

    async def look(self, conv: int) -> None:
        """Bring this conversation to the front: its members are checked, and their presence is watched."""
        if self._core.front != conv:
            self._core.front = conv
            await self._chat.step(lambda _now: self._chat.ask_whether_still_in(conv))

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the outbox is empty and the client is online and idle. Returns False after `timeout_s` seconds."""
        deadline = self._core.clock() + timeout_s
        while not (self._chat.outbound.empty and self._core.online and self._core.machine.idle()):
            if self._core.clock() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def unsettled(self) -> str:
        """Return in one line what `settled` waits for: how many messages, and why they are not sent."""
        count, connection = self._chat.outbound.waiting, self._chat.connection
        if not self._core.online:
            why = f"not connected: {connection.reason or connection.state}"
        elif absent := self._chat.outbound.absent:
            who = ", ".join(map(self._core.called, absent))
            why = f"{who} {'has' if len(absent) == 1 else 'have'} not been here yet"
        else:
            why = "the service has not answered"
        return f"{count} message{'s' if count > 1 else ''} to send: {why}" if count else why

    def find(self, name: str) -> int:
        """Return the id of the conversation with this title, or with this user; 0 if there is none."""
        wanted = name.strip().lower().removeprefix("@")
        for conv, one in self._core.conversations.items():
            if self._core.title(one).lower() == wanted:
                return conv
        return 0

    async def _must_be_here(self, user: int, name: str) -> None:
        """Fetch this user's keys if none are known: a group must not wait for a member without keys. Raises
        UserMistake.
        """
        await self._chat.step(lambda _now: self._core.learn_name(user, check_name(name)))
        account = self._chat.encryption.account
        with contextlib.suppress(IdentityChanged):
            if not account.devices(user):
                learned = await asked(lambda: self._chat.accounts.fetch(user))
                await self._chat.step(lambda _now: self._chat.accounts.learn(user, learned))

    def _accept(self, user: int) -> None:
        self._chat.encryption.account.accept(user)
        self._chat.outbound.accepted(user)
        self._chat.inbound.keys_came(user)

    def _made(self, conv: int, members: dict[int, int], names: Sequence[str], *, direct: bool, title: str = "") -> None:
        for name in names:
            self._core.learn_name(user_of(check_name(name)), check_name(name))
        one = self._chat.upkeep.learn_members(conv, members, direct=direct)
        if title:
            one.title = title
            self._core.state.put_conversation(one)
            self._chat.outbound.tell_about(one)

    def _read(self, one: Conversation, now: float) -> None:
        self._core.machine.mark_read(one.conv, one.last_seq(), now)
        one.read = one.last_seq()
        self._core.state.put_conversation(one)
        self._core.updates.append(ConversationChanged(one.conv))

    async def _write(self, one: Conversation, content: Text, *, text: str) -> None:
        try:
            await self._chat.step(lambda _now: self._chat.outbound.write(one, content, text=text))
        except CannotSeal as problem:
            raise UserMistake(str(problem)) from None

    async def _own_last(self, conv: int) -> tuple[Conversation, Line]:
        """Wait until the newest own line of the conversation has its sequence number, and return it. Raises
        UserMistake.
        """
        one = self._here(conv)
        me = self._core.me
        own = [line for line in one.lines if line.user == me and line.kind is LineKind.TEXT and not line.deleted]
        if not own and one.older and (older := self._core.state.last_own(conv, me)) is not None:
            own = [older]
        if not own:
            raise UserMistake("there is no line of yours here")
        deadline = self._core.clock() + ARRIVAL_S
        while not own[-1].seq:
            if own[-1].failed or self._core.clock() > deadline:
                raise UserMistake("your last message here has not been sent yet")
            await asyncio.sleep(0.05)
        return one, own[-1]

    def _known(self, conv: int) -> bool:
        one = self._core.conversations.get(conv)
        return one is not None and one.known and one.peer != 0

    def _here(self, conv: int) -> Conversation:
        one = self._core.conversations.get(conv)
        if one is None:
            raise UserMistake("choose a conversation first, or begin one with /new NAME")
        if one.left:
            raise UserMistake("you are not a member of this group any more")
        return one

    def _group(self, conv: int) -> Conversation:
        one = self._here(conv)
        if one.direct:
            raise UserMistake("this is a 1:1 conversation; /group TITLE NAME... makes a group")
        return one

    def _other(self, name: str) -> int:
        user = user_of(check_name(name))
        if user == self._core.me:
            raise UserMistake("that is you")
        return user


def _check_length(text: str) -> None:
    size = len(text.encode())
    if len(text) > MAX_TEXT:
        raise UserMistake(f"{len(text)} characters are too many; {MAX_TEXT} are allowed")
    if size > MAX_TEXT_BYTES:
        raise UserMistake(f"{size} bytes are too many; {MAX_TEXT_BYTES} are allowed")
