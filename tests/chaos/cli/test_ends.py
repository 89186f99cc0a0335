"""Whatever the machine lacks, nothing but a verdict ends with 1: 70, and one line."""

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.run import outcome, rundir, sketch
from chaos.verdict import canary
from chaos.verdict.history import export
from sut.deploy.machine import may_isolate
from tests.chaos.run.test_manifest import fill

ROOT = Path(__file__).resolve().parents[3]
PETREL = [sys.executable, "-m", "chaos.cli"]
Done = subprocess.CompletedProcess[str]


def ended(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if changes.get(name) != ""} | changes
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environ)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_status(closed: str) -> None:
    for arguments, status in (("variants", 0), ("run nothing", 64)):
        done = ended(["sh", "-c", f'"$0" -m chaos.cli {arguments} {closed}', sys.executable])
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_output_is_70_and_one_line() -> None:
    done = ended(["sh", "-c", '"$0" -m chaos.cli variants > /dev/full', sys.executable])
    assert (done.returncode, done.stderr) == (70, "petrel: No space left on device\n")


def test_without_a_home_there_is_a_line() -> None:
    script = (
        "import os, pathlib\n"
        "from chaos.cli.petrel import _unforeseen\n"
        "os.environ.pop('HOME', None)\n"
        "pathlib.Path.home()\n"
        "os.setuid(54321)\n"
        "try:\n    pathlib.Path.home()\nexcept RuntimeError as error:\n    print(_unforeseen(error))\n"
    )
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody whom the machine does not know")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "there is no home directory; set HOME\n", done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("can't start new thread"), "the machine gives no more threads (ulimit -u)"),
        (BaseException("called `Result::unwrap()`"), "a native library gave up: called `Result::unwrap()`"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
    ],
)
def test_what_nobody_foresaw_is_70_and_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    def stumble(_profile: str) -> None:
        raise error

    monkeypatch.setattr(sketch, "offers", stumble)
    assert cli.main(["faults"]) == 70
    assert capsys.readouterr().err == f"petrel: {said}\n"


def test_a_bug_without_a_place_for_its_traceback_is_still_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def stumble(_profile: str) -> None:
        raise ZeroDivisionError("over")

    monkeypatch.setattr(sketch, "offers", stumble)
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert cli.main(["faults"]) == 70
    line = capsys.readouterr().err
    assert line.startswith("petrel: a bug in the harness: ZeroDivisionError: over; no traceback could be kept: ")
    assert line.count("\n") == 1


def test_a_bug_without_memory_for_its_traceback_is_still_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_profile: str) -> None:
        raise ZeroDivisionError("over")

    monkeypatch.setattr(sketch, "offers", stumble)
    monkeypatch.setitem(sys.modules, "tempfile", None)  # as where its parts cannot be mapped
    assert cli.main(["faults"]) == 70
    assert capsys.readouterr().err.startswith("petrel: a bug in the harness: ZeroDivisionError: over; no traceback")


