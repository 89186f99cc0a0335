"""The console on odd terminals: without columns, without characters beyond ASCII, gone in the middle."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from chaos.screen.console import MIN_WIDTH, PIPE_WIDTH, for_people

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("columns", "width"), [("0", PIPE_WIDTH), ("x", PIPE_WIDTH), ("3", MIN_WIDTH), ("99", 99)])
def test_columns_count_when_they_are_above_0(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert for_people().width == width


def test_a_terminal_of_0_columns_in_ascii_shows_whole_words() -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (0, 0))
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "chaos.cli", "variants"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=follower, stderr=follower, env=environ | {"PYTHONIOENCODING": "ascii"}
    ) as shown:
        os.close(follower)
        seen = b""
        try:
            while part := os.read(leader, 4096):
                seen += part
        except OSError:  # its end
            pass
    os.close(leader)
    assert shown.returncode == 0
    assert b"ack_before_durable" in seen


GONE = """
import os, pty, sys
from chaos.screen.console import for_people
leader, follower = pty.openpty()
sys.stdout = os.fdopen(follower, "w")
console = for_people()
console.print("before")
os.close(leader)
for _ in range(3):
    console.print("after")
print("went on", file=sys.stderr)
"""


def test_a_terminal_that_is_gone_does_not_end_what_goes_on() -> None:
    ended = subprocess.run([sys.executable, "-c", GONE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "went on\n")
