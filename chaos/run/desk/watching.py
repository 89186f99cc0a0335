"""Looks once a second at the system's processes, its links and the history of the test that goes on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import psutil

from chaos.run import manifest, sampler
from chaos.run.rundir import RunDir
from load.drive.desk import SUSPICIOUS_S, Counts
from load.history.ledger import LedgerReader
from sut.deploy.net.links import Links
from sut.deploy.system import System

Tell = Callable[[str, object], None]
JUDGE: Final = "chaos.run.desk.judging"
PAUSE_S: Final = 10.0
"""The shortest time between the end of one look by the checks and the next."""
SHARE: Final = 4.0
"""A look by the checks takes at most one part of this many + 1 of the time."""
OWN: Final = (
    "connections", "sockets", "unstored", "behind", "routes_waiting", "registry_up", "chats_up", "appended", "applied",
    "reads_waiting", "stalls", "draining", "resyncs", "ready",
)  # fmt: skip
"""The counters of a process that the page shows."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `cpu`: cores used since the look before; None: it has no process."""

    name: str
    kind: str
    status: str
    pid: int
    restarts: int
    ended: str
    rss_bytes: int | None
    cpu: float | None
    answers: bool | None
    """True if it answered within half a second; None if it is not asked."""
    stats: dict[str, float]


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One link with a proxy, and what is on it now."""

    name: str
    source: str
    target: str
    toxics: list[str]


class Watching:
    """The parts `topology`, `counts` and `checks`. One thread looks; another may tell which test to follow."""

    def __init__(self, system: System, *, tell: Tell) -> None:
        self._system, self._tell = system, tell
        self._pool = ThreadPoolExecutor(max_workers=4)
        self._links = Links(system.topology)
        self._has_links = bool(system.topology.links) and self._links.available() is None
        self._cpu: dict[tuple[str, int], tuple[int, float]] = {}
        self._run: Path | None = None
        self._reader: LedgerReader | None = None
        self._wanted: str | None = None
        self._judge: subprocess.Popen[bytes] | None = None
        self._began_s = self._next_s = 0.0
        self._last = ""
        """The run that the checks look at, also once it has ended."""
        self._final = True

    def follow(self, run: str) -> None:
        """Follow the test in this directory from the next look on; empty: none goes on."""
        self._wanted = run

    def look(self) -> None:
        """Look once, and tell what was seen."""
        self._turn()
        with contextlib.suppress(OSError):
            self._services()
        if self._reader is not None and self._run is not None:
            with contextlib.suppress(OSError):
                self._count(self._reader, self._run)
        self._check()

    def close(self) -> None:
        """End what looks on."""
        if self._judge is not None:
            self._judge.kill()
            self._judge.wait()
        self._pool.shutdown(cancel_futures=True)

    def _turn(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        if self._reader is not None:
            self._reader.close()
        self._reader = self._run = None
        if wanted:
            self._run = Path(wanted)
            self._reader = LedgerReader(self._run / "history")
            (self._run / "metrics").mkdir(exist_ok=True)
            if self._last != wanted:
                self._last, self._final, self._next_s = wanted, False, time.monotonic() + PAUSE_S
                self._tell("checks", None)

    def _services(self) -> None:
        states = self._system.state()
        samples = {sample.service: sample for sample in sampler.look(self._system, self._pool, {})}
        if self._run is not None and not (self._run / manifest.NAME).exists():
            with (self._run / "metrics" / "processes.jsonl").open("ab", buffering=0) as file:
                file.write(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples.values()))
        views = []
        for service in self._system.topology.services:
            state, sample = states[service.name], samples.get(service.name)
            views.append(
                ServiceView(
                    name=service.name, kind=service.kind, status=state.status, pid=state.pid, restarts=state.restarts,
                    ended=state.ended, rss_bytes=sample.rss_bytes if sample else None,
                    cpu=self._cores(sample) if sample else None,
                    answers=bool(sample and sample.stats) if "peer" in service.ports else None,
                    stats={name: sample.stats[name] for name in OWN if name in sample.stats} if sample else {},
                )
            )  # fmt: skip
        self._tell("topology", {"services": views, "links": self._link_views()})

    def _cores(self, sample: sampler.Sample) -> float | None:
        key = (sample.service, sample.pid)
        before, self._cpu[key] = self._cpu.get(key), (sample.t, sample.cpu_s)
        if before is None or sample.t <= before[0]:
            return None
        return round((sample.cpu_s - before[1]) / ((sample.t - before[0]) / 1e9), 3)

    def _link_views(self) -> list[LinkView]:
        views = []
        for link in self._system.topology.links:
            toxics: list[str] = []
            if self._has_links:
                with contextlib.suppress(Exception):  # the proxy may be what is broken
                    toxics = [f"{toxic.type} {toxic.stream}" for toxic in self._links.toxics(link.name)]
            views.append(LinkView(name=link.name, source=link.source, target=link.target, toxics=toxics))
        return views

    def _count(self, reader: LedgerReader, run: Path) -> None:
        seen = reader.update()
        counts = Counts(
            run=run.name, sends=seen.sends, acked=seen.acked, refused=seen.nacked, shown=seen.shown,
            online=seen.online, outstanding=reader.overdue(0.0), suspicious=reader.overdue(SUSPICIOUS_S),
            duplicates=seen.duplicates,
        )  # fmt: skip
        self._tell("counts", counts)

    def _check(self) -> None:
        """Have the history so far judged by a process of low priority, and once more when the run is judged."""
        if self._judge is not None:
            if self._judge.poll() is None:
                return
            assert self._judge.stdout is not None
            told = self._judge.stdout.read()
            self._judge.stdout.close()
            self._judge, now_s = None, time.monotonic()
            self._next_s = now_s + max(PAUSE_S, SHARE * (now_s - self._began_s))
            if told.strip():
                self._tell("checks", msgspec.Raw(told.strip()))
        if self._final or not self._last:
            return
        ended = RunDir(Path(self._last)).verdict.exists()
        if not ended and (self._run is None or time.monotonic() < self._next_s):
            return
        self._final, self._began_s = ended, time.monotonic()
        self._judge = subprocess.Popen(
            [sys.executable, "-P", "-m", JUDGE, self._last], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with contextlib.suppress(psutil.Error):
            psutil.Process(self._judge.pid).nice(19)
