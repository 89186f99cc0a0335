"""The swarm as seen by the runner: a Locust master with its workers, and afterwards the read-back.

Both are processes of their own that read RUN_DIR/swarm.json. The runner follows the swarm's phases through the control
lines of the history. It watches the processes, because one that dies leaves a hole in the history.
"""

from __future__ import annotations

import contextlib
import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

import load
from chaos.errors import HarnessError
from chaos.run import canary
from chaos.run.experiment import Experiment
from chaos.run.rundir import RunDir
from load import workload as configs
from load.workload import SwarmConfig, Workload
from sut import variants
from sut.deploy.topology import Topology

LOOK_S: Final = 0.05
LOCUSTFILE: Final = Path(load.__file__).with_name("locustfile.py")


def configure(
    experiment: Experiment, topology: Topology, directory: RunDir, seed: int, *, first_id: int = 1
) -> SwarmConfig:
    """Write swarm.json and return its contents; `first_id`: of the users. Raises HarnessError."""
    wanted: dict[str, Any] = {name: getattr(experiment, name) for name in Workload.__struct_fields__} | {
        "seed": seed,
        "first_id": first_id,
        "api_url": topology.api_url,
        "api_key": topology.api_key,
        "ca_file": topology.tls.ca if topology.tls is not None else "",
        "history_dir": str(directory.history),
        "trace_every": topology.settings.trace_every,
    }
    if experiment.mobile_share:
        cells = topology.cells()
        if not cells:
            raise HarnessError("mobile_share needs cells, and this machine has no Toxiproxy: see `petrel doctor`")
        wanted["ways"] = [
            {topology.service(link.target).authority("ws"): link.address for link in links} for links in cells.values()
        ]
    if topology.variant is not None:
        wanted |= variants.find(topology.variant).swarm(wanted)
    share = wanted["crypto_share"]
    wanted |= {
        "canary": canary.new_mark() if share else "",
        "tracer": canary.new_mark() if 0 < share < 1 else "",
    }
    try:
        config = msgspec.convert(wanted, SwarmConfig)
        configs.save(config, directory.swarm)
    except (msgspec.ValidationError, OSError) as error:
        raise HarnessError(f"{directory.swarm}: {error}") from None
    return config


def locust_environ(directory: Path) -> dict[str, str]:
    """The environment for a Locust that is told everything on its command line; `directory` is its working directory.

    Locust also listens to LOCUST_* variables and to configuration files in the home and the working directory. None of
    them may change a run: the variables are left out, and the home is the run's own directory.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    return kept | {"HOME": str(directory), "PYTHONUSERBASE": site.getuserbase()}  # packages stay where they are


class SwarmProcess:
    """Locust, headless: a master and its workers, in a session of their own. The constructor starts it."""

    def __init__(self, experiment: Experiment, directory: RunDir, environ: Mapping[str, str]) -> None:
        """Start the processes. Raises HarnessError if they cannot be started."""
        command = [
            *(sys.executable, "-P", "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
            *_extent(experiment),
        ]
        self.log = directory.logs / "swarm.log"
        self._history = directory.history
        environ = {**locust_environ(directory.path), **environ, "PETREL_SWARM": str(directory.swarm)}
        self._process = _start(command, self.log, environ, directory.path)
        self._workers: dict[int, psutil.Process] = {}
        self._dead: set[int] = set()

    @property
    def ended(self) -> bool:
        """True once the master has exited."""
        return self._process.poll() is not None

    def pids(self) -> dict[str, int]:
        """Return the pids of master and workers by the names of their history files."""
        return {f"swarm-{pid}": pid for pid in (self._process.pid, *self._workers)}

    def deaths(self) -> list[tuple[str, str]]:
        """Return the processes that died since the last call, and how. Call it regularly, from the start on."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                if child.ppid() == self._process.pid or (self._history / f"swarm-{child.pid}.jsonl").exists():
                    self._workers.setdefault(child.pid, child)
        found = []
        if self.ended and self._process.pid not in self._dead:
            self._dead.add(self._process.pid)
            found.append((f"swarm-{self._process.pid}", f"the master ended, {_how(self._process.returncode)}"))
        for pid, worker in self._workers.items():
            if pid not in self._dead and not _lives(worker):
                self._dead.add(pid)
                found.append((f"swarm-{pid}", "a worker ended"))
        return found

    @property
    def workers_left(self) -> int:
        """The number of living workers."""
        return sum(pid not in self._dead for pid in self._workers)

    def stop_writing(self) -> None:
        """Send SIGUSR1: no more sends; the devices stay online and settle open requests. Call it only after t0."""
        for pid in self.pids().values():
            if pid not in self._dead:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)

    def stop(self, expired: Callable[[], bool]) -> bool:
        """Stop the master, which ends its workers, by SIGTERM; kill the rest once `expired`.

        Returns True if none was killed.
        """
        everyone = [worker for worker in self._workers.values() if _lives(worker)]
        with contextlib.suppress(psutil.Error):
            if not self.ended:
                everyone.append(psutil.Process(self._process.pid))
                self._process.send_signal(signal.SIGTERM)
        while (left := [process for process in everyone if _lives(process)]) and not expired():
            time.sleep(LOOK_S)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        return not left


def _extent(experiment: Experiment) -> list[str]:
    """Return Locust's options for the number of users and processes."""
    if experiment.tier == "fleet":  # one Locust process, whose users are the fleet processes
        return ["--users", str(experiment.fleets), "--spawn-rate", str(experiment.fleets)]
    port = str(free_port())
    return [
        *("--users", str(experiment.users), "--spawn-rate", str(experiment.spawn_per_s)),
        *("--processes", str(experiment.workers), "--expect-workers-max-wait", "60"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", port),
        *("--master-host", "127.0.0.1", "--master-port", port),
    ]


class ReadBack:
    """`python -m load.readback.readback`: reads every conversation of every device. The constructor starts it."""

    def __init__(self, directory: RunDir, environ: Mapping[str, str]) -> None:
        """Start the process. Raises HarnessError if it cannot be started."""
        self.log = directory.logs / "readback.log"
        command = [sys.executable, "-P", "-m", "load.readback.readback", str(directory.swarm)]
        self._process = _start(command, self.log, {**os.environ, **environ}, directory.path)

    @property
    def pid(self) -> int:
        """The process id of the read-back."""
        return self._process.pid

    def wait(self, expired: Callable[[], bool], *, tick: Callable[[], None]) -> str | None:
        """Wait until it ends, calling `tick`; kill it once `expired`. Returns None on success, else the reason."""
        while self._process.poll() is None:
            if expired():
                self.kill()
                return "it was not done in time"
            tick()
        return None if self._process.returncode == 0 else f"{_how(self._process.returncode)}: {last_line(self.log)}"

    def kill(self) -> None:
        """Kill the process. Does nothing if it has ended."""
        self._process.kill()
        self._process.wait()


def last_line(log: Path) -> str:
    """Return the last error in a log, or else its last line, for an error's one line."""
    with contextlib.suppress(OSError):
        lines = log.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        told = [line for line in lines if "/ERROR/" in line] or lines  # Locust logs more lines after it
        return told[-1].strip() if told else "it wrote nothing"
    return "it has no log"


def _start(command: list[str], log: Path, environ: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=environ,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # the runner handles a Ctrl-C at the terminal
            )
    except OSError as error:
        raise HarnessError(f"cannot start {command[3]}: {error.strerror}") from None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _how(returncode: int) -> str:
    return f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit {returncode}"


def free_port() -> int:
    """Return a loopback port that is free now. Raises OSError."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
