"""Reads the catalogue of failure modes. A file that does not fit the form is refused by name and line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from chaos.errors import UsageError, no_such
from chaos.run import yamlfile
from chaos.run.experiment import check_fault
from chaos.run.yamlfile import Mistake

DIRECTORY: Final = Path(__file__).parent
Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]
Text = Annotated[str, msgspec.Meta(min_length=5)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Detection(_Strict, frozen=True, kw_only=True):
    """How a mode is noticed."""

    metric: str
    """What to look at first."""
    alert: str
    """An alert in dashboards/prometheus/rules."""
    labels: dict[str, str] = {}
    """Labels by which its alert is told from that of others, such as the kind of the service."""
    fires_within_s: Seconds
    """Longest time from the fault to the alert."""
    clears_within_s: Seconds
    """Longest time from the proven heal to the end of the alert."""


class Shown(_Strict, frozen=True, kw_only=True):
    """The fault that shows the mode, as `petrel inject` takes it."""

    fault: str
    for_s: Seconds
    target: str = ""
    """Empty: the first that the topology offers."""
    options: dict[str, float] = {}


class Mode(_Strict, frozen=True, kw_only=True):
    """One way in which the system fails."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]
    title: Text
    severity: Literal["page", "ticket"]
    """page: somebody has to act now; ticket: on the next working day."""
    felt: Text
    """What users feel."""
    cause: Text
    """What happens, and why."""
    detection: Detection
    mitigation: Text
    """What the system does by itself."""
    runbook: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    """What a person does, step by step."""
    experiment: Shown | None = None
    cannot: str = ""
    """Why no experiment shows it; empty where one does."""


def _check(mode: Mode) -> None:
    """Check what a type cannot say. Raises Mistake."""
    if (mode.experiment is None) == (not mode.cannot):
        raise Mistake(("experiment",), "a mode has an experiment, or says in `cannot` why there is none")
    if mode.experiment is not None:
        check_fault(mode.experiment.fault, mode.experiment.options)
        if mode.experiment.for_s < mode.detection.fires_within_s and mode.detection.alert not in AFTERWARDS:
            raise Mistake(("experiment", "for_s"), "the fault ends before its alert has to fire")


AFTERWARDS: Final = frozenset({"ServiceRestarted", "ReconnectStorm"})
"""Alerts on what follows a fault: they may fire when it has been healed."""


def load() -> dict[str, Mode]:
    """Return all modes by name. Raises UsageError for a file that does not fit."""
    found: dict[str, Mode] = {}
    for path in sorted(DIRECTORY.glob("*.yaml")):
        mode = yamlfile.read(path, Mode, check=_check)
        if mode.name != path.stem:
            raise UsageError(f"{path}: its name is {mode.name}")
        found[mode.name] = mode
    return found


def named(names: str) -> dict[str, Mode]:
    """Return the modes of these names, with commas between, or with "all" each. Raises UsageError."""
    modes = load()
    if names == "all":
        return modes
    for name in names.split(","):
        if name not in modes:
            raise UsageError(no_such("mode", name, modes))
    return {name: modes[name] for name in names.split(",")}
