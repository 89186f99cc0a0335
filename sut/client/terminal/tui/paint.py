"""The look of conversations and lines, as styled text. Pure functions of the model and the time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from rich.style import Style
from rich.text import Text

from sut.client.core import Core
from sut.client.model import Conversation, Delivery, Line, LineKind
from sut.client.names import DEVICE
from sut.client.service.link import Status

SHOWN: Final = 300
"""The number of lines of a conversation on the screen."""
SIDE_WIDTH: Final = 24
_NAME_COLOURS: Final = ("bright_blue", "bright_magenta", "bright_yellow", "bright_cyan", "bright_red", "orange3")
_TICKS: Final = {
    Delivery.WAITING: (" …", Style(dim=True)),
    Delivery.SENT: (" ✓", Style(dim=True)),
    Delivery.DELIVERED: (" ✓✓", Style(dim=True)),
    Delivery.READ: (" ✓✓", Style(color="bright_cyan", bold=True)),
    Delivery.FAILED: (" ✗", Style(color="bright_red", bold=True)),
}
EMPTY: Final = "Nobody yet. /new NAME begins a conversation, /group TITLE NAME... a group, /help lists the rest."


def colour(user: int) -> str:
    """Return the user's colour, which is always the same."""
    digest = hashlib.blake2b(user.to_bytes(8, "big"), digest_size=2).digest()
    return _NAME_COLOURS[int.from_bytes(digest, "big") % len(_NAME_COLOURS)]


def lines(core: Core, one: Conversation, clock: Callable[[float], time.struct_time] = time.localtime) -> Text:
    """Return the newest lines of a conversation, one below the other."""
    text, day = Text(), ""
    for line in one.lines[-SHOWN:]:
        at = clock(line.at_ms / 1000)
        if (today := time.strftime("%a %d %b %Y", at)) != day:
            day = today
            text.append(f"── {day} ──\n", Style(dim=True))
        text.append_text(_line(core, one, line, time.strftime("%H:%M", at)))
        text.append("\n")
    text.rstrip()
    return text


def _line(core: Core, one: Conversation, line: Line, at: str) -> Text:
    text = Text().append(f"{at} ", Style(dim=True))
    if line.kind is LineKind.EARLIER or not line.user:
        return text.append(f"— {line.text}", Style(dim=True, italic=True))
    name = core.called(line.user)
    if line.kind is LineKind.NOTICE:
        return text.append(f"— {name} {line.text}", Style(dim=True, italic=True))
    mine = line.user == core.me
    text.append(name, Style(color="bright_green" if mine else colour(line.user), bold=True))
    text.append("  ")
    if line.kind is LineKind.SEALED:
        return text.append(f"sent {line.text}", Style(dim=True, italic=True))
    if line.deleted:
        text.append("deleted", Style(dim=True, italic=True))
    else:
        text.append(line.text)
    if line.edited and not line.deleted:
        text.append(" (edited)", Style(dim=True))
    if mine and not line.deleted:
        text.append(*_TICKS[one.delivery(line, core.me)])
    if line.failed:
        text.append(f" not sent: {line.failed}", Style(color="bright_red"))
    return text


def entry(core: Core, one: Conversation) -> Text:
    """Return the entry of a conversation in the list at the side."""
    unread = one.unread(core.me)
    count = f" {min(unread, 999)}" if unread else ""
    text = Text(no_wrap=True)
    if one.direct:
        presence = core.presence.get(one.peer)
        online = presence is not None and presence.online
        text.append("● " if online else "○ ", Style(color="bright_green") if online else Style(dim=True))
    else:
        text.append("# ", Style(dim=True))
    title = Text(core.title(one), Style(bold=bool(unread), dim=one.left), no_wrap=True)
    title.truncate(SIDE_WIDTH - 2 - len(count), overflow="ellipsis", pad=True)
    text.append_text(title)
    text.append(count, Style(color="bright_yellow", bold=True))
    return text


def title(core: Core, one: Conversation | None) -> Text:
    """Return the line above the messages."""
    if one is None:
        return Text("petrel chat")
    text = Text(core.title(one), no_wrap=True, overflow="ellipsis")
    text.append("   ")
    if one.left:
        text.append("you are not a member any more", Style(dim=True))
    elif one.direct:
        text.append(_presence(core, one.peer), Style(dim=True, bold=False))
    else:
        names = ["you", *sorted(core.called(user) for user in one.members if user != core.me)]
        text.append(f"{len(one.members)} members: {', '.join(names)}", Style(dim=True, bold=False))
    return text


def _presence(core: Core, user: int) -> str:
    presence = core.presence.get(user)
    if presence is None:
        return ""
    if presence.online:
        return "online"
    if not presence.last_seen_ms:
        return "away"
    return time.strftime("last seen %d %b %H:%M", time.localtime(presence.last_seen_ms / 1000))


def typing(core: Core, one: Conversation | None) -> str:
    """Return the notice that says who is typing; empty if nobody is."""
    typists = [core.called(user) for user in one.typists(core.clock())] if one is not None else []
    if not typists:
        return ""
    return f"{', '.join(typists[:3])} {'is' if len(typists) == 1 else 'are'} typing…"


def status(core: Core, connection: Status, waiting: int) -> Text:
    """Return the status line at the bottom of the screen."""
    text = Text(no_wrap=True, overflow="ellipsis")
    match connection.state:
        case "online":
            text.append("● ", Style(color="bright_green"))
            text.append(f"connected to {connection.gateway}")
        case "waiting":
            left_s = max(0.0, connection.until - core.clock())
            text.append("● ", Style(color="bright_yellow"))
            text.append(f"reconnecting in {left_s:.0f} s: {connection.reason}")
        case "stopped":
            text.append("● ", Style(color="bright_red"))
            text.append(f"stopped: {connection.reason}")
        case state:
            text.append("● ", Style(color="bright_yellow"))
            text.append(f"{state} {connection.gateway}".rstrip() + "…")
    called = core.name if core.device_name == DEVICE else f"{core.name} on {core.device_name}"
    if waiting:
        text.append(f"  ·  {waiting} to send", Style(color="bright_yellow"))
    text.append(f"  ·  {called}, end-to-end encrypted", Style(dim=True))
    return text
