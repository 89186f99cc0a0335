"""The desk of the page: starts chaos.run.desk beside the leading Locust process, gives it orders, keeps its news."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import gevent
import gevent.subprocess
import msgspec
from gevent.event import AsyncResult

from load.drive.desk import Answer, News, Order

MODULE: Final = "chaos.run.desk"
"""A process of its own, for nothing here may import it."""
ANSWER_S: Final = 15.0
END_S: Final = 60.0
"""At the end, until what is broken is healed; then a watchdog heals it."""
AGAIN_S: Final = 10.0
"""The shortest time from one start of the desk to the next."""
ABSENT: Final = "the desk is not there: faults cannot be injected from this page"

_LOGGER = logging.getLogger("petrel")
_NEWS: Final = msgspec.json.Decoder(Answer | News)


class Desk:
    """One desk for one system. It is started by the first that needs it, and again if it ended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: Any = None
        self._waiting: dict[int, AsyncResult] = {}
        self._number = 0
        self._again_s = 0.0
        self.parts: dict[str, msgspec.Raw] = {}
        """The newest state of each part of the page, as JSON."""
        self.problem = ""
        """Why there is no desk; empty while there is one."""

    def start(self) -> None:
        """Start it unless it is there."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None and time.monotonic() < self._again_s:
            return  # it ended just now, and said why
        if not (self._directory / "state.json").exists():
            self.problem = f"no system was started in {self._directory}"
            return
        try:
            self._process = gevent.subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(self._directory)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            self.problem = f"the desk cannot be started: {error.strerror}"
            return
        self.problem, self._again_s = "", time.monotonic() + AGAIN_S
        gevent.spawn(self._read, self._process)

    def ask(self, **order: Any) -> tuple[bool, str]:
        """Give an order. Returns whether it was obeyed, and what was said."""
        self.start()
        if self.problem:
            return False, self.problem
        self._number += 1
        number, result = self._number, AsyncResult()
        self._waiting[number] = result
        try:
            self._process.stdin.write(msgspec.json.encode(Order(number=number, **order)) + b"\n")
            self._process.stdin.flush()
            answer: Answer = result.get(timeout=ANSWER_S)
        except (OSError, ValueError):
            return False, ABSENT
        except gevent.Timeout:
            return False, f"the desk does not answer within {ANSWER_S:g} s"
        finally:
            self._waiting.pop(number, None)
        return answer.ok, answer.text

    def stop(self) -> None:
        """Have everything healed, and end it."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.stdin.close()
            process.wait(END_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()

    def _read(self, process: Any) -> None:
        for line in process.stdout:
            try:
                news = _NEWS.decode(line)
            except msgspec.DecodeError as error:
                _LOGGER.warning("the desk said something else: %s", error)
                continue
            if isinstance(news, News):
                self.parts[news.part] = news.value.copy()
            elif news.number in self._waiting:
                self._waiting[news.number].set(news)
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
        self.problem = f"the desk ended: {said[-1]}" if said else ABSENT
        self.parts.clear()
        for result in self._waiting.values():
            result.set(Answer(number=0, ok=False, text=self.problem))
