"""The faults that can be injected. fault.py says what a fault is, mechanisms/ how things are broken, proofs/ how it is
seen, undo.py how it is undone; each other module declares the faults on one target. Imports chaos.errors, sut.adapters
and sut.deploy.

Every class in such a module that has a `name` of its own is a fault. Nothing else lists them.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from chaos.faults.fault import Description, Fault, describe
from chaos.faults.world import World

__all__ = ["FAULTS", "Description", "Fault", "World", "descriptions"]

FAULTS: Mapping[str, type[Fault]]
"""Every fault by name: modules in alphabetical order, classes in the order of their definition."""


def __getattr__(name: str) -> object:
    """Find FAULTS when it is first asked for: `python -m chaos.faults.undo` must start fast and does not need it."""
    if name == "FAULTS":
        return _found()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def descriptions() -> list[Description]:
    """All faults as data, in the order of FAULTS."""
    return [describe(fault) for fault in _found().values()]


@functools.cache
def _found() -> Mapping[str, type[Fault]]:
    """Raises TypeError when two classes have the same name, or a class leaves something abstract."""
    found: dict[str, type[Fault]] = {}
    for module in sorted(f"{__name__}.{info.name}" for info in pkgutil.iter_modules(__path__)):
        for thing in vars(importlib.import_module(module)).values():
            if not (isinstance(thing, type) and issubclass(thing, Fault)):
                continue
            if thing.__module__ != module or "name" not in vars(thing):
                continue
            if thing.name in found:
                raise TypeError(f"two faults are named {thing.name}: {found[thing.name]} and {thing}")
            if missing := sorted(thing.__abstractmethods__):
                raise TypeError(f"{thing} does not define {', '.join(missing)}")
            found[thing.name] = thing
    return found
