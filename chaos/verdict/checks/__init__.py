"""The checks: each module of this package is one check, a pure function from a history to a finding.

A check never raises on a well-formed history. It returns `unknown` for what it cannot judge, and `valid` with
"nothing to check" if the history holds no events of its kind. Its module holds
- `RANK` (its place in the report), and `check(history) -> Finding`;
- perhaps `quick(bulk) -> Finding | None`: the same finding from a condensed history, None if that does not tell it;
- a docstring that begins with `NAME: promise`, NAME being the module's name. A paragraph `Guarantee: ... Anomaly: ...`
  follows, which may end with `Unknown when ...`; then, indented, an example of lines that break the guarantee.
  `petrel checks` and docs/checks.md print these parts.
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

from chaos.verdict.bulk.condensed import Condensed
from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History

Check = Callable[[History], Finding]
Quick = Callable[[Condensed], Finding | None]
_FORM: Final = re.compile(
    r"(?P<name>\w+): (?P<promise>[^\n]+)\n\n"
    r"Guarantee:\s(?P<guarantee>.+?)\sAnomaly:\s(?P<anomaly>.+?)(?:\sUnknown when\s(?P<unknown>.+?))?\n\n"
    r"(?P<example>(?:    [^\n]+(?:\n|$))+)",
    re.DOTALL,
)


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a check's docstring."""

    name: str
    promise: str
    guarantee: str
    anomaly: str
    unknown: str
    """When the verdict is `unknown`; empty if the docstring does not say it."""
    example: tuple[str, ...]
    """Lines of a history that break the guarantee; `..` stands for fields that do not matter."""


def describe(doc: str) -> Description:
    """Return the parts of a check's docstring.

    Raises ValueError if it does not have the form that this package defines.
    """
    found = _FORM.match(inspect.cleandoc(doc))
    if found is None:
        raise ValueError("the docstring of a check is: NAME: promise, Guarantee: ... Anomaly: ..., an indented example")
    words = {part: " ".join((found[part] or "").split()) for part in _FORM.groupindex if part != "example"}
    return Description(**words, example=tuple(line.strip() for line in found["example"].splitlines()))


def _discovered() -> dict[str, ModuleType]:
    modules = {found.name: import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)}
    return dict(sorted(modules.items(), key=lambda item: (item[1].RANK, item[0])))


_MODULES: Final = _discovered()
CHECKS: Final[dict[str, Check]] = {name: module.check for name, module in _MODULES.items()}
"""All checks by name, in the order of the report."""
QUICK: Final[dict[str, Quick]] = {name: module.quick for name, module in _MODULES.items() if hasattr(module, "quick")}
"""The quick readings of those that have one."""
DESCRIPTIONS: Final = {name: describe(module.__doc__ or "") for name, module in _MODULES.items()}
"""The description of each check by name, in the order of the report."""
assert all(name == told.name for name, told in DESCRIPTIONS.items()), "a check and its docstring name different checks"


def chosen(only: Collection[str] | None = None, *, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the checks in `only` (None: all) except those in `without`, in the order of the report.

    Raises KeyError with the first name that no check has.
    """
    for name in (*(only or ()), *without):
        if name not in CHECKS:
            raise KeyError(name)
    return tuple(name for name in CHECKS if (only is None or name in only) and name not in without)
