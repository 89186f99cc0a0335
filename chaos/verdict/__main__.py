"""Judges one history in a process of its own: `python -m chaos.verdict run|history PATH`, for chaos/run/outcome.py.

If a judge runs out of memory or threads, the operating system or a library ends it in the middle of its work. The
parent process then still knows that there is no verdict. Standard output: the verdict as one JSON line. Exit status: 0
for any verdict, 64 for a history that cannot be judged, 70 for anything else. Standard error gives the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

from chaos.errors import HARNESS, USAGE


def main() -> int:
    """Judge the history that the arguments name; returns the exit status."""
    kind, path = sys.argv[1:]
    place = ""
    try:
        from chaos.verdict.history.history import load_jsonl
        from chaos.verdict.history.jsonl import HistoryError
        from chaos.verdict.judge import judge, judge_run
        from chaos.verdict.model import encode, printable
    except MemoryError:
        print("out of memory", file=sys.stderr)  # noqa: T201
        return HARNESS
    try:
        if kind == "history":
            history = load_jsonl(Path(path))
            place = f"{printable(path)}: "  # errors of reading already name the file
            verdict = judge(history)
        else:
            verdict = judge_run(Path(path))
        line = encode(verdict)
    except HistoryError as error:
        print(f"{place}{error}", file=sys.stderr)  # noqa: T201
        return USAGE
    except MemoryError:
        print("out of memory", file=sys.stderr)  # noqa: T201
        return HARNESS
    sys.stdout.buffer.write(line + b"\n")
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except BaseException as error:  # noqa: BLE001 (the panic of a library is no Exception, and would exit with 1)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        status = HARNESS
    sys.exit(status)
