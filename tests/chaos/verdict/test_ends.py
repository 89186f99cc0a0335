"""Only a verdict exits 1: a judge without memory or threads, or one that panics, ends with 70 and one line."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.verdict.cases import DIRECTORY

BAD = DIRECTORY / "reported" / "acks_ninety_seconds_late.jsonl"
VERIFY = [sys.executable, "-m", "chaos.cli", "verify", "--history"]
PANIC = """
import sys, tempfile
from chaos.cli import petrel
from chaos.run import outcome
class Panic(BaseException):
    "As pyo3_runtime.PanicException: no Exception."
def verify(*_, **__):
    raise {error}
outcome.verify = verify
tempfile.tempdir = "/nonexistent"
sys.exit(petrel.main(["verify", "--history", "x"]))
"""


def ended(command: list[str], limit: Callable[[], None] | None = None) -> tuple[int, list[str]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    return done.returncode, done.stderr.splitlines()


def test_with_all_that_it_needs_it_is_a_verdict() -> None:
    status, lines = ended([*VERIFY, str(BAD)])
    assert status == 1
    assert lines[-1].startswith("petrel: invalid: answers: ")


@pytest.mark.parametrize("megabytes", [300, 350])
def test_without_memory(megabytes: int) -> None:
    size = megabytes << 20

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    status, lines = ended([*VERIFY, str(BAD)], limit)
    assert status == 70
    assert len(lines) == 1
    assert lines[0].startswith("petrel: ")


def test_without_stack_for_its_threads() -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 33, 1 << 33))  # what each thread takes of RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    status, lines = ended([*VERIFY, str(BAD)], limit)
    assert status in (1, 70), "a verdict or none"
    assert (status == 1) == lines[-1].startswith("petrel: invalid: answers: ")


@pytest.mark.parametrize("error", ["Panic('called `Option::unwrap()`')", "MemoryError()", "OSError(2, 'gone', '/x')"])
def test_a_panic_where_nothing_can_be_written(error: str) -> None:
    status, lines = ended([sys.executable, "-c", PANIC.format(error=error)])
    assert status == 70
    assert len(lines) == 1


def test_what_cannot_be_read_is_a_mistake_of_who_asked(tmp_path: Path) -> None:
    torn = tmp_path / "torn\x1b[31m.jsonl"
    torn.write_text('{"e":"ack"\n')
    for path in (torn, tmp_path / "none"):
        status, lines = ended([*VERIFY, str(path)])
        assert status == 64
        assert len(lines) == 1
        assert lines[0].isprintable()
