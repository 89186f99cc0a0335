"""The checks, one file each: a pure function from a history to a finding. Every module of this package is a check.

A check never raises on a well-formed history, however odd: what it cannot judge is unknown, what is not there is
nothing to check. Its module holds

- `RANK` (its place in the report), and `check(history) -> Finding`;
- a docstring that begins with the module's name, as `NAME: ...`, and has the paragraph `Guarantee: ... Anomaly: ...`
  and then, indented, an example of lines that break the guarantee. `petrel checks` prints them.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Collection
from importlib import import_module
from types import ModuleType
from typing import Final

import msgspec

from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History

Check = Callable[[History], Finding]
_FORM: Final = re.compile(
    r"(?P<name>\w+): (?P<promise>[^\n]+)\n\n"
    r"Guarantee:\s(?P<guarantee>.+?)\sAnomaly:\s(?P<anomaly>.+?)\n\n"
    r"(?P<example>(?:    [^\n]+(?:\n|$))+)",
    re.DOTALL,
)


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a check is for, from its docstring."""

    name: str
    promise: str
    guarantee: str
    anomaly: str
    example: tuple[str, ...]
    """Lines of a history that break the guarantee; `..` stands for fields that do not matter."""


def describe(doc: str) -> Description:
    """A check's docstring, taken apart. Raises ValueError: it has not the form that this package's docstring tells."""
    found = _FORM.match(inspect.cleandoc(doc))
    if found is None:
        raise ValueError("the docstring of a check is: NAME: promise, Guarantee: ... Anomaly: ..., an indented example")
    words = {part: " ".join(found[part].split()) for part in ("name", "promise", "guarantee", "anomaly")}
    return Description(**words, example=tuple(line.strip() for line in found["example"].splitlines()))


def _discovered() -> dict[str, ModuleType]:
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)}
    return dict(sorted(modules.items(), key=lambda item: (item[1].RANK, item[0])))


_MODULES: Final = _discovered()
CHECKS: Final[dict[str, Check]] = {name: module.check for name, module in _MODULES.items()}
"""All checks by name, in the order of the report."""
DESCRIPTIONS: Final = {name: describe(module.__doc__ or "") for name, module in _MODULES.items()}
"""What each is for."""
assert all(name == told.name for name, told in DESCRIPTIONS.items()), "a check and its docstring name different checks"


def chosen(only: Collection[str] | None = None, *, without: Collection[str] = ()) -> tuple[str, ...]:
    """The names of `only` these checks (None: all) but those `without`, in the order of the report.

    Raises KeyError with the first name that no check has.
    """
    for name in (*(only or ()), *without):
        if name not in CHECKS:
            raise KeyError(name)
    return tuple(name for name in CHECKS if (only is None or name in only) and name not in without)
