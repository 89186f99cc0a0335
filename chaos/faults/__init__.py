"""The faults that can be injected. Imports chaos.errors, sut.adapters and sut.deploy.

fault.py defines a fault, mechanisms/ break things, proofs/ observe the effect, undo.py undoes it. Each other module
declares the faults on one target. Every class in such a module that has a `name` of its own is a fault. Nothing else
lists them.
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
    """Compute FAULTS on first access: `python -m chaos.faults.undo` must start fast and does not need it."""
    if name == "FAULTS":
        return _found()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def descriptions() -> list[Description]:
    """Return all faults as data, in the order of FAULTS."""
    return [describe(fault) for fault in _found().values()]


@functools.cache
def _found() -> Mapping[str, type[Fault]]:
    """Return the faults by name. Raises TypeError if two classes share a name or a class is abstract."""
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
