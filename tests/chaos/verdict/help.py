"""Shared by the tests of the verdict: histories from lines, and the checks by name."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from chaos.verdict.checks import CHECKS
from chaos.verdict.finding import Finding
from chaos.verdict.history.history import History, load_jsonl

Line = dict[str, object]


def history_of(lines: Iterable[Line]) -> History:
    """A history, through the exchange format."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "history.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return load_jsonl(path)


def run(name: str, lines: Iterable[Line]) -> Finding:
    """One check."""
    return CHECKS[name](history_of(lines))
