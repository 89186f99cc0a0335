"""Reads an experiment of Chaos Toolkit for `petrel run`: that it is a valid one, and under which load it runs.

The load is an experiment of ours, without its faults: `extensions: [{"name": "stormpetrel", "experiment": ...}]` holds
its name, or all its fields. Without that it is `quick`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chaos.errors import UsageError, printable
from chaos.run import experiment as experiments
from chaos.run.experiment import Experiment
from chaos.toolkit.export import EXTENSION

DEFAULT: Final = "quick"
_METHOD: Final = re.compile(rb"^[\"']?method[\"']?\s*:", re.MULTILINE)
LARGEST: Final = 1 << 20
"""Bytes of a file beyond which it is no experiment."""


def is_one(name: str) -> bool:
    """Return True if this is the path of a file with a method, which no experiment of ours has."""
    path = Path(name)
    if path.suffix not in (".json", ".yaml", ".yml") or not path.is_file() or path.stat().st_size > LARGEST:
        return False
    try:
        return path.suffix == ".json" or _METHOD.search(path.read_bytes()) is not None
    except OSError:
        return False


def load_of(name: str) -> Experiment:
    """Return the load of the experiment in this file, once Chaos Toolkit has found it valid. Raises UsageError."""
    if importlib.util.find_spec("chaoslib") is None or importlib.util.find_spec("chaostoolkit") is None:
        raise UsageError(f"{name} is an experiment of Chaos Toolkit: pip install 'stormpetrel[chaostoolkit]'")
    made = _validated(name)
    extensions = made.get("extensions") or ()
    extension: Mapping[str, Any] = next((one for one in extensions if one.get("name") == EXTENSION), {})
    asked = extension.get("experiment", DEFAULT)
    if isinstance(asked, str):
        load = experiments.load(asked)
    elif isinstance(asked, dict):
        load = experiments.made(asked, f"{name}: experiment of the extension {EXTENSION}")
    else:
        raise UsageError(f"{name}: experiment of the extension {EXTENSION}: a name, or the fields of an experiment")
    return msgspec.structs.replace(load, faults=(), profiles={}, steps=(1.0,))


def _validated(name: str) -> Mapping[str, Any]:
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid
    from chaoslib.loader import load_experiment

    try:
        made: Mapping[str, Any] = load_experiment(name)
        ensure_experiment_is_valid(made)
    except (ChaosException, AttributeError, KeyError, TypeError) as error:  # its validator stumbles over wrong types
        said = [*str(error).splitlines(), type(error).__name__][0]
        raise UsageError(printable(f"{name}: no valid experiment of Chaos Toolkit: {said}")) from None
    return made
