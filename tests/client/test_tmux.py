"""Two people in two terminals: `petrel chat alice` and `petrel chat bob` talk through the crash of a gateway."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.deploy.system import System

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux on PATH: the terminals of `petrel chat` are its"),
]


class Terminal:
    """A tmux window in which a person chats."""

    def __init__(self, tmux: list[str], name: str, command: list[str]) -> None:
        self._tmux = tmux
        self.name = name
        shell = f"unset COLUMNS LINES; {subprocess.list2cmdline(command)}; echo ended with $?; sleep 600"
        self._call("new-session", "-d", "-s", name, "-x", "110", "-y", "70", shell)

    def _call(self, *arguments: str) -> str:
        return subprocess.run([*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout

    def say(self, text: str) -> None:
        """Type a line, and Enter."""
        self._call("send-keys", "-t", self.name, "-l", text)
        self._call("send-keys", "-t", self.name, "Enter")

    def press(self, key: str) -> None:
        self._call("send-keys", "-t", self.name, key)

    def screen(self) -> str:
        return self._call("capture-pane", "-p", "-t", self.name)

    def lines_of(self, person: str) -> list[str]:
        """What this person said, as it stands on this screen."""
        found = re.findall(rf"\d\d:\d\d {person}  (.*?)(?: […✓✗]+)?\s*$", self.screen(), re.MULTILINE)
        return [text.rstrip() for text in found]

    def wait(self, pattern: str) -> str:
        """Until the screen shows it; returns what was found."""
        deadline_s = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.screen())) is None:
            assert time.monotonic() < deadline_s, f"{pattern!r} is not on the screen of {self.name}:\n{self.screen()}"
            time.sleep(0.1)
        return found.group(0)


@pytest.fixture
def terminals(running: System, tmp_path: Path) -> Iterator[tuple[Terminal, Terminal]]:
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "chaos.cli", "chat"]
    options = ["--dir", running.topology.dir, "--state", str(tmp_path / "state")]
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield (
            Terminal([*tmux, "-u"], "alice", [*command, "alice", *options]),
            Terminal([*tmux, "-u"], "bob", [*command, "bob", *options]),
        )
    finally:
        os.environ.clear()
        os.environ.update(before)
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True, timeout=30)


def test_a_conversation_goes_through_a_gateways_crash(running: System, terminals: tuple[Terminal, Terminal]) -> None:
    alice, bob = terminals
    gateway = alice.wait(r"connected to gateway-\d").split()[-1]
    bob.wait(r"connected to gateway-\d")
    alice.say("/new bob")
    alice.wait(r"[●○] bob")
    alice.say("hello bob")
    bob.wait(r"alice  hello bob")
    said: dict[str, list[str]] = {"alice": ["hello bob"], "bob": []}
    pid = running.pid(gateway)
    for number in range(24):
        if number == 8:
            os.kill(pid or 0, signal.SIGKILL)
        for terminal in (alice, bob):
            text = f"{terminal.name} says {number}"
            terminal.say(text)
            said[terminal.name].append(text)
    alice.wait(r"alice says 23 ✓✓")
    bob.wait(r"bob says 23 ✓✓")
    alice.wait(r"bob  bob says 23")
    bob.wait(r"alice  alice says 23")
    for terminal in (alice, bob):
        for person, lines in said.items():
            assert terminal.lines_of(person) == lines, terminal.screen()
    assert running.pid(gateway) != pid, "it was killed"
    alice.press("C-c")
    alice.wait(r"ended with 0")
    bob.say("/quit")
    bob.wait(r"ended with 0")
