"""`petrel verify` and `petrel history`: judge a recorded run again, or write it for other tools."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import IO

from chaos.cli.command import a_path, as_json, command, run_dir
from chaos.cli.say import judged, note
from chaos.errors import VALID, UsageError


def _source(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("run_dir", type=a_path, nargs="?", metavar="RUN_DIR")
    sub.add_argument("--history", type=a_path, metavar="FILE", help="a history as JSON lines, recorded by anybody")


def _target(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--format", choices=("jsonl", "parquet", "otlp"), default="jsonl")
    sub.add_argument("--out", type=a_path, metavar="FILE", help="default: standard output; RUN_DIR/history.parquet")


@command("verify", "judge a recorded history again", _source, as_json)
def verify(options: argparse.Namespace) -> int:
    """Judge the history of a run directory, or a foreign one."""
    from chaos.run import outcome
    from chaos.screen.console import for_people
    from chaos.screen.live import show_verdict

    if (options.run_dir is None) == (options.history is None):
        raise UsageError("verify takes either RUN_DIR or --history FILE")
    foreign = options.run_dir is None
    verdict = outcome.verify(options.history if foreign else options.run_dir, foreign=foreign, say=note)
    show_verdict(for_people(stderr=options.json), verdict)
    return judged(verdict, as_json=options.json)


@command("history", "write a run's history for other tools", run_dir, _target)
def history(options: argparse.Namespace) -> int:
    """Write a history as JSON lines or as Parquet, or its traced messages as OTLP."""
    from chaos.run import manifest, otlp, outcome
    from chaos.verdict.history import export

    path: Path | None = options.out
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UsageError(f"{path}: {os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)}")
    if path is not None and path.resolve().is_relative_to(options.run_dir.resolve()):
        raise UsageError(f"{path}: in the run directory, which is closed; give a place outside of it")
    loaded = outcome.load(options.run_dir, say=note)
    inside = path is None and options.format == "parquet"
    if inside:
        path = options.run_dir / "history.parquet"

    def write(stream: IO[bytes]) -> None:
        if options.format == "otlp":
            otlp.write(loaded, options.run_dir, stream)
        else:
            export.write_jsonl(loaded, stream)

    try:
        if path is None:
            write(sys.stdout.buffer)
        elif options.format == "parquet":
            export.write_parquet(loaded, path)
            if inside:
                manifest.add(options.run_dir, path)
            print(path)  # noqa: T201
        else:
            with path.open("wb") as file:
                write(file)
    except PermissionError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    return VALID
