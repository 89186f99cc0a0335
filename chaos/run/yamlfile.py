"""Reads a YAML file into a strict msgspec type, so that every mistake in it is one line with the file and the line.

PyYAML knows the lines and msgspec knows the types. The document is composed once to a tree of nodes; the tree makes
the plain values, and when msgspec refuses one of them at a path such as `$.faults[2].for_s`, the same tree is walked
to that place for its line number.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from chaos.errors import UsageError

T = TypeVar("T")
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


def read(path: Path, type_: type[T]) -> T:
    """The file as a `type_`. Raises UsageError: unreadable, not YAML, a key twice, or not of that type."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None
    return parse(text, type_, source=str(path))


def parse(text: str, type_: type[T], *, source: str) -> T:
    """The text as a `type_`; `source` is what errors call it. Raises UsageError."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{source}:1: empty")
        _check_keys(node, source)
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UsageError(f"{source}:{mark.line + 1 if mark else 1}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{source}:1: {' '.join(str(error).split())}") from None
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        place = _walk(node, path.rstrip("`"), message)
        where = path.strip("`$.") or "the document"
        raise UsageError(f"{source}:{place.start_mark.line + 1}: {where}: {message}") from None


def dump(value: Any) -> str:
    """A msgspec value as YAML that `parse` reads back, keys in the order of the fields."""
    plain = msgspec.to_builtins(value)
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def _walk(node: yaml.Node, path: str, message: str) -> yaml.Node:
    """The node at a msgspec path, or the nearest one above it; of an unknown field, its key."""
    for key, index in _STEP.findall(path):
        below = _child(node, key or index)
        if below is None:
            break
        node = below
    unknown = re.search(r"unknown field `(.*)`", message)
    if unknown and isinstance(node, yaml.MappingNode):
        return next((key for key, _ in node.value if key.value == unknown[1]), node)
    return node


def _child(node: yaml.Node, step: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        child: yaml.Node = node.value[int(step)]
        return child
    return None


def _check_keys(node: yaml.Node, source: str) -> None:
    """Raises UsageError for a key that stands twice in its mapping, or is no text."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{source}:{key.start_mark.line + 1}"
            if key.tag not in _KEY_TAGS:
                raise UsageError(f"{place}: this key is no text; if it is meant, put it in quotes")
            if key.value in seen:
                raise UsageError(f"{place}: {key.value} stands here twice")
            seen.add(key.value)
            _check_keys(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, source)
