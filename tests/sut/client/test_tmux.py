"""People in terminals: two talk through the crash of a gateway; one adds a device, and opens one twice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sut.deploy.system import System
from tests.kit.waits import Deadline

ROOT = Path(__file__).resolve().parents[3]
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
        deadline = Deadline(PATIENCE_S, told=lambda: f"{pattern!r} on the screen of {self.name}:\n{self.screen()}")
        while (found := re.search(pattern, self.screen())) is None:
            deadline.check()
            time.sleep(0.1)
        return found.group(0)


@pytest.fixture
def terminal(running: System, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens one: of a person, at a device."""
    tmux = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "chaos.cli.petrel", "chat"]
    options = ["--dir", running.topology.dir, "--state", str(tmp_path / "state")]
    before = dict(os.environ)
    os.environ.update(environment)

    def made(person: str, device: str = "", *, window: str = "") -> Terminal:
        at = ["--device", device] if device else []
        return Terminal([*tmux, "-u"], window or f"{person}{device}", [*command, person, *options, *at])

    try:
        yield made
    finally:
        os.environ.clear()
        os.environ.update(before)
        subprocess.run([*tmux, "kill-server"], check=False, capture_output=True, timeout=30)


def test_a_conversation_goes_through_a_gateways_crash(running: System, terminal: Callable[..., Terminal]) -> None:
    alice, bob = terminal("alice"), terminal("bob")
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


@pytest.mark.long
def test_a_person_adds_a_laptop_and_opens_it_twice(terminal: Callable[..., Terminal]) -> None:
    sam, tea = terminal("sam"), terminal("tea")
    for one in (sam, tea):
        one.wait(r"connected to gateway-\d")
    sam.say("/new tea")
    sam.wait(r"[●○] tea")
    sam.say("before the laptop")
    tea.wait(r"sam  before the laptop")
    laptop = terminal("sam", "laptop")
    laptop.wait(r"sam has another device already")
    code = laptop.wait(r"/link laptop( \d{5}){6}")
    sam.say(code)
    number = sam.wait(r"account number there, \d{5}").split()[-1]
    laptop.wait(rf"account number, {number}")
    laptop.wait(r"connected to gateway-\d")
    laptop.wait(r"[●○] tea")
    laptop.wait(r"— what was written before this device was added")
    assert "before the laptop" not in laptop.screen()
    sam.say("from the terminal")
    laptop.say("from the laptop")
    for one in (sam, tea, laptop):
        one.wait(r"sam  from the terminal")
        one.wait(r"sam  from the laptop")
    tea.say("hello both")
    for one in (sam, laptop):
        one.wait(r"tea  hello both")
    assert len(laptop.lines_of("sam")) == 2, laptop.screen()
    newest = terminal("sam", "laptop", window="newest")
    laptop.wait(r"petrel: this device was opened in another terminal and goes on there; this one has ended")
    laptop.wait(r"ended with 70")
    newest.wait(r"tea  hello both")
    newest.wait(r"connected to gateway-\d")
    sam.say("/unlink laptop")
    sam.wait(r"laptop is not one of your devices any more")
    newest.wait(r"stopped: this device")
    tea.say("just you")
    sam.wait(r"tea  just you")
    assert "just you" not in newest.screen()
    newest.say("/quit")
    newest.wait(r"ended with 70")
