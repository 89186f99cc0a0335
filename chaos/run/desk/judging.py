"""Says what the checks find in a history, also in one that still grows: `python -m chaos.run.desk.judging RUN_DIR`.

One JSON object on standard output. While the test goes on nothing was read back, so most checks cannot be valid yet; a
check that is invalid stays so. A test that has ended is shown as it was judged.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

STORIES: Final = 6


def main(run: Path) -> int:
    """Print what the checks say. Returns 0, or 1 if the history cannot be read just now."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before polars is imported: the swarm needs the cores
    from chaos.run.rundir import RunDir
    from chaos.verdict.history.history import HistoryError, load_run
    from chaos.verdict.history.native import NOT_CLOSED
    from chaos.verdict.judge import judge
    from chaos.verdict.model import decode
    from dashboards.report.story import stories

    path = RunDir(run).verdict
    try:
        history = load_run(run)
        if not path.exists():  # its files are still being written, which is no hole
            holes = tuple(hole for hole in history.holes if NOT_CLOSED not in hole.detail)
            history = replace(history, holes=holes)
        verdict = decode(path.read_bytes()) if path.exists() else judge(history)
    except (HistoryError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    told = {
        "run": run.name,
        "ended": path.exists(),
        "verdict": verdict.verdict,
        "at_s": time.time(),
        "events": history.events.height,
        "lost": verdict.counts.lost,
        "faults": len(verdict.faults),
        "checks": [
            {"name": check.name, "verdict": check.verdict, "detail": check.detail,
             "examples": [example.text for example in check.counterexamples[:10]], "all": len(check.counterexamples)}
            for check in verdict.checks
        ],
        "stories": [msgspec.to_builtins(story, enc_hook=str) for story in stories(verdict, history, most=STORIES)],
    }  # fmt: skip
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
