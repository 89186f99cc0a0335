"""Reads a YAML file into a strict msgspec type. Each mistake gives one line that names the file and the line.

The reading is bounded: in bytes, in nodes (an alias counts as all its nodes) and in depth. Plain values are those of
YAML 1.2's core schema: 0100 is one hundred. A plain value that only YAML 1.1 does not read as text (1:30, 2024-01-01,
yes) is an error, because its writer may have meant either. Tags and merge keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from chaos.errors import UsageError
from load import sentences

T = TypeVar("T")
Place = tuple[str | int, ...]
"""Keys and indexes from the document down to a value."""
MAX_BYTES: Final = 1 << 20
MAX_NODES: Final = 50_000
MAX_DEPTH: Final = 32
MAX_TOLD: Final = 1000
"""Maximum number of characters of a mistake in a message."""

_TEXT: Final = "tag:yaml.org,2002:str"
_YAML_1_1: Final = yaml.resolver.Resolver()
_CORE: Final = {
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    "float": re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
}
"""YAML 1.2, section 10.3.2."""
_YAML_1_1_BREAKS: Final = "\x85\u2028\u2029"
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


class Mistake(ValueError):
    """A value that cannot be used, with its place relative to the checked value, as keys and indexes."""

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place


class _Wrong(Exception):
    """A syntax error or exceeded limit of the YAML text, with its line."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(slots=True)
class _Node:
    """A value of the document. In an open mapping, `key` is the key whose value comes next."""

    line: int
    value: Any
    below: dict[str | int, _Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)
    nodes: int = 1
    depth: int = 1
    anchor: str | None = None
    key: str | None = None


