"""Says in a plain sentence what is wrong with a value that a person wrote. msgspec says it in words of its own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "keys with values",
}
_LEAST_OR_MOST: Final = {">=": "at least", "<=": "at most"}
_SAYS: Final[tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], str]], ...]] = (
    (
        re.compile(r"Expected `([^`]+)`, got `([^`]+)`"),
        lambda name, seen: f"{name} must be {_kinds(seen[1])}, not {_kinds(seen[2])}",
    ),
    (
        re.compile(r"Expected `(int|float)` (>=|<=|>|<) (\S+)"),
        lambda name, seen: f"{name} must be {KINDS[seen[1]]} {_range(seen[2], seen[3])}",
    ),
    (
        re.compile(r"Expected `(\w+)` of length (\d+), got (\d+)"),
        lambda name, seen: f"{name} must be a list of {seen[2]}, not of {seen[3]}",
    ),
    (
        re.compile(r"Expected `(\w+)` of length (>=|<=) (\d+)"),
        lambda name, seen: f"{name} must have {_LEAST_OR_MOST[seen[2]]} {_parts(seen[3], seen[1])}",
    ),
    (
        re.compile(r"Expected `str` matching regex '(.*)'"),
        lambda name, seen: f"{name} must match {seen[1]}, a regular expression",
    ),
    (re.compile(r"Invalid enum value (.*)"), lambda name, seen: f"{name} cannot be {seen[1]}"),
    (re.compile(r"Object missing required field `(.*)`"), lambda _name, seen: f"the key {seen[1]} is missing"),
    (re.compile(r"Object contains unknown field `(.*)`"), lambda _name, seen: f"there is no key {seen[1]} here"),
)


def sentence(error: msgspec.DecodeError) -> str:
    """Return what is wrong, by the name of the field; as msgspec says it if the document is no JSON at all."""
    message, _, path = str(error).partition(" - at `")
    return told(message, path.rstrip("`").removeprefix("$").removeprefix("."))


def told(message: str, name: str, *, known: Iterable[str] = ()) -> str:
    """Return the sentence for a message without its path, about the field `name`.

    `known`: the keys or values that there are, where it is about another one. A message that is a sentence already is
    only put behind the name.
    """
    for pattern, say in _SAYS:
        if seen := pattern.fullmatch(message):
            return say(name or "the document", seen) + _hint(seen[1].strip("'"), list(known))
    return f"{name}: {message}" if name else message


def _hint(got: str, known: list[str]) -> str:
    if not known:
        return ""
    near = difflib.get_close_matches(got, known, n=2, cutoff=0.75)
    return f"; {'perhaps' if near else 'there are'} {', '.join(near or known)}"


def _kinds(types: str) -> str:
    return " or ".join(KINDS.get(one, one) for one in types.split(" | "))


def _parts(count: str, type_: str) -> str:
    part = {"str": "character", "array": "value"}.get(type_, "key")
    return f"{count} {part}{'' if count == '1' else 's'}"


def _range(sign: str, limit: str) -> str:
    words = f"of {_LEAST_OR_MOST[sign]}" if sign in _LEAST_OR_MOST else {">": "above", "<": "below"}[sign]
    return f"{words} {float(limit):,.10g}"
