"""Tells Prometheus what no process can tell of itself: who is dead, hung or restarted, and what is broken.

Every service of a running system is probed from outside, as a start does it: ours, Redis, Sentinel, Kafka, Cassandra
and Toxiproxy. Memory, CPU and open files come from the kernel, restarts from the supervisor. The faults that are
injected now come from the undo ledger, so dashboards can mark them. In a run, the counts of the swarm are told too.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chaos.errors import ChaosError
from chaos.faults import undo
from chaos.run.background import Background
from load.history.control import ControlReader, Fault
from load.history.ledger import Ledger, LedgerReader
from sut.deploy.errors import DeployError
from sut.deploy.probes import health, probe
from sut.deploy.supervise.state import ProcessState
from sut.deploy.system import System
from sut.deploy.topology import Service

PERIOD_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 1.0
AT_ONCE: Final = 8
"""Probes at the same time: one that hangs must not delay the others."""


class Looked(NamedTuple):
    """What was seen of one service."""

    problem: str | None
    took_s: float
    state: ProcessState
    stopped: bool = False
    """The kernel does not run it (SIGSTOP)."""
    rss_bytes: float = 0.0
    cpu_s: float = 0.0
    fds: float = 0.0
    max_fds: float = 0.0
    master: bool | None = None
    """A Redis: True if it takes itself for the master."""


class Exporter(Background, Collector):
    """Looks at one system each second, from `start` to `stop`. What it saw last is what a scrape gets."""

    def __init__(self, system: System) -> None:
        super().__init__("exporter")
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._system = system
        self._services = system.topology.services
        self._seen: dict[str, Looked] = {}
        self._swarm: Ledger | None = None
        self._reader: LedgerReader | None = None
        self._faults = BrokenNow(system.topology.path)
        self._broken: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is to tell is known after the first look."""
        return ()

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._stop.wait(PERIOD_S):
                states = self._system.state()
                looks = pool.map(self._look, self._services, [states.get(s.name) for s in self._services])
                seen = dict(zip((service.name for service in self._services), looks, strict=True))
                broken = self._faults.active()
                swarm = self._count()
                with self._lock:
                    self._seen, self._broken, self._swarm = seen, broken, swarm

    def _look(self, service: Service, state: ProcessState | None) -> Looked:
        state, began_s = state or ProcessState(), time.monotonic()
        try:
            problem = health.problem(self._system.topology, service, PROBE_TIMEOUT_S)
        except (OSError, DeployError) as error:
            problem = str(error)
        took_s = time.monotonic() - began_s
        master = self._is_master(service)
        if not state.pid:
            return Looked(problem, took_s, state, master=master)
        try:
            process = psutil.Process(state.pid)
            with process.oneshot():
                cpu = process.cpu_times()
                return Looked(
                    problem,
                    took_s,
                    state,
                    stopped=probe.process_state(state.pid) == "T",
                    rss_bytes=float(process.memory_info().rss),
                    cpu_s=cpu.user + cpu.system,
                    fds=float(process.num_fds()),
                    max_fds=_max_fds(process),
                    master=master,
                )
        except psutil.Error:
            return Looked(problem, took_s, state, master=master)

    def _is_master(self, service: Service) -> bool | None:
        if service.kind != "redis":
            return None
        topology = self._system.topology
        address = service.host, service.ports["redis"]
        role = probe.redis_role(address, PROBE_TIMEOUT_S, topology.redis_login("operator"))
        return role.role == "master" if role is not None else None

    def _count(self) -> Ledger | None:
        """Return the counts of the swarm; None while there is none."""
        history = self._system.topology.path / "history"
        if self._reader is None:
            if not any(history.glob("*.bin")):
                return None
            self._reader = LedgerReader(history)
        with contextlib.suppress(OSError):
            return self._reader.update()
        return self._swarm

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            seen, broken, swarm = self._seen, self._broken, self._swarm
        yield from self._services_seen(seen)
        active = GaugeMetricFamily(
            "petrel_fault_active", "1 while this is broken on purpose.", labels=["fault", "target"]
        )
        for (fault, target), value in broken.items():
            active.add_metric([fault, target], value)
        yield active
        room = shutil.disk_usage(self._system.topology.path)
        yield GaugeMetricFamily("petrel_disk_free_bytes", "Free space of the system's directory.", float(room.free))
        yield GaugeMetricFamily("petrel_disk_size_bytes", "Size of the disk of that directory.", float(room.total))
        if swarm is not None:
            yield from _swarm_seen(swarm)

    def _services_seen(self, seen: dict[str, Looked]) -> Iterable[Metric]:
        labels = ["service", "kind"]
        gauges = {
            "healthy": "1 if it answers and has no problem.",
            "running": "1 while there is a process of it.",
            "stopped": "1 while the kernel does not run it (SIGSTOP).",
            "probe_duration_seconds": "Time of the last look at it.",
            "resident_memory_bytes": "Memory of its process.",
            "open_fds": "Open files of its process.",
            "max_fds": "Open files that its process may have.",
        }
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            name: GaugeMetricFamily(f"petrel_service_{name}", text, labels=labels) for name, text in gauges.items()
        }
        families["restarts"] = CounterMetricFamily("petrel_service_restarts", "Starts after the first.", labels=labels)
        families["cpu"] = CounterMetricFamily("petrel_service_cpu_seconds", "CPU time of its process.", labels=labels)
        for service in self._services:
            looked = seen.get(service.name)
            if looked is None:
                continue
            values = {
                "healthy": float(looked.problem is None),
                "running": float(looked.state.status in ("running", "external")),
                "stopped": float(looked.stopped),
                "probe_duration_seconds": looked.took_s,
                "restarts": float(looked.state.restarts),
            }
            if looked.rss_bytes:
                values |= {"resident_memory_bytes": looked.rss_bytes, "open_fds": looked.fds, "cpu": looked.cpu_s}
            if looked.max_fds:
                values["max_fds"] = looked.max_fds
            for name, value in values.items():
                families[name].add_metric([service.name, service.kind], value)
        masters = GaugeMetricFamily("petrel_redis_master", "1 if it takes itself for the master.", labels=["service"])
        for name, looked in seen.items():
            if looked.master is not None:
                masters.add_metric([name], float(looked.master))
        return [*families.values(), masters]