def read(path: Path, type_: type[T], *, check: Callable[[T], None] = lambda _value: None) -> T:
    """Return the file as a `type_`.

    Raises UsageError if it is unreadable, too large, not YAML, has a duplicate key or another type. `check` may reject
    the value: it raises Mistake.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: {'is no file' if path.exists() else 'No such file or directory'}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES:,} bytes")
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return parse(text, type_, source=str(path), check=check)


def parse(text: str, type_: type[T], *, source: str, check: Callable[[T], None] = lambda _value: None) -> T:
    """Return the text as a `type_`; errors call it `source`. Raises UsageError."""
    try:
        document = _compose(text)
    except _Wrong as error:
        raise UsageError(f"{source}:{error.line}: {str(error)[:MAX_TOLD]}") from None
    try:
        value = msgspec.convert(document.value, type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        place = _exactly(document, path.rstrip("`"), type_, str(error))
        place += getattr(error.__cause__, "place", ())
        line, known = _line(document, place, message), _known(type_, place, message)
    else:
        try:
            check(value)
        except Mistake as error:
            message, place, known = str(error), error.place, ()
            line = _line(document, place, "")
        else:
            return value
    text = sentences.told(message, _told(place), known=known)
    raise UsageError(f"{source}:{line}: {text[:MAX_TOLD]}")


def dump(value: Any) -> str:
    """Return a msgspec value as YAML that `parse` reads back, keys in the order of the fields."""
    plain = msgspec.to_builtins(value)
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Quotes all text that this reader would not read as text."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    if any(mark in value for mark in _YAML_1_1_BREAKS):  # PyYAML folds them in its other styles
        return dumper.represent_scalar(_TEXT, value, style='"')
    plain = not any(pattern.match(value) for pattern in _CORE.values())
    return dumper.represent_scalar(_TEXT, value, style=None if plain else "'")


_Dumper.add_representer(str, _represent_text)


def _compose(text: str) -> _Node:
    """Return the document as a tree, bounded. Raises _Wrong."""
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        return _build(loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Wrong(mark.line + 1 if mark else 1, error.problem or error.context or "no YAML") from None
    except yaml.reader.ReaderError as error:
        raise _Wrong(text.count("\n", 0, error.position) + 1, f"{error.reason}: #x{error.character:02x}") from None
    except (ValueError, OverflowError) as error:  # an escape of a character that does not exist
        raise _Wrong(loader.line + 1 if loader else 1, " ".join(str(error).split())) from None


def _build(loader: yaml.SafeLoader) -> _Node:
    done: _Node | None = None
    open_: list[_Node] = []
    anchors: dict[str, _Node | None] = {}
    total = 0
    while loader.check_event():
        event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent) and done is not None:
            raise _Wrong(line, "a second document; one is read")
        if isinstance(event, yaml.CollectionEndEvent):
            node = open_.pop()
        elif isinstance(event, yaml.NodeEvent):
            node = _begin(event, line, anchors)
            total += node.nodes
        else:
            continue
        if total > MAX_NODES:
            raise _Wrong(line, f"more than {MAX_NODES:,} values, with each alias counted as what it stands for")
        if len(open_) + node.depth > MAX_DEPTH:
            raise _Wrong(line, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append(node)
            continue
        alias = isinstance(event, yaml.AliasEvent)
        if node.anchor is not None and not alias:
            anchors[node.anchor] = node
        if open_:
            _put(open_[-1], node, line if alias else node.line, alias=alias)
        else:
            done = node
    if done is None:
        raise _Wrong(1, "empty")
    return done


def _begin(event: Any, line: int, anchors: dict[str, _Node | None]) -> _Node:
    """Return the node of an event; a collection is still empty. Raises _Wrong."""
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise _Wrong(line, f"no anchor {event.anchor!r} before this alias")
        node = anchors[event.anchor]
        if node is None:
            raise _Wrong(line, f"the alias {event.anchor!r} stands inside what it names")
        return node
    if event.tag is not None:
        raise _Wrong(line, f"tags such as {event.tag.replace('tag:yaml.org,2002:', '!!')} are not read here")
    if event.anchor is not None:
        anchors[event.anchor] = None
    if isinstance(event, yaml.ScalarEvent):
        return _Node(line, _scalar(event, line), anchor=event.anchor)
    return _Node(line, {} if isinstance(event, yaml.MappingStartEvent) else [], anchor=event.anchor)


def _put(into: _Node, node: _Node, line: int, *, alias: bool) -> None:
    """Add a finished node to the open collection. Raises _Wrong for a key that is no text, or a duplicate key."""
    if isinstance(into.value, list):
        into.below[len(into.value)] = node
        into.value.append(node.value)
    elif into.key is None:
        if not isinstance(node.value, str) or alias:
            raise _Wrong(line, "this key is no text; if it is meant, put it in quotes")
        if node.value in into.value:
            raise _Wrong(line, f"{node.value} stands here twice")
        into.key = node.value
        into.key_lines[node.value] = node.line
        into.value[node.value] = None
    else:
        into.value[into.key] = node.value
        into.below[into.key], into.key = node, None
    into.nodes += node.nodes
    into.depth = max(into.depth, 1 + node.depth)


def _scalar(event: yaml.ScalarEvent, line: int) -> Any:
    """Return the value of a scalar. Raises _Wrong."""
    text: str = event.value
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _Wrong(line, "half of a surrogate pair is no character")
    if not event.implicit[0]:  # in quotes, or a block
        return text
    kind = next((kind for kind, pattern in _CORE.items() if pattern.match(text)), None)
    if kind is None:
        tag_1_1 = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        if tag_1_1 != _TEXT:
            raise _Wrong(line, f"{text} is no number, and no text to every reader of YAML; put text in quotes")
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    number = int(text, 0) if text[:2] in ("0o", "0x") else int(text[:40])
    if len(text) > 20 or not -(1 << 63) <= number < 1 << 63:
        raise _Wrong(line, "a whole number of more than 64 bits")
    return number


def _exactly(document: _Node, path: str, type_: type[Any], told: str) -> Place:
    """Return the place of a msgspec path.

    `[...]` there is some value of a mapping: the first that alone gives this error.
    """
    place: Place = ()
    node = document
    for key, index in _STEP.findall(path):
        step: str | int | None = int(index) if index.isdigit() else key or None
        if step is None:
            step = next((one for one in node.below if _fails(document, place, one, type_, told)), None)
        if step is None or step not in node.below:
            break
        place, node = (*place, step), node.below[step]
    return place


def _fails(document: _Node, place: Place, only: str | int, type_: type[Any], told: str) -> bool:
    """Return True if the document gives the same error when the mapping at `place` has only this key."""

    def cut(value: Any, rest: Place) -> Any:
        if not rest:
            return {only: value[only]}
        if isinstance(value, list):
            return [cut(one, rest[1:]) if number == rest[0] else one for number, one in enumerate(value)]
        return value | {rest[0]: cut(value[rest[0]], rest[1:])}

    try:
        msgspec.convert(cut(document.value, place), type_)
    except msgspec.ValidationError as error:
        return str(error) == told
    return False


def _line(document: _Node, place: Place, message: str) -> int:
    """Return the line of the value at a place, or of the nearest one above it; for an unknown field, of its key."""
    node, line = document, document.line
    for step in place:
        if step not in node.below:
            break
        line = node.key_lines.get(step, 0) if isinstance(step, str) else 0
        node = node.below[step]
        line = node.line or line
    unknown = re.search(r"unknown field `(.*)`", message)
    return node.key_lines.get(unknown[1], line) if unknown else line


def _known(type_: type[Any], place: Place, message: str) -> tuple[str, ...]:
    """Return the keys, or the values, that may stand at a place; empty unless the message is about another one."""
    at: Any = msgspec.inspect.type_info(type_)
    for step in place:
        at = next(filter(None, (_below(one, step) for one in getattr(at, "types", (at,)))), None)
    types = getattr(at, "types", (at,))
    if message.startswith("Object contains unknown field"):
        return tuple(field.encode_name for one in types for field in getattr(one, "fields", ()))
    if message.startswith("Invalid enum value"):
        return tuple(str(value) for one in types for value in getattr(one, "values", ()))
    return ()


def _below(type_: Any, step: str | int) -> Any:
    """Return the type of a field, a key's value or an element; None if there is none."""
    fields = {field.encode_name: field.type for field in getattr(type_, "fields", ())}
    item_types = getattr(type_, "item_types", ())
    if isinstance(step, int):
        return item_types[step] if step < len(item_types) else getattr(type_, "item_type", None)
    return fields.get(step) or getattr(type_, "value_type", None)


def _told(place: Place) -> str:
    """Return a place as people write it: faults[0].for_s."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.lstrip(".") or "the document"
