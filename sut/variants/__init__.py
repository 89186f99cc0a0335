"""The known-bad designs. Each one replaces a piece of the system, and names the check that must catch it.

A checker that has never caught anything proves nothing. `petrel run quick --variant NAME` runs the system with one of
these; the verdict must be `invalid` by the named check. Some designs are correct and only expensive: a bench measures
those (`petrel bench NAME`).

A variant is one module of this package; a module whose name begins with "_" is none. The module has
- a docstring, whose first paragraph is "Known bad: ..." and says what is wrong;
- `CAUGHT_BY`, the checks that catch it, or `MEASURED_BY`, the bench that measures it;
- `SHOWN_IN`, the experiment whose run shows it to those checks, where that is not `quick`;
- `SHOWN_BY`, the fault that shows it, if that takes long or luck: a run with the variant begins with three of it;
- a function of a kind's name for each kind of service that it changes. It takes the topology and returns the pieces
  for `serve` of that kind: `def sequencer(topology): return SequencerPieces(worker=...)`;
- `swarm(settings)`, where the devices behave differently: it takes the swarm's settings (fields of
  load.workload.SwarmConfig) and returns those that change.

The name of a variant may also be a dotted path, such as `tests.defects.x.old_piece`. It names a module of the same form
outside this package that can be imported from the current directory.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from sut.deploy.kinds import KINDS
from sut.ports import SutError

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

PREFIX: Final = "Known bad: "


class UnknownVariant(SutError):
    """No variant has this name; the text says which there are, or why the module cannot be used."""

    definite = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One known-bad design: its module, its defect in words, and the checks or bench that show it."""

    name: str
    module: ModuleType
    wrong: str
    """The defect in one line, from the module's docstring."""
    caught_by: tuple[str, ...]
    """Names of the checks that catch it, the required one first; empty if only a bench shows it."""
    shown_in: str
    """The experiment whose run shows it to them."""
    shown_by: str
    """The fault to inject first, so that there is time for them to see it; "" if the order does not matter."""
    measured_by: str
    """Name of the bench that shows its cost; "" if checks catch it."""

    def pieces(self, kind: str, topology: Topology) -> Any:
        """Return the pieces for `serve` of this kind of service; None: the variant does not change the kind."""
        make = getattr(self.module, kind, None)
        return make(topology) if make is not None else None

    def swarm(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of the swarm that change, given those without the variant."""
        change = getattr(self.module, "swarm", None)
        return dict(change(settings)) if change is not None else {}


def _load(name: str, path: str) -> Variant:
    """Return the variant in the module `path`. Raises UnknownVariant."""
    try:
        module = importlib.import_module(path)
    except (ImportError, SyntaxError) as error:
        raise UnknownVariant(f"variant {name}: {error}") from None
    if not any(hasattr(module, part) for part in (*KINDS, "swarm")):
        raise UnknownVariant(f"variant {name}: {path} has no function that is named like a kind of service, or swarm")
    text = " ".join((module.__doc__ or "").partition("\n\n")[0].split())
    return Variant(
        name=name,
        module=module,
        wrong=text.removeprefix(PREFIX).removesuffix("."),
        caught_by=getattr(module, "CAUGHT_BY", ()),
        shown_in=getattr(module, "SHOWN_IN", "quick"),
        shown_by=getattr(module, "SHOWN_BY", ""),
        measured_by=getattr(module, "MEASURED_BY", ""),
    )


class _Table(Mapping[str, Variant]):
    """The variants of this package by name, in alphabetical order. A module is imported on first access."""

    def __init__(self) -> None:
        self._names = [found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")]

    def __getitem__(self, name: str) -> Variant:
        if name not in self._names:
            raise KeyError(name)
        return _load(name, f"{__name__}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


VARIANTS: Final = _Table()


def find(name: str, directory: str = "") -> Variant:
    """Return the variant of this name or dotted path. Raises UnknownVariant.

    A dotted path is also looked for in `directory` ("": the current one), after Python's usual places.
    """
    if "." not in name:
        if name not in VARIANTS:
            raise UnknownVariant(f"unknown variant {name!r}; there are {', '.join(VARIANTS)}")
        return VARIANTS[name]
    place = directory or str(Path.cwd())
    if place not in sys.path:
        sys.path.append(place)
    return _load(name, name)
