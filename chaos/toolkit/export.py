"""Writes a schedule as an experiment of Chaos Toolkit.

`chaos run` breaks a system that `petrel up` started by it, and `petrel run` one of its own, under the same load. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from chaos.run.experiment import Experiment
from chaos.run.schedule import Schedule

Json = dict[str, object]
ACTIONS: Final = "chaos.toolkit.actions"
PROBES: Final = "chaos.toolkit.probes"
EXTENSION: Final = "stormpetrel"
"""The extension of an experiment that holds its load."""


def exported(schedule: Schedule, directory: str) -> Json:
    """Return the experiment: the faults at their times, the steady state before and after, and the heal at the end."""
    method, free_s = [], 0.0
    for planned in schedule.faults:
        arguments: Json = {
            "fault": planned.name, "target": planned.target, "for_s": planned.for_s, "directory": directory,
        }  # fmt: skip
        if planned.options:
            arguments["options"] = dict(planned.options)
        action = _activity("action", f"{planned.fault}: {planned.name} on {planned.target}", ACTIONS, "inject_fault")
        action["provider"] |= {"arguments": arguments}  # type: ignore[operator]
        action["pauses"] = {"before": round(max(0.0, planned.at_s - free_s), 3)}
        method.append(action)
        free_s = planned.at_s + planned.for_s
    healthy = _activity("probe", "every service is healthy", PROBES, "every_service_is_healthy")
    healthy["provider"] |= {"arguments": {"directory": directory}}  # type: ignore[operator]
    proven = _activity("probe", "every fault took effect and was healed", PROBES, "every_fault_was_proven")
    heal = _activity("action", "heal everything", ACTIONS, "heal_all")
    heal["provider"] |= {"arguments": {"directory": directory}}  # type: ignore[operator]
    return {
        "version": "1.0.0",
        "title": f"{schedule.experiment.name}, seed {schedule.seed}",
        "description": schedule.experiment.summary,
        "tags": ["stormpetrel", schedule.profile],
        "extensions": [{"name": EXTENSION, "experiment": _load(schedule.experiment)}],
        "steady-state-hypothesis": {
            "title": "The system is healthy, and no fault was without effect",
            "probes": [{**healthy, "tolerance": True}, {**proven, "tolerance": True}],
        },
        "method": method,
        "rollbacks": [heal],
    }


def _load(experiment: Experiment) -> Json:
    """Return what an experiment has beside its faults, as far as it is not the default."""
    without = msgspec.structs.replace(experiment, faults=(), profiles={})
    told: Json = msgspec.to_builtins(without)
    defaults: Json = msgspec.to_builtins(Experiment(name="a", summary="", users=1))
    return {key: value for key, value in told.items() if key in ("name", "summary", "users") or value != defaults[key]}


def _activity(type_: str, name: str, module: str, function: str) -> Json:
    return {"type": type_, "name": name, "provider": {"type": "python", "module": module, "func": function}}
