"""The command lines that repeat this run or examine it more closely."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from chaos.verdict.model import Verdict


class _Swarm(msgspec.Struct, frozen=True):
    """The part of RUN_DIR/swarm.json that the command line of a run can change."""

    users: int | None = None
    duration_s: float | None = None
    rate_per_s: float | None = None


def commands(verdict: Verdict, run_dir: Path, *, shipped: bool) -> list[tuple[str, str]]:
    """Return (description, command line) pairs; the directory is relative if it is below the working directory."""
    here = Path.cwd()
    directory = str(run_dir.relative_to(here) if run_dir.is_relative_to(here) else run_dir)
    judge_again = ("Judge the saved history again:", shlex.join(["petrel", "verify", directory]))
    if not (run_dir / "schedule.yaml").is_file():
        return [judge_again]
    replay = ("Exactly this schedule, as saved:", shlex.join(["petrel", "replay", directory]))
    if not shipped:  # the experiment's file may be anywhere, or changed
        return [replay, judge_again]
    return [("The same experiment from its seed:", shlex.join(_run(verdict, run_dir))), replay, judge_again]


def _run(verdict: Verdict, run_dir: Path) -> list[str]:
    line = ["petrel", "run", verdict.experiment, "--profile", verdict.profile]
    swarm = _swarm(run_dir / "swarm.json")
    if swarm.users is not None:
        line += ["--users", str(swarm.users)]
    if swarm.duration_s is not None:
        line += ["--duration", f"{swarm.duration_s:g}"]
    if swarm.rate_per_s is not None:
        line += ["--rate", f"{swarm.rate_per_s:g}"]
    line += ["--seed", str(verdict.seed)]
    return [*line, "--variant", verdict.variant] if verdict.variant else line


def _swarm(path: Path) -> _Swarm:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Swarm)
    except (OSError, msgspec.DecodeError):
        return _Swarm()
