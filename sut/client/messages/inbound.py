"""From a message on the wire to a line on the screen: decryption, names, edits, and what to do when it cannot be read.

Messages of a conversation are opened in their order, once it is known who is in it. One whose sender's keys are not
here waits for them, and so do those behind it. One that cannot be read at all gets a line that says so, its sender is
asked for it, and the line becomes the message when the answer comes.
"""

from __future__ import annotations

import contextlib

from sut.client.core import CHANGED, ConversationChanged, Core, KeysOf
from sut.client.messages import payload as payloads
from sut.client.messages.cipher import Address, CannotRead, CannotSeal, Changed, NeedKeys, Opened
from sut.client.messages.outbound import Outbound
from sut.client.messages.payload import About, Payload
from sut.client.messages.reading import Reading
from sut.client.model import Conversation, Line, LineKind
from sut.client.names import user_of
from sut.protocol import content as contents
from sut.protocol.content import ContentError, Delete, Edit, Target, Text
from sut.protocol.frames import Message

MAX_ASKED = 64
"""Messages in one request to a sender."""
UNREADABLE = "a message that cannot be read on this device"
EARLIER = "what was written before this device was added can be read on your other devices"
WAITING = "a message that cannot be read yet; its sender was asked"


class Inbound:
    """All that came and what became of it."""

    def __init__(self, core: Core, outbound: Outbound) -> None:
        self._core = core
        self._outbound = outbound
        self.reading = Reading((core.me, core.device), core.cipher, core.state)
        self._stuck: dict[int, list[Message]] = {}
        """Conversation -> messages that wait for keys, or for the conversation to be known, in order."""
        self._dark: dict[tuple[int, Address], list[Message]] = {}
        """(conversation, sender) -> messages that could not be read, and that the sender will be or was asked for."""
        self._unasked: dict[tuple[int, Address], list[Message]] = {}
        for message, asked in core.state.sealed():
            place = message.conv, (message.user, message.device)
            if asked:
                self._dark.setdefault(place, []).append(message)
            else:
                self._stuck.setdefault(message.conv, []).append(message)

    def resume(self) -> None:
        """What could not be read or shown is tried again: by a new run, or because a conversation is known now."""
        self._retry_stuck()
        self._core.state.put("cipher", self._core.cipher.state())

    def shown(self, message: Message) -> None:
        """The machine says that this message's turn has come."""
        one = self._core.conversation(message.conv)
        if message.device == self._core.device and message.user == self._core.me:
            self._core.in_use(message.conv)
            return  # its line is there, and has its number by its ACK
        if message.conv in self._stuck or not one.known:
            self._stick(message)
        else:
            self._open(one, message)
        self._core.state.put("cipher", self._core.cipher.state())

    def keys_came(self, user: int) -> None:
        """Of somebody; or a person accepted them. Who is not on their list now never will be."""
        self._retry_stuck(fresh=user)
        for place in [place for place in self._unasked if place[1][0] == user]:
            self._ask(place)
        self._core.state.put("cipher", self._core.cipher.state())

    def waits_for(self, user: int) -> bool:
        """Whether something cannot be read for want of this user's keys."""
        stuck = any(message.user == user for messages in self._stuck.values() for message in messages)
        return stuck or any(place[1][0] == user for place in self._unasked)

    def _retry_stuck(self, fresh: int = 0) -> None:
        for conv in list(self._stuck):
            waiting = self._stuck.pop(conv)
            for message in waiting:
                one = self._core.conversation(conv)
                self._core.state.drop_sealed(message)
                if conv in self._stuck or not one.known:
                    self._stick(message)
                else:
                    self._open(one, message, fresh)

    def _stick(self, message: Message) -> None:
        self._stuck.setdefault(message.conv, []).append(message)
        self._core.state.put_sealed(message, asked=False)

    def _open(self, one: Conversation, message: Message, fresh: int = 0) -> None:
        """`fresh`: of this user the keys just came."""
        core = self._core
        try:
            opened = self.reading.take(message)
        except NeedKeys as need:
            if fresh in need.users:
                self._dark_line(one, message, ask=False)
                return
            self._stick(message)
            for user in need.users:
                core.want(KeysOf(user))
        except Changed as changed:
            self._stick(message)
            name = core.called(changed.user)
            core.say(CHANGED.format(name=name))
        except CannotRead as problem:
            self._dark_line(one, message, ask=problem.ask)
        else:
            self._take(one, message, opened)

    def _take(self, one: Conversation, message: Message, opened: Opened) -> None:
        if opened.plaintext is not None:
            self._core.in_use(one.conv)
            payload = payloads.decode(opened.plaintext)
            if payload is not None:
                self._devices(message.user, payload.devices)
                self._payload(one, message, payload)
        if opened.asked:
            self._answer(one, (message.user, message.device), opened.asked)
        if opened.unlocked:
            self._open_dark(one, (message.user, message.device))

    def _devices(self, user: int, version: int) -> None:
        """Somebody has this list of devices: from now on is written to those on it."""
        core = self._core
        if max(core.cipher.list_version(user), core.newer.get(user, 0)) < version:
            core.newer[user] = version
            core.want(KeysOf(user))

    def _payload(self, one: Conversation, message: Message, payload: Payload) -> None:
        core = self._core
        core.learn_name(message.user, payload.name)
        if payload.about is not None:
            self._about(one, payload.about)
            return
        try:
            content = contents.decode(payload.content)
        except ContentError:
            return  # of a later version, or nothing: not shown
        match content:
            case Text(text):
                line = self._line(one, message)
                line.text, line.at_ms = payloads.clean(text), payload.sent_ms
                core.put_line(one, line, new=True)
            case Edit(target, text):
                if (meant := self._own_of_sender(one, message, target)) is not None:
                    meant.text, meant.edited = payloads.clean(text), True
                    core.put_line(one, meant, new=False)
            case Delete(target):
                if (meant := self._own_of_sender(one, message, target)) is not None:
                    meant.text, meant.deleted = "", True
                    core.put_line(one, meant, new=False)
            case _:
                pass  # reactions are not shown here

    @staticmethod
    def _own_of_sender(one: Conversation, message: Message, target: Target) -> Line | None:
        """The text that an edit or a delete means; only its author's counts."""
        line = one.line_of(target.device, target.client_seq)
        if line is None or line.user != message.user or line.kind is not LineKind.TEXT or line.deleted:
            return None
        return line

    def _about(self, one: Conversation, about: About) -> None:
        core = self._core
        for name in about.names:
            core.learn_name(user_of(name), name)
        if about.title and not one.direct and (title := payloads.clean(about.title)) != one.title:
            one.title = title
            core.state.put_conversation(one)
            core.updates.append(ConversationChanged(one.conv))

    def _line(self, one: Conversation, message: Message) -> Line:
        """The line that stands for this message until now, or a new one."""
        line = one.at(message.seq)
        if line is None or line.kind is not LineKind.SEALED:
            line = Line(row=self._core.state.next_row(), conv=message.conv, seq=message.seq)
        line.kind, line.user, line.device = LineKind.TEXT, message.user, message.device
        line.client_seq = message.client_seq
        return line

    # What cannot be read.

    def _dark_line(self, one: Conversation, message: Message, *, ask: bool) -> None:
        core, place = self._core, (message.conv, (message.user, message.device))
        if one.conv in core.earlier:
            self._earlier(one, message)
            return
        line = self._line(one, message)
        line.kind, line.at_ms, line.text = LineKind.SEALED, core.wall_ms(), WAITING if ask else UNREADABLE
        core.put_line(one, line, new=True)
        if ask:
            core.state.put_sealed(message, asked=True)
            self._dark.setdefault(place, []).append(message)
            self._unasked.setdefault(place, []).append(message)
            core.want(KeysOf(message.user))

    def _earlier(self, one: Conversation, message: Message) -> None:
        """Written before this device was there: said once in a conversation, and nobody is asked."""
        core = self._core
        if not any(line.kind is LineKind.EARLIER for line in one.lines):
            row = core.state.next_row()
            line = Line(row=row, conv=one.conv, kind=LineKind.EARLIER, seq=message.seq, at_ms=core.wall_ms())
            line.text = EARLIER
            core.put_line(one, line, new=True)

    def _ask(self, place: tuple[int, Address]) -> None:
        conv, sender = place
        messages = self._unasked.pop(place)
        bodies = [message.body for message in messages[-MAX_ASKED:]]
        with contextlib.suppress(NeedKeys, Changed, CannotSeal):  # the lines go on to say that they cannot be read
            self._outbound.control(conv, [self._core.cipher.ask(conv, sender, bodies)])

    def _open_dark(self, one: Conversation, sender: Address) -> None:
        for message in self._dark.pop((one.conv, sender), []):
            try:
                opened = self._core.cipher.open(one.conv, sender, message.body)
            except (NeedKeys, Changed, CannotRead):
                self._dark.setdefault((one.conv, sender), []).append(message)
            else:
                self._core.state.drop_sealed(message)
                line = one.at(message.seq)
                self._take(one, message, opened)
                if line is not None and line.kind is LineKind.SEALED:  # it was no text
                    one.lines.remove(line)
                    self._core.state.drop_line(line)
                    self._core.updates.append(ConversationChanged(one.conv))

    def _answer(self, one: Conversation, asker: Address, refs: tuple[int, ...]) -> None:
        """Send a device the keys of what it could not read, where its user may see it."""
        first = one.members.get(asker[0], 0) if asker[0] != self._core.me else 1
        seqs = self._core.state.seqs_of(one.conv, refs)
        allowed = [ref for ref in refs if first and seqs.get(ref, 0) >= first]
        if allowed:
            with contextlib.suppress(NeedKeys, Changed, CannotSeal):  # it will ask again
                self._outbound.control(one.conv, self._core.cipher.answer(one.conv, asker, allowed))