def _max_fds(process: psutil.Process) -> float:
    """Return the limit of open files; 0 if the kernel does not tell it of a process with a group of its own."""
    try:
        return float(process.rlimit(psutil.RLIMIT_NOFILE)[0])
    except psutil.AccessDenied:
        return 0.0


class BrokenNow:
    """What is broken on purpose now: the injections of a run by their lines, those by hand by their promises."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._readers: dict[Path, ControlReader] = {}
        self._injected: dict[str, tuple[str, str]] = {}

    def active(self) -> dict[tuple[str, str], float]:
        """Return 1 or 0 for each (fault, target) that was injected since the start."""
        with contextlib.suppress(OSError):
            self._follow()
        open_ids: set[str] = set()
        with contextlib.suppress(ChaosError, OSError):
            open_ids = {promise.undo for promise in undo.pending(self._directory / "undo.jsonl")}
        told = dict.fromkeys(self._injected.values(), 0.0)
        for name in open_ids:
            told[self._injected.get(name, ("by hand", name))] = 1.0
        return told

    def _follow(self) -> None:
        for history in (self._directory / "history", *self._directory.glob("swarm-*/history")):
            if history.is_dir():
                reader = self._readers.setdefault(history, ControlReader(history))
                for event in reader.poll():
                    if isinstance(event, Fault) and event.phase == "inject":
                        self._injected[event.fault] = (event.name, event.target)


def _swarm_seen(swarm: Ledger) -> Iterable[Metric]:
    counters = {
        "sends": ("Messages that devices wanted to send.", swarm.sends),
        "acked_sends": ("Messages that were confirmed.", swarm.acked),
        "refused_sends": ("Messages that were refused for good.", swarm.nacked),
        "shown_deliveries": ("Messages displayed at another device.", swarm.shown),
        "duplicate_deliveries": ("Messages displayed at or below a number displayed before.", swarm.duplicates),
    }
    for name, (text, value) in counters.items():
        yield CounterMetricFamily(f"petrel_swarm_{name}", text, float(value))
    expected = "Displays that the confirmed messages require."  # a member who leaves takes some away
    yield GaugeMetricFamily("petrel_swarm_expected_deliveries", expected, float(swarm.expected))
    yield GaugeMetricFamily("petrel_swarm_devices", "Devices of the swarm.", float(swarm.devices))
    yield GaugeMetricFamily("petrel_swarm_online_devices", "Devices with a connection.", float(swarm.online))
    yield GaugeMetricFamily("petrel_swarm_undelivered", "Deliveries still to come.", float(swarm.undelivered))
