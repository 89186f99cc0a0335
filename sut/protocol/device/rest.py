"""A client at rest: everything that it knows, in some hundred bytes.

A client that waits for nothing but its next heartbeat differs from a new one in few values: its cursors, the last
numbers of its own messages, some times. `rest` returns these differences, and `wake` applies them to a new client,
which then behaves as the first one would have. So a process can hold many devices, of which few are active.

Only plain data rests. A client that holds anything else has something under way: a message in its outbox, a gap, a
message that waits for another. A new field of a part rests by itself, or keeps its client awake if it is not plain.
"""

from __future__ import annotations

import marshal
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sut.protocol.causal import Causality, Dependency
from sut.protocol.device.client import Client
from sut.protocol.device.context import Context
from sut.protocol.device.dependencies import Shown
from sut.protocol.device.events import ClientSettings
from sut.protocol.device.fetch import Fetches
from sut.protocol.device.gate import Gate
from sut.protocol.device.inbox import Inbox
from sut.protocol.device.liveness import Liveness
from sut.protocol.device.outbox import Outbox
from sut.protocol.device.reconnect import Reconnect
from sut.protocol.device.retry import Retry
from sut.protocol.device.signals import Signals
from sut.protocol.device.sync import Syncs
from sut.protocol.frames import Message

_PARTS: Final = (
    Context, Inbox, Syncs, Gate, Shown, Liveness, Reconnect, Outbox, Fetches, Signals, Retry,
)  # fmt: skip
_OPTIONAL: Final = {"_outbox": Client._made_outbox, "_fetches": Client._made_fetches, "_signals": Client._made_signals}
"""Parts that a client makes when it first needs them."""
_PLAIN: Final = (bool, int, float, str, bytes, tuple)
_CONTAINERS: Final = (dict, list, set, deque, OrderedDict)
_EXISTS: Final = 255
_VERSION: Final = 2
"""Of marshal: the last one without a table of references, which costs time and saves nothing here."""


class _Field(NamedTuple):
    number: int
    name: str
    default: Any
    container: bool


class _Part(NamedTuple):
    number: int
    path: tuple[str, ...]
    """The attributes that lead from the client to the part."""
    fields: tuple[_Field, ...]
    read: Callable[[Any], tuple[Any, ...]]
    """Returns the values of the fields."""
    new: tuple[Any, ...]
    """Their values in a new client."""


class _Alone(Causality):
    """The causality of the client that the others are compared with."""

    def named_by(self, message: Message) -> tuple[Dependency, ...]:
        return ()

    def shared(self, conv: int, other: int) -> bool:
        return False

    def grows(self, conv: int) -> bool:
        return False

    def may_be_in(self, user: int, conv: int) -> bool:
        return False

    def member_of(self, conv: int) -> bool:
        return False


def rest(client: Client) -> bytes | None:
    """Return what `wake` needs; None while the client has something under way, or was not drained."""
    context = client._context
    if context.frames or context.events or client._histories is not None or not client.idle():
        return None
    places, values = bytearray(), []
    for part in _plan_of(client):
        its = _find(client, part.path)
        if its is None:
            continue
        if part.path and part.path[-1] in _OPTIONAL:
            places += bytes((part.number, _EXISTS))
        found = part.read(its)
        if found == part.new:
            continue
        for value, default, field in zip(found, part.new, part.fields, strict=False):
            if value is not default and value != default:
                places.append(part.number)
                places.append(field.number)
                values.append(_flat(value) if field.container else value)
    try:
        return marshal.dumps((bytes(places), values), _VERSION)
    except ValueError:  # no plain data
        return None


def wake(client: Client, rested: bytes) -> None:
    """Bring a new client, made with the same arguments, to where the one was that rested."""
    parts = _plan_of(client)
    places, values = marshal.loads(rested)  # noqa: S302 (this process wrote it)
    place, value_of = iter(places), iter(values)
    last, its = -1, None
    for number, field in zip(place, place, strict=True):
        part = parts[number]
        if field == _EXISTS:
            _OPTIONAL[part.path[-1]](client)
            continue
        if number != last:
            last, its = number, _find(client, part.path)
        value = next(value_of)
        _, name, _, container = part.fields[field]
        if not container:
            setattr(its, name, value)
        else:
            _fill(getattr(its, name), value)


def _find(client: Client, path: tuple[str, ...]) -> Any:
    its: Any = client
    for name in path:
        its = getattr(its, name)
        if its is None:
            return None
    return its


def _flat(value: Any) -> Any:
    """Return a container as one of marshal's own types."""
    if isinstance(value, OrderedDict):
        return list(value.items())
    return list(value) if isinstance(value, deque) else value


def _fill(container: Any, value: Any) -> None:
    """Fill a new client's container in place: other parts may refer to it."""
    if isinstance(container, dict | set):
        container.update(value)
    else:
        container.extend(value)


_latest: list[tuple[ClientSettings, bool, tuple[_Part, ...]]] = []


def _plan_of(client: Client) -> tuple[_Part, ...]:
    """Return `_plan` for this client. The clients of a process share their settings, whose hash takes long."""
    settings, gated = client._context.settings, client._gate is not None
    if not _latest or _latest[0][0] is not settings or _latest[0][1] is not gated:
        _latest[:] = [(settings, gated, _plan(settings, gated))]
    return _latest[0][2]


@cache
def _plan(settings: ClientSettings, gated: bool) -> tuple[_Part, ...]:
    """Return the parts of a client and their fields, with the values that a new client has. Parts come before what they
    hold, so that a part is made before it is filled.
    """
    new = Client(user=0, device=0, rng=random.Random(0), settings=settings, causality=_Alone() if gated else None)
    for make in _OPTIONAL.values():
        make(new)
    found: list[_Part] = []
    seen: set[int] = set()

    def visit(its: Any, path: tuple[str, ...]) -> None:
        seen.add(id(its))
        names = [name for kind in type(its).__mro__ for name in getattr(kind, "__slots__", ())]
        fields: list[_Field] = []
        inner: list[tuple[Any, str]] = []
        for name in sorted(names):
            value = getattr(its, name)
            container = isinstance(value, _CONTAINERS)
            if isinstance(value, _PARTS):
                inner.append((value, name))
            elif isinstance(value, _PLAIN) or (container and id(value) not in seen):
                if container:
                    seen.add(id(value))
                fields.append(_Field(len(fields), name, value, container))
        read = attrgetter(*(field.name for field in fields), "__class__")  # two names at least, for a tuple
        found.append(_Part(len(found), path, tuple(fields), read, read(its)))
        # Parts that every client has come first: a container that several share rests with one of those.
        for value, name in sorted(inner, key=lambda one: one[1] in _OPTIONAL):
            if id(value) not in seen:
                visit(value, (*path, name))

    visit(new, ())
    return tuple(found)
