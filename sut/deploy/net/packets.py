"""Drops packets between processes of this machine by iptables, so that connections without a proxy can be cut too.

All servers share the loopback, and an outgoing connection does not bind its own address. So a rule names the
destination and, by `-m owner --gid-owner`, the sender. Each server has its own group id, which the kernel knows for
outgoing packets. Connections stay open; neither end is told.

Each run has one chain, named by its id. The first rule creates it and the last one removes it. A rule's comment says
for which fault it is there. So concurrent runs never see each other's rules, and a caller that knows a run's id can
remove all that it left.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sut.deploy.errors import PacketError

Address = tuple[str, int]

TIMEOUT_S: Final = 2.0
_LOCK_S: Final = "2"
"""Seconds that iptables waits for another instance to finish."""
_COUNTED: Final = re.compile(r"-c (\d+) \d+ ")
_COMMENT: Final = re.compile(r'--comment (?:"((?:\\.|[^"\\])*)"|(\S+))')
_SENDER: Final = re.compile(r"--gid-owner (\d+) ")


@dataclass(frozen=True, slots=True)
class Way:
    """TCP packets of one group's processes to an address."""

    gid: int
    to: Address

    def spec(self) -> str:
        """Return the match part of an iptables rule."""
        return f"-p tcp -m owner --gid-owner {self.gid} -d {self.to[0]} --dport {self.to[1]}"


class Packets:
    """One run's chain. Blocking; every call takes at most a few seconds. Usable from several threads."""

    def __init__(self, run_id: str) -> None:
        self._chain = f"petrel-{run_id}"
        self._lock = threading.Lock()

    def available(self) -> str | None:
        """Return None if packets can be dropped here by their sender, else why not. Tries it in a scratch chain."""
        if os.geteuid() != 0:
            return "needs root: iptables drops the packets"
        if shutil.which("iptables") is None:
            return "iptables is not installed"
        scratch = f"petrel-try-{os.getpid()}-{threading.get_ident() % 100_000}"
        try:
            _iptables("-N", scratch)
            try:
                _iptables("-A", scratch, *Way(1, ("127.0.0.1", 1)).spec().split(), "-j", "DROP")
            finally:
                _iptables("-F", scratch)
                _iptables("-X", scratch)
        except PacketError as error:
            return str(error)
        return None

    def drop(self, reason: str, ways: Iterable[Way]) -> None:
        """Drop these packets from now on, all at once. Raises PacketError; then none of them is dropped."""
        rules = [f"-A {self._chain} {way.spec()} -m comment --comment {_quoted(reason)} -j DROP" for way in ways]
        with self._lock:
            if not self._exists():
                _iptables("-N", self._chain)
                _iptables("-I", "OUTPUT", "-j", self._chain)
            try:
                _restore(rules)
            except PacketError:
                self._remove_if_empty()
                raise

    def allow(self, reason: str) -> None:
        """Remove the rules that `drop` added for that reason. Harmless when there are none. Raises PacketError."""
        with self._lock:
            found = [rule for rule in self._rules() if _comment(rule) == reason]
            if found:
                _restore(_COUNTED.sub("", rule).replace("-A", "-D", 1) for rule in found)
            self._remove_if_empty()

    def dropped(self, reason: str) -> Mapping[int, int]:
        """Return the packets dropped so far for that reason, by sending group. Raises PacketError."""
        packets: Counter[int] = Counter()
        for rule in self._rules():
            counted, sender = _COUNTED.search(rule), _SENDER.search(rule)
            if _comment(rule) == reason and counted and sender:
                packets[int(sender[1])] += int(counted[1])
        return packets

    def clear(self) -> None:
        """Remove all rules of the run, and its chain. Harmless when there are none. Raises PacketError."""
        if os.geteuid() != 0 or shutil.which("iptables") is None:
            return
        with self._lock:
            if self._exists():
                _iptables("-F", self._chain)
                self._remove_if_empty()

    def _rules(self) -> list[str]:
        """Return the rules of the chain with their counters."""
        return [line for line in _iptables("-v", "-S").splitlines() if line.startswith(f"-A {self._chain} ")]

    def _exists(self) -> bool:
        return f"-N {self._chain}" in _iptables("-S").splitlines()

    def _remove_if_empty(self) -> None:
        if self._exists() and not self._rules():
            _iptables("-D", "OUTPUT", "-j", self._chain)
            _iptables("-X", self._chain)


def _quoted(text: str) -> str:
    """Quote a text for iptables-restore."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _comment(rule: str) -> str | None:
    """Return the comment of a rule; iptables quotes it only where needed."""
    found = _COMMENT.search(rule)
    return re.sub(r"\\(.)", r"\1", found[1] or found[2]) if found else None


def _restore(rules: Iterable[str]) -> None:
    """Apply the rules in one step: all of them or none. Raises PacketError."""
    text = "\n".join(["*filter", *rules, "COMMIT", ""])
    _run(["iptables-restore", "-w", _LOCK_S, "--noflush"], text)


def _iptables(*arguments: str) -> str:
    return _run(["iptables", "-w", _LOCK_S, *arguments])


def _run(command: list[str], text: str = "") -> str:
    """Run the command and return its output. Raises PacketError."""
    try:
        ended = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S + float(_LOCK_S), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PacketError(f"{command[0]}: {error}") from None
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise PacketError(f"{command[0]} refuses: {said[0] if said else f'exit {ended.returncode}'}")
    return ended.stdout
