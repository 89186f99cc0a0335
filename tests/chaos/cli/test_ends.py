"""Whatever the machine lacks, nothing but a verdict ends with 1: 70, and one line."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from chaos.run import sketch

ROOT = Path(__file__).resolve().parents[3]
PETREL = [sys.executable, "-m", "chaos.cli"]


def ended(command: list[str], **changes: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if changes.get(name) != ""} | changes
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environ)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
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


@pytest.mark.parametrize("command", [RUN, ["verify", "--history", "history.jsonl"], ["verify", "run"]])
@pytest.mark.parametrize(
    "limit",
    [
        "ulimit -v 200000;",  # no memory
        "ulimit -u 1;",  # no processes or threads; root has no such limit
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
    if command is RUN and ("ulimit -u" in limit or "=" in limit):
        started += ["--variant", "nothing"]  # such a run would go well, and take minutes
    done = subprocess.run(
        ["/bin/sh", "-c", script, *started], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode in (0, 2, 64, 70), done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_into_a_directory_that_cannot_be_written_is_no_verdict(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").touch()
    for out in (closed, closed / "file", closed / "file" / "run", Path("/proc/run")):
        done = ended([*PETREL, "run", "quick", "--users", "4", "--out", str(out)])
        assert done.returncode in (64, 70), done.stderr
        assert str(out) in done.stderr
        assert "Traceback" not in done.stderr
