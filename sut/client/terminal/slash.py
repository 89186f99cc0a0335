"""The meaning of a typed line: a message, or a command that starts with a slash. Both user interfaces share it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final, NamedTuple

from sut.client.actions import Actions
from sut.client.core import Core
from sut.client.errors import UserMistake
from sut.client.model import Conversation


class _Command(NamedTuple):
    usage: str
    summary: str
    least: int
    most: int


COMMANDS: Final = {
    "new": _Command("/new NAME", "a conversation with somebody", 1, 1),
    "group": _Command("/group TITLE NAME...", "a new group; quote a title of several words", 2, 500),
    "open": _Command("/open NAME", "open a conversation, by name or title", 1, 1),
    "add": _Command("/add NAME", "add somebody to this group", 1, 1),
    "remove": _Command("/remove NAME", "remove somebody from this group", 1, 1),
    "leave": _Command("/leave", "leave this group", 0, 0),
    "groups": _Command("/groups [anybody|nobody]", "who may add you to groups", 0, 1),
    "edit": _Command("/edit TEXT", "change your last message here", 1, 1),
    "delete": _Command("/delete", "delete your last message here", 0, 0),
    "safety": _Command("/safety [NAME]", "the number to compare with somebody", 0, 1),
    "accept": _Command("/accept NAME", "accept somebody's changed keys", 1, 1),
    "devices": _Command("/devices", "your own devices", 0, 0),
    "link": _Command("/link NAME CODE", "add a device of yours, by the code that it shows", 2, 20),
    "unlink": _Command("/unlink NAME", "remove one of your devices", 1, 1),
    "anew": _Command("/anew", "start over on this device: you have lost all others", 0, 0),
    "who": _Command("/who", "who is in this conversation", 0, 0),
    "help": _Command("/help", "these commands", 0, 0),
    "quit": _Command("/quit", "end the program; everything is kept", 0, 0),
}
HELP: Final = "\n".join(f"{command.usage:<22} {command.summary}" for command in COMMANDS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one typed line."""

    conv: int
    """The conversation that is in front afterwards; 0 for none."""
    said: str = ""
    quit: bool = False


async def do(actions: Actions, core: Core, conv: int, typed: str) -> Result:
    """Execute a typed line in conversation `conv` (0: none is in front). Raises UserMistake."""
    text = typed.strip()
    if not text:
        return Result(conv=conv)
    if not text.startswith("/") or text.startswith("//"):
        await actions.send(conv, text.removeprefix("/") if text.startswith("//") else text)
        return Result(conv=conv)
    word, _, rest = text[1:].partition(" ")
    command = COMMANDS.get(word.lower())
    if command is None:
        raise UserMistake(f"there is no /{word[:20]}; /help lists what there is")
    words = _words(rest) if command.most != 1 else [rest.strip()] * bool(rest.strip())
    if not command.least <= len(words) <= command.most:
        raise UserMistake(f"usage: {command.usage}")
    return await _do(actions, core, conv, word.lower(), words)


async def _do(actions: Actions, core: Core, conv: int, word: str, words: list[str]) -> Result:
    said = ""
    match word:
        case "new":
            return Result(conv=await actions.begin(words[0]))
        case "group":
            return Result(conv=await actions.group(words[0], words[1:]))
        case "open":
            found = actions.find(words[0])
            if not found:
                raise UserMistake(f"no conversation {words[0][:40]!r} here; /new NAME begins one")
            return Result(conv=found)
        case "add":
            await actions.add(conv, words[0])
        case "remove":
            await actions.remove(conv, words[0])
        case "leave":
            await actions.leave(conv)
        case "groups":
            said = await actions.added_by(words[0] if words else "")
        case "edit":
            await actions.edit(conv, words[0])
        case "delete":
            await actions.delete(conv)
        case "safety":
            said = await actions.safety(conv, words[0] if words else "")
        case "accept":
            said = await actions.accept(words[0])
        case "devices":
            said = await actions.devices.listing()
        case "link":
            said = await actions.devices.link(words[0], "".join(words[1:]))
        case "unlink":
            said = await actions.devices.unlink(words[0])
        case "anew":
            said = await actions.devices.anew()
        case "who":
            said = who(core, core.conversations.get(conv))
        case "help":
            said = HELP
        case "quit":
            return Result(conv=conv, quit=True)
    return Result(conv=conv, said=said)


def who(core: Core, one: Conversation | None) -> str:
    """Return the names of the members with their presence, one per line. Raises UserMistake if there is no
    conversation.
    """
    if one is None:
        raise UserMistake("choose a conversation first")
    lines = []
    for user in sorted(one.members, key=core.called):
        presence = core.presence.get(user)
        state = "you" if user == core.me else "" if presence is None else "online" if presence.online else "away"
        lines.append(f"{core.called(user)}  {state}".rstrip())
    return "\n".join(lines) or "nobody"


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserMistake(f"a quote is not closed: {error}") from None
