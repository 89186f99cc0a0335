"""What the pages show of a test by hand besides its counts: points over time, the desk's news, an experiment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gevent
import msgspec

from load.drive.desk import Counts
from load.history.latency import Histogram
from load.history.recorder import Counters
from load.history.writer import now_ns
from load.webui.asked import Experiment
from load.webui.desk import Desk
from load.webui.series import Series
from load.workload import MAX_GREENLETS

POINT_S: Final = 1.0
ELSEWHERE: Final = "a runner started this swarm: its schedule breaks the system"
Look = Callable[[], tuple[Counters, Histogram]]
"""Returns the counters of the swarm so far, and its latencies to the display."""

_LOGGER = logging.getLogger("petrel")


class Live:
    """One for the leading Locust process; a test follows another."""

    def __init__(self, directory: Path | None) -> None:
        """`directory`: of the running system; None: there is no page, or a runner started the swarm."""
        self._desk = Desk(directory) if directory is not None else None
        self._run: Path | None = None
        self.series = Series()
        self.wanted: Experiment | None = None
        """The experiment that the page asked for: the test that goes on is it, or the next one."""

    def prepare(self) -> None:
        """A test is being prepared."""
        self.series = Series()

    def begin(self, run: Path, t0_ns: int, look: Look, stop: Callable[[], None]) -> None:
        """A test begins: follow it, and carry out the experiment that was asked for; `stop` ends the test then."""
        self._run = run
        if self._desk is not None:
            gevent.spawn(self._draw, run, look)
            gevent.spawn(self._accompany, self._desk, run, t0_ns, stop)

    def settle(self) -> None:
        """No more sends: what the schedule broke is healed before the traffic ends."""
        if self.wanted is not None:
            self.ask(do="drop")

    def end(self) -> None:
        """The test is over: nothing may be added to its directory."""
        self._run, self.wanted = None, None
        if self._desk is not None and self._desk.parts:
            self._desk.ask(do="follow", run="")

    def quit(self) -> None:
        """Have everything healed, and end the desk."""
        if self._desk is not None:
            self._desk.stop()

    def counts(self, run: str) -> Counts | None:
        """Return what the history of a run says, by the name of its directory; None if it is not known."""
        raw = self._desk.parts.get("counts") if self._desk is not None else None
        counts = msgspec.json.decode(raw, type=Counts) if raw is not None else None
        return counts if counts is not None and counts.run == run else None

    def parts(self) -> dict[str, msgspec.Raw]:
        """Return the parts of the page that the desk keeps, as JSON, and the problem if there is no desk."""
        if self._desk is None:
            return {"problem": msgspec.Raw(msgspec.json.encode(ELSEWHERE))}
        self._desk.start()
        return {**self._desk.parts, "problem": msgspec.Raw(msgspec.json.encode(self._desk.problem))}

    def ask(self, **order: Any) -> tuple[bool, str]:
        """Give the desk an order. Returns whether it was obeyed, and what was said."""
        return self._desk.ask(**order) if self._desk is not None else (False, ELSEWHERE)

    def arrange(self, wanted: Experiment) -> tuple[bool, str]:
        """Lay out an experiment for the next test. Returns whether it can be, and what was said."""
        if not 1 <= wanted.users <= MAX_GREENLETS:
            return False, f"users are from 1 to {MAX_GREENLETS}, not {wanted.users}"
        ok, text = self.ask(do="draw", experiment=wanted.experiment, seed=wanted.seed, duration_s=wanted.duration_s)
        if ok:
            self.wanted = wanted
            text = "; ".join(filter(None, (f"{wanted.experiment} begins", text)))
        return ok, text

    def _draw(self, run: Path, look: Look) -> None:
        while self._run == run:
            counters, shown = look()
            self.series.add(now_ns() / 1e9, counters, shown, self.counts(run.name))
            gevent.sleep(POINT_S)

    def _accompany(self, desk: Desk, run: Path, t0_ns: int, stop: Callable[[], None]) -> None:
        wanted = self.wanted
        desk.ask(do="follow", run=str(run))
        if wanted is None:
            return
        ok, text = desk.ask(do="begin", t0_ns=t0_ns)
        _LOGGER.info("%s: %s", wanted.experiment, text if ok else f"no faults: {text}")
        gevent.sleep(max(0.0, (t0_ns - now_ns()) / 1e9 + wanted.duration_s))
        if self._run == run:
            gevent.spawn(stop)
