"""Starts the desk: `python -m chaos.run.desk DIR`. It ends when its standard input does, and heals all before."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from chaos.errors import HARNESS, ChaosError
from load.drive.desk import Answer, News, Order

EVERY_S: Final = 1.0


class Out:
    """Writes news to standard output, a line each; parts that did not change are left out. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, bytes] = {}

    def part(self, name: Any, value: object) -> None:
        """Tell one part of the page."""
        text = msgspec.json.encode(value)
        with self._lock:
            if self._told.get(name) == text:
                return
            self._told[name] = text
            self._write(msgspec.json.encode(News(part=name, value=msgspec.Raw(text))))

    def answer(self, order: Order, *, ok: bool, text: str) -> None:
        """Answer an order: whether it was carried out, and a sentence for the page."""
        with self._lock:
            self._write(msgspec.json.encode(Answer(number=order.number, ok=ok, text=text)))

    @staticmethod
    def _write(line: bytes) -> None:
        with contextlib.suppress(OSError):  # the page is gone: standard input ends too
            os.write(1, line + b"\n")


def serve(directory: Path) -> int:
    """Take orders until standard input ends. Returns the exit status. Raises ChaosError."""
    from chaos.run.desk.injections import Injections
    from chaos.run.desk.watching import Watching
    from sut.deploy.system import System

    out = Out()
    system = System.attach(directory)
    injections = Injections(system, tell=out.part)
    watching = Watching(system, tell=out.part)
    signal.signal(signal.SIGUSR1, lambda *_: injections.heal())
    done = threading.Event()

    def look() -> None:
        failed = ""
        while not done.wait(EVERY_S):
            try:
                injections.publish()
                watching.look()
            except Exception as error:  # noqa: BLE001 (a look that fails must not end all later ones)
                said = f"{type(error).__name__}: {error}"
                if said != failed:
                    sys.stderr.write(f"a look at the system failed: {said}\n")
                failed = said

    looker = threading.Thread(target=look, name="look", daemon=True)
    looker.start()
    try:
        for line in sys.stdin.buffer:
            order = msgspec.json.decode(line, type=Order)
            if order.do == "follow":
                watching.follow(order.run)
                injections.follow(order.run)
                out.answer(order, ok=True, text="")
                continue
            try:
                out.answer(order, ok=True, text=injections.obey(order))
            except ChaosError as error:
                out.answer(order, ok=False, text=str(error))
    finally:
        done.set()
        injections.close()
        watching.close()
    return 0


def main() -> int:
    """Returns the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal is for Locust, which then ends the input
    from sut.deploy.errors import DeployError

    try:
        return serve(Path(sys.argv[1]).absolute())
    except (ChaosError, DeployError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return HARNESS


if __name__ == "__main__":
    sys.exit(main())
