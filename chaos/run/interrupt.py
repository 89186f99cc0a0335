"""Ctrl-C, SIGTERM and SIGHUP: the first asks a run to end in good order, the second ends it at once.

The handler only records the signal; the runner checks for it regularly. It raises in two cases: while the runner waits
for a system to start, and at the second signal.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Final, Self

TIME_LEFT_S: Final = 13.0
"""Seconds from the first signal to the exit; two below the promised time."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The first signal, while the runner waits for a system to start."""


class Aborted(BaseException):
    """The second signal: end every process and exit."""


class Interrupt:
    """Installs the handlers while it is entered. Main thread only."""

    def __init__(self) -> None:
        self._first_s = 0.0
        self._raise_now = False
        self._aborting = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """True once the first signal came."""
        return self._first_s > 0

    def left_s(self, timeout_s: float, *, keep_s: float) -> float:
        """Return the timeout in s, or after an interruption the time left, less `keep_s` for later steps."""
        if not self.asked:
            return timeout_s
        return max(0.0, min(timeout_s, self._first_s + TIME_LEFT_S - keep_s - time.monotonic()))

    def expiry(self, timeout_s: float, *, keep_s: float) -> Callable[[], bool]:
        """Return a function that is true once the timeout is over, or an interruption leaves only `keep_s`."""
        deadline_s = time.monotonic() + timeout_s
        return lambda: time.monotonic() > deadline_s or self.left_s(1.0, keep_s=keep_s) <= 0

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Raise Interrupted at the first signal while this context is active."""
        self._raise_now = True
        try:
            yield
        finally:
            self._raise_now = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self._first_s = time.monotonic()
            if self._raise_now:
                raise Interrupted
        elif not self._aborting:
            self._aborting = True
            raise Aborted