def test_a_command_line_that_cannot_be_loaded_is_70_and_a_line() -> None:
    script = "import sys; sys.modules['chaos.cli.petrel'] = None; from chaos.cli.__main__ import main; sys.exit(main())"
    done = ended([sys.executable, "-c", script])
    assert done.returncode == 70
    assert done.stderr.startswith("petrel: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("megabytes", [120, 250, 500, 900])
def test_a_machine_without_memory_is_never_taken_for_a_verdict(megabytes: int, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text("".join(f'{{"e":"device","t":{n},"device":{n},"user":{n}}}\n' for n in range(1, 2000)))
    limit = megabytes << 20

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [*PETREL, "verify", "--history", str(history)],
        cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=bounded,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (70, "petrel: out of memory\n")


RUN = ["run", "quick", "--users", "4", "--duration", "60", "--out", "run"]


@pytest.mark.parametrize("command", [RUN, ["verify", "--history", "history.jsonl"]])
@pytest.mark.parametrize(
    "limit",
    [
        "ulimit -v 200000;",  # no memory
        "ulimit -n 5;",  # no files; the interpreter itself needs that many
        "ulimit -f 0;",  # nothing can be written
        "TMPDIR=/proc/nowhere",
        "HOME=/nowhere",
        "HOME=",
    ],
)
def test_run_and_verify_end_early_and_never_with_1(command: list[str], limit: str, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"e":"device","t":1,"device":1,"user":1}\n')
    script = f'{limit} PETREL_REDIS=/nowhere PATH=/nowhere exec "$0" "$@"'
    started = [*PETREL[:1], "-m", "chaos.cli", *command]
    if command is RUN and "=" in limit:
        started += ["--variant", "nothing"]  # such a run would go well, and take minutes
    done = subprocess.run(
        ["/bin/sh", "-c", script, *started], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode in (0, 2, 64, 70), done.stderr
    assert "Traceback" not in done.stderr


NOBODY = 54321
"""A user without processes: root itself is not bound by a limit of processes."""
AS_NOBODY = (
    ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    if os.geteuid() == 0
    else []
)
READ_ONLY = (
    'for d in /tmp /var/tmp "$PWD"; do mount --bind "$d" "$d" && mount -o remount,bind,ro "$d" || exit 99; done; '
    'cd "$PWD" && exec "$@"'
)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """The directory of a small run that is judged and closed; and history.jsonl beside it."""
    directory = rundir.make(tmp_path / "run")
    fill(directory)
    (directory.path / canary.NAME).unlink()
    outcome.conclude(directory, say=print)
    with (tmp_path / "history.jsonl").open("wb") as file:
        export.write_jsonl(outcome.load(directory.path, say=print), file)
    return directory.path


COMMANDS = (
    ["verify", "run"],
    ["verify", "--history", "history.jsonl"],
    ["history", "run"],
    ["history", "run", "--format", "parquet"],
    ["run", "quick", "--users", "4", "--duration", "60", "--out", "new"],
    ["up", "--dir", "new"],
    ["limits", "--out", "new"],
    ["bench", "fanout", "--out", "new"],
    ["ui", "--out", "new"],
    ["doctor"],
)


@pytest.mark.skipif(bool(AS_NOBODY) and not shutil.which("setpriv"), reason="needs setpriv, to be nobody")
@pytest.mark.parametrize(
    ("processes", "command"),
    [  # with some processes what is new may begin, and go on for minutes
        pytest.param(processes, command, marks=[pytest.mark.long] if processes == 2 else [])
        for processes in (1, 2, 4)
        for command in COMMANDS
        if processes == 1 or "new" not in command
    ],
)
def test_without_threads_and_processes_there_is_a_line_and_never_a_verdict_of_1(
    closed: Path, processes: int, command: list[str]
) -> None:
    if AS_NOBODY:
        for path in (closed.parent, closed):
            os.chown(path, NOBODY, NOBODY)

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))

    done = inside(closed.parent, *AS_NOBODY, *PETREL, *command, preexec_fn=bounded)
    assert done.returncode in (0, 2, 64, 70), done.stderr
    assert "Traceback" not in done.stderr
    if processes == 1 and command[0] not in ("history", "doctor"):
        assert done.returncode == 70, done.stderr
        assert re.search(r"^petrel: .*Resource temporarily unavailable", done.stderr, re.MULTILINE), done.stderr


@pytest.mark.skipif(not may_isolate(), reason="needs root, unshare and nsenter")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_where_nothing_can_be_written_there_is_a_line_and_never_a_verdict_of_1(
    closed: Path, command: list[str]
) -> None:
    done = inside(closed.parent, "unshare", "-m", "sh", "-c", READ_ONLY, "sh", *PETREL, *command)
    assert done.returncode in (0, 2, 64, 70), done.stderr
    assert "Traceback" not in done.stderr
    if command[0] in ("verify", "doctor") or command == ["history", "run"]:
        assert done.returncode == inside(closed.parent, *PETREL, *command).returncode, done.stderr
    else:
        assert done.returncode in (64, 70)
        assert "Read-only file system" in done.stderr
        assert done.stderr.startswith("petrel: "), done.stderr


def inside(directory: Path, *command: str, preexec_fn: Callable[[], None] | None = None) -> Done:
    """What a command does that is started in a directory."""
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, check=False, timeout=120, preexec_fn=preexec_fn,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_run_into_a_directory_that_cannot_be_written_is_no_verdict(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").touch()
    for out in (closed, closed / "file", closed / "file" / "run", Path("/proc/run")):
        done = ended([*PETREL, "run", "quick", "--users", "4", "--out", str(out)])
        assert done.returncode in (64, 70), done.stderr
        assert str(out) in done.stderr
        assert "Traceback" not in done.stderr
