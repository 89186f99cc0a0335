"""The runs below a directory, with their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from chaos.run.rundir import RunDir
from chaos.verdict.model import Verdict, decode


class Listed(NamedTuple):
    """A directory that holds a schedule or a verdict, and what its verdict says."""

    path: Path
    ended_at_s: float
    """Unix time of its verdict; without one, of its schedule."""
    verdict: Verdict | None
    problem: str
    """Why there is no verdict; empty if there is one."""


def runs_in(root: Path) -> list[Listed]:
    """Return the runs in this directory and in those directly below it, the newest first. Raises OSError."""
    places = {path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/schedule.yaml")}
    places |= {path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/verdict.json")}
    return sorted(map(_listed, places), key=lambda run: (-run.ended_at_s, str(run.path)))


def _listed(path: Path) -> Listed:
    place = RunDir(path)
    try:
        verdict, problem = decode(place.verdict.read_bytes()), ""
    except FileNotFoundError:
        verdict, problem = None, "no verdict: it is under way, or its harness was ended"
    except OSError as error:
        verdict, problem = None, f"verdict.json: {error.strerror}"
    except msgspec.DecodeError:
        verdict, problem = None, "verdict.json is broken; petrel verify judges again"
    newest = place.verdict if place.verdict.exists() else place.schedule
    return Listed(path, newest.stat().st_mtime, verdict, problem)
