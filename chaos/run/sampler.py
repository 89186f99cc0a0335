"""Samples every process of the run once a second: memory and CPU from the kernel, and its own counters.

One JSON object a line in RUN_DIR/metrics/processes.jsonl. The samples explain a run and never judge it, so a process
that does not answer or is gone is a missing line or missing numbers, not an error. Who used the cores is told besides,
for the check `machine`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
import psutil

from chaos.run.background import Background
from load.drive.machine import Cores
from load.history.control import Machine
from load.history.writer import now_ns
from sut.deploy.probes import probe
from sut.deploy.system import System

PERIOD_S: Final = 1.0
PING_TIMEOUT_S: Final = 0.5


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One process at one time. `cpu_s`: user and system seconds used so far."""

    t: int
    service: str
    pid: int
    rss_bytes: int
    cpu_s: float
    stats: dict[str, float] = {}


class Sampler(Background):
    """Samples in the background from `start` to `stop`. `others` returns processes outside the topology, by name."""

    def __init__(
        self, system: System, path: Path, *, others: Callable[[], dict[str, int]], tell: Callable[[Machine], None]
    ) -> None:
        super().__init__("sampler")
        self._system = system
        self._path = path
        self._others = others
        self._tell = tell

    def _run(self) -> None:
        encoder, cores = msgspec.json.Encoder(), Cores()
        # One slow process (stopped by a fault, say) must not delay the look at the others.
        with ThreadPoolExecutor(max_workers=4) as pool, self._path.open("ab", buffering=0) as file:
            while not self._stop.wait(PERIOD_S):
                samples = look(self._system, pool, self._others())
                seen = cores.look("runner", {sample.pid: sample.cpu_s for sample in samples})
                with contextlib.suppress(OSError):  # a full disk costs samples; those who must write tell of it
                    file.write(b"".join(encoder.encode(sample) + b"\n" for sample in samples))
                    if seen is not None:
                        self._tell(seen)


def look(system: System, pool: ThreadPoolExecutor, others: Mapping[str, int]) -> list[Sample]:
    """Return one sample of each process that lives. `others`: pids of processes outside the topology, by name."""
    pids = {name: state.pid for name, state in system.state().items() if state.pid} | dict(others)
    with_peer = [service for service in system.topology.services if "peer" in service.ports]
    secret = system.topology.peer_secret
    pongs = pool.map(lambda s: probe.peer_ping((s.host, s.ports["peer"]), PING_TIMEOUT_S, secret), with_peer)
    stats = {pong.node: pong.stats for pong in pongs if pong is not None}
    samples = (_look(name, pid, stats.get(name, {})) for name, pid in pids.items())
    return [sample for sample in samples if sample is not None]


def _look(name: str, pid: int, stats: dict[str, float]) -> Sample | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu = process.cpu_times()
            rss_bytes = process.memory_info().rss
    except psutil.Error:
        return None
    return Sample(t=now_ns(), service=name, pid=pid, rss_bytes=rss_bytes, cpu_s=cpu.user + cpu.system, stats=stats)
