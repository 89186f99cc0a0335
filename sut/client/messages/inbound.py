"""From a received message to a line on the screen: decryption, names, edits, and the handling of unreadable messages.

The messages of a conversation are decrypted in order, once its members are known. An unreadable message gets a sealed
line and does not delay other senders. It waits for its sender's keys, or its sender is asked for it. The line becomes
the message when they arrive, in this run of the program or a later one. Later messages of the same device wait behind a
message that waits for keys.
"""

from __future__ import annotations

import contextlib

from sut.client.core import CHANGED, ConversationChanged, Core, KeysOf, LineChanged
from sut.client.device.state import Unread
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
"""The number of messages in one request to a sender."""
MAX_WAITING = 1_000
"""The number of messages of one sender in one conversation that may wait for keys. The oldest ones beyond it are
dropped.
"""
UNREADABLE = "a message that cannot be read on this device"
EARLIER = "what was written before this device was added can be read on your other devices"
WAITING = "a message that cannot be read yet; its sender was asked"
KEYLESS = "a message that cannot be read yet; the keys of its sender are not here"
INCOMPLETE = "something before this is missing"
"""Stands before a message that is shown without another one which its sender had read."""
OUTRUN = "a message that this device wrote before it was put back to an older copy"
UNACCEPTED = "a message that cannot be read yet; the keys of its sender have changed"

_Place = tuple[int, Address]
"""A sender in a conversation: (conversation, (user, device))."""


class Inbound:
    """The received messages that are not shown yet, and the reasons for it."""

    def __init__(self, core: Core, outbound: Outbound) -> None:
        self._core = core
        self._outbound = outbound
        self.reading = Reading((core.me, core.device), core.cipher, core.state)
        self._unplaced: dict[int, list[Message]] = {}
        """Conversation -> messages that wait until its members are known, in order."""
        self._keyless: dict[_Place, list[Message]] = {}
        """The messages that wait for the keys of their sender, in order. Each has a sealed line."""
        self._unknown_own = range(0)
        self._quiet: dict[int, list[Line]] = {}
        """Conversation -> sealed lines that were not announced: the keys usually arrive at once."""
        self._dark: dict[_Place, list[Message]] = {}
        """The unreadable messages for which the sender will be or was asked."""
        self._unasked: dict[_Place, list[Message]] = {}
        self._rest: dict[_Place, list[Message]] = {}
        """The messages to ask for once the sender has answered the earlier request."""
        self._asked_anew: set[_Place] = set()
        for message, why in core.state.sealed():
            if why is Unread.WAITS:
                self._unplaced.setdefault(message.conv, []).append(message)
                continue
            self._dark.setdefault(_place(message), []).append(message)
            if why is Unread.TO_ASK:
                self._unasked.setdefault(_place(message), []).append(message)

    def resume(self) -> None:
        """Try again to read and show what is waiting: after a restart, or when a conversation has become known."""
        for conv in list(self._unplaced):
            one = self._core.conversation(conv)
            if one.known:
                for message in self._unplaced.pop(conv):
                    self._open_again(one, message)
        for _conv, sender in self._unasked:
            self._core.want(KeysOf(sender[0]))
        self._core.state.put("cipher", self._core.cipher.state())

    def shown(self, message: Message, *, incomplete: bool = False) -> None:
        """Handle a message whose turn has come, as decided by the machine. `incomplete`: say first that it is."""
        one = self._core.conversation(message.conv)
        if incomplete:
            row, at_ms = self._core.state.next_row(), self._core.wall_ms()
            notice = Line(row=row, conv=one.conv, kind=LineKind.NOTICE, seq=message.seq, at_ms=at_ms, text=INCOMPLETE)
            self._core.put_line(one, notice, new=True)
        if message.device == self._core.device and message.user == self._core.me:
            self._core.in_use(message.conv)
            if message.client_seq in self._unknown_own and self._core.line_of(one, *message[4:6]) is None:
                self._seal(one, message, OUTRUN)
            return  # otherwise its line exists, and the ACK numbered it
        if message.conv in self._unplaced or not one.known:
            self._unplaced.setdefault(message.conv, []).append(message)
            self._core.state.put_sealed(message, Unread.WAITS)
        else:
            self._open(one, message)
        self._core.state.put("cipher", self._core.cipher.state())

    def rewind(self, conv: int, head: int) -> None:
        """Forget the unreadable messages above `head`: the service has lost them."""
        for waiting in (self._keyless, self._dark, self._unasked, self._rest):
            for place in [place for place in waiting if place[0] == conv]:
                waiting[place] = [message for message in waiting[place] if message.seq <= head]
                if not waiting[place]:
                    del waiting[place]
        if conv in self._unplaced:
            self._unplaced[conv] = [message for message in self._unplaced[conv] if message.seq <= head]

    def outrun(self, first: int, last: int) -> None:
        """Note that a run of the program unknown to this state used these client_seqs."""
        self._unknown_own = range(min(first, self._unknown_own.start or first), last + 1)

    def keys_came(self, user: int) -> None:
        """Read what was waiting for this user's keys, which were fetched or accepted.

        A device that is not on their list now is not waited for any more.
        """
        for place in [place for place in self._keyless if place[1][0] == user]:
            one = self._core.conversation(place[0])
            messages = self._keyless.pop(place)
            untold = self._withhold(place, messages)
            for message in messages:
                self._open_again(one, message, fresh=user)
            waiting = {message.seq for message in self._keyless.get(place, ())}
            self._quiet.setdefault(one.conv, []).extend(line for line in untold if line.seq in waiting)
        for place in [place for place in self._unasked if place[1][0] == user]:
            self._ask(place)
        self._core.state.put("cipher", self._core.cipher.state())

    def _withhold(self, place: _Place, messages: list[Message]) -> list[Line]:
        """Return the unannounced lines of these messages, which nothing announces from now on: they may open."""
        seqs = {message.seq for message in messages}
        lines = self._quiet.pop(place[0], [])
        self._quiet[place[0]] = [line for line in lines if line.seq not in seqs]
        return [line for line in lines if line.seq in seqs]

    def keys_stay_away(self, user: int) -> None:
        """Announce the lines that wait for this user's keys: they were fetched, and did not arrive."""
        for conv in [conv for conv, sender in self._keyless if sender[0] == user]:
            self._tell_quiet(conv)

    def _tell_quiet(self, conv: int) -> None:
        for line in self._quiet.pop(conv, ()):
            if line.kind is LineKind.SEALED:
                self._core.updates.append(LineChanged(line, new=True))

    def waits_for(self, user: int) -> bool:
        """Return True if a message cannot be read because this user's keys are missing."""
        if any(place[1][0] == user for places in (self._keyless, self._unasked) for place in places):
            return True
        return any(message.user == user for messages in self._unplaced.values() for message in messages)

    def _open_again(self, one: Conversation, message: Message, *, fresh: int = 0) -> None:
        self._core.state.drop_sealed(message)
        self._open(one, message, fresh)

    def _open(self, one: Conversation, message: Message, fresh: int = 0) -> None:
        """Decrypt a message and handle it. `fresh`: the user whose keys have just been fetched."""
        core, place = self._core, _place(message)
        if place in self._keyless:  # it must wait too: a device's messages stay in order
            self._wait(one, message, KEYLESS)
            return
        try:
            opened = self.reading.take(message)
        except NeedKeys as need:
            if fresh in need.users:
                self._seal(one, message, UNREADABLE)
                return
            self._wait(one, message, KEYLESS)
            for user in need.users:
                core.want(KeysOf(user))
        except Changed as changed:
            self._wait(one, message, UNACCEPTED)
            self._tell_quiet(one.conv)
            core.say(CHANGED.format(name=core.called(changed.user)))
        except CannotRead as problem:
            was_read = problem.ask and core.state.was_read(message.conv, message.device, problem.ref)
            self._dark_line(one, message, ask=problem.ask and not was_read, shows=problem.shows)
        else:
            self._take(one, message, opened)

    def _wait(self, one: Conversation, message: Message, text: str) -> None:
        """Keep the message until its sender's keys arrive, with a line that says so. Other senders are not delayed."""
        waiting = self._keyless.setdefault(_place(message), [])
        waiting.append(message)
        self._core.state.put_sealed(message, Unread.WAITS)
        line = self._line(one, message)
        if (line.kind, line.text) != (LineKind.SEALED, text):
            line.kind, line.at_ms, line.text = LineKind.SEALED, self._core.wall_ms(), text
            one.put(line)
            self._core.state.put_line(line)
            self._quiet.setdefault(one.conv, []).append(line)
        if len(waiting) > MAX_WAITING:
            given_up = waiting.pop(0)
            self._core.state.drop_sealed(given_up)
            self._seal(one, given_up, UNREADABLE)

    def _take(self, one: Conversation, message: Message, opened: Opened) -> None:
        core = self._core
        core.state.note_read(message.conv, message.device, opened.ref)
        if opened.plaintext is not None:
            core.in_use(one.conv)
            payload = payloads.decode(opened.plaintext)
            if payload is not None:
                self._devices(message.user, payload.devices)
                self._payload(one, message, payload)
        line = core.line_at(one, message.seq)
        if line is not None and line.kind is LineKind.SEALED:  # it waited, and has no text to show
            core.drop_line(one, line)
        if opened.asked:
            self._answer(one, (message.user, message.device), opened.asked)
            self._ask_anew(_place(message))
        if opened.unlocked:
            self._open_dark(one, (message.user, message.device))

    def _devices(self, user: int, version: int) -> None:
        """Fetch this user's keys if they announce a device list that is newer than the known one."""
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
            return  # a later version, or garbage: not shown
        match content:
            case Text(text):
                self._tell_quiet(one.conv)
                line = self._line(one, message)
                line.text, line.at_ms = payloads.clean(text), payload.sent_ms
                there, changed = core.state.amend(one.conv, message.user, message.device, message.client_seq)
                if there:  # edited or deleted before it could be read
                    _amend(line, changed)
                core.put_line(one, line, new=True)
            case Edit(target, text):
                self._change(one, message, target, payloads.clean(text))
            case Delete(target):
                self._change(one, message, target, None)
            case _:
                pass  # reactions are not shown here

    def _change(self, one: Conversation, message: Message, target: Target, text: str | None) -> None:
        """Apply an edit, or a deletion (None), of the author. If the line cannot be read yet, the change is applied
        later.
        """
        core = self._core
        line = core.line_of(one, target.device, target.client_seq)
        if line is None or (line.kind is LineKind.SEALED and line.user == message.user):
            core.state.put_amend(one.conv, message.user, target.device, target.client_seq, text)
        elif line.user == message.user and line.kind is LineKind.TEXT and not line.deleted:
            _amend(line, text)
            core.put_line(one, line, new=False)

    def _about(self, one: Conversation, about: About) -> None:
        core = self._core
        for name in about.names:
            core.learn_name(user_of(name), name)
        if about.title and not one.direct and (title := payloads.clean(about.title)) != one.title:
            one.title = title
            core.state.put_conversation(one)
            core.updates.append(ConversationChanged(one.conv))

    def _line(self, one: Conversation, message: Message) -> Line:
        """Return the sealed line of this message to be filled, or a new line."""
        line = self._core.line_at(one, message.seq)
        if line is None or line.kind is not LineKind.SEALED:
            line = Line(row=self._core.state.next_row(), conv=message.conv, seq=message.seq)
        line.kind, line.user, line.device = LineKind.TEXT, message.user, message.device
        line.client_seq = message.client_seq
        return line

    # Unreadable messages.

    def _seal(self, one: Conversation, message: Message, text: str) -> None:
        """Give the message a sealed line with this text."""
        line = self._line(one, message)
        if (line.kind, line.text) != (LineKind.SEALED, text):
            line.kind, line.at_ms, line.text = LineKind.SEALED, self._core.wall_ms(), text
            self._core.put_line(one, line, new=True)

    def _dark_line(self, one: Conversation, message: Message, *, ask: bool, shows: bool) -> None:
        """Handle an unreadable message: its line says whether the sender is asked. Without a text it has no line."""
        core, place = self._core, _place(message)
        if one.conv in core.earlier:
            self._earlier(one, message)
            return
        if shows:
            self._seal(one, message, WAITING if ask else UNREADABLE)
        if ask:
            core.state.put_sealed(message, Unread.TO_ASK)
            self._dark.setdefault(place, []).append(message)
            self._unasked.setdefault(place, []).append(message)
            core.want(KeysOf(message.user))

    def _earlier(self, one: Conversation, message: Message) -> None:
        """Add one line per conversation for the messages older than this device. No sender is asked for them."""
        core = self._core
        if not any(line.kind is LineKind.EARLIER for line in one.lines):
            row = core.state.next_row()
            line = Line(row=row, conv=one.conv, kind=LineKind.EARLIER, seq=message.seq, at_ms=core.wall_ms())
            line.text = EARLIER
            core.put_line(one, line, new=True)

    def _ask(self, place: _Place) -> None:
        """Ask a device for the oldest unreadable messages of it. The rest is asked for after its answer."""
        conv, sender = place
        messages = self._unasked.pop(place)
        asked, rest = messages[:MAX_ASKED], messages[MAX_ASKED:]
        try:
            control = self._core.cipher.ask(conv, sender, [message.body for message in asked])
        except (NeedKeys, Changed, CannotSeal):
            return  # the lines stay sealed; the next run asks again
        self._outbound.control(conv, [control])
        one = self._core.conversation(conv)
        for message in asked:
            if self._core.line_at(one, message.seq) is None:
                self._forget(place, message)
            else:
                self._core.state.put_sealed(message, Unread.ASKED)
        if rest:
            self._rest.setdefault(place, []).extend(rest)

    def _forget(self, place: _Place, message: Message) -> None:
        """Forget an unreadable message without a text: the request told its sender that a new session is needed."""
        self._core.state.drop_sealed(message)
        self._dark[place] = [other for other in self._dark[place] if other is not message]

    def _ask_anew(self, place: _Place) -> None:
        """Ask a device again that asks for messages itself: it has a new session, and may not have read the request.

        Once in a run, so that two devices that cannot help each other come to an end.
        """
        waiting = [message for message in self._dark.get(place, ()) if message not in self._unasked.get(place, ())]
        if waiting and place not in self._asked_anew:
            self._asked_anew.add(place)
            self._unasked.setdefault(place, []).extend(waiting)
            self._rest.pop(place, None)
            self._core.want(KeysOf(place[1][0]))

    def _open_dark(self, one: Conversation, sender: Address) -> None:
        place = one.conv, sender
        for message in self._dark.pop(place, []):
            try:
                opened = self._core.cipher.open(one.conv, sender, message.body)
            except (NeedKeys, Changed, CannotRead):
                self._dark.setdefault(place, []).append(message)
            else:
                self._core.state.drop_sealed(message)
                self._take(one, message, opened)
        if place in self._rest:
            self._unasked.setdefault(place, []).extend(self._rest.pop(place))
            self._core.want(KeysOf(sender[0]))

    def _answer(self, one: Conversation, asker: Address, refs: tuple[int, ...]) -> None:
        """Send a device the keys of the messages that it could not read, as far as its user may see them."""
        first = one.members.get(asker[0], 0) if asker[0] != self._core.me else 1
        seqs = self._core.state.seqs_of(one.conv, refs)
        allowed = [ref for ref in refs if first and seqs.get(ref, 0) >= first]
        if allowed:
            with contextlib.suppress(NeedKeys, Changed, CannotSeal):  # it will ask again
                self._outbound.control(one.conv, self._core.cipher.answer(one.conv, asker, allowed))


def _amend(line: Line, text: str | None) -> None:
    """Change the line to the author's new text; None: the author deleted it."""
    line.text = text or ""
    line.edited, line.deleted = line.edited or text is not None, text is None


def _place(message: Message) -> _Place:
    return message.conv, (message.user, message.device)
