"""A Prometheus of one's own beside a running system: its configuration, its process, and questions to it.

The configuration and the rules are those of dashboards/prometheus, unchanged. Only the targets are written anew. All
listens on 127.0.0.1, on free ports. The process carries the mark of no run, so it outlives the system that it watches.
It ends with the program that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from prometheus_client import start_http_server

from chaos.errors import HarnessError
from chaos.run.observe.exporter import Exporter
from chaos.run.swarm import free_port
from sut.deploy.system import System
from sut.deploy.topology import Topology

SOURCE: Final = Path(__file__).resolve().parents[3] / "dashboards" / "prometheus"
HOST: Final = "127.0.0.1"
START_S: Final = 30.0
STOP_S: Final = 10.0
ASK_S: Final = 10.0
_LIBC: Final = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2)."""
INSTALL: Final = "apt-get install prometheus, or put a prometheus of prometheus.io on PATH"


class Series(NamedTuple):
    """One series of an answer."""

    labels: dict[str, str]
    points: list[tuple[float, float]]
    """(Unix seconds, value)."""


class Observed(NamedTuple):
    """What runs beside the system."""

    url: str
    exporter_url: str


def program() -> Path:
    """Return the path of a Prometheus. Raises HarnessError with what installs one."""
    found = shutil.which("prometheus")
    if found is None:
        raise HarnessError(f"no prometheus on PATH: {INSTALL}")
    return Path(found)


def write_configuration(topology: Topology, directory: Path, *, exporter_port: int) -> Path:
    """Write configuration, rules and targets of a system. Returns the file to start with. Raises OSError."""
    (directory / "targets").mkdir(parents=True, exist_ok=True)
    (directory / "rules").mkdir(exist_ok=True)
    for source in (*SOURCE.glob("*.yml"), *SOURCE.glob("rules/*.yml")):
        shutil.copyfile(source, directory / source.relative_to(SOURCE))
    targets = [
        {
            "targets": [f"{service.metrics_host}:{service.ports['metrics']}"],
            "labels": {"service": service.name, "kind": service.kind},
        }
        for service in topology.services
        if "metrics" in service.ports
    ]
    (directory / "targets" / "petrel.json").write_bytes(msgspec.json.encode(targets))
    exporter = [{"targets": [f"{HOST}:{exporter_port}"]}]
    (directory / "targets" / "exporter.json").write_bytes(msgspec.json.encode(exporter))
    return directory / "prometheus.yml"


@contextlib.contextmanager
def beside(system: System, directory: Path, *, port: int = 0) -> Iterator[Observed]:
    """Run an exporter and a Prometheus with this system's targets; its data is in `directory`. Raises HarnessError."""
    binary = program()
    exporter, exporter_port = Exporter(system), free_port()
    server, thread = start_http_server(exporter_port, HOST, exporter.registry)
    exporter.start()
    try:
        port = port or free_port()
        try:
            configuration = write_configuration(system.topology, directory, exporter_port=exporter_port)
            process = _start(binary, configuration, directory, port)
        except OSError as error:
            raise HarnessError(f"cannot start {binary}: {error.filename or ''} {error.strerror}") from None
        try:
            await_ready(process, port, directory)
            yield Observed(f"http://{HOST}:{port}", f"http://{HOST}:{exporter_port}/metrics")
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        exporter.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def _start(binary: Path, configuration: Path, directory: Path, port: int) -> subprocess.Popen[bytes]:
    with (directory / "prometheus.log").open("ab") as log:
        return subprocess.Popen(
            [
                str(binary),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--enable-feature=exemplar-storage",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_us,  # noqa: PLW1509 (one system call)
        )


def _end_with_us() -> None:
    """Let the kernel end this process if its parent is killed."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def await_ready(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    """Return when it answers. Raises HarnessError."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise HarnessError(f"prometheus ended with {process.returncode}; see {directory / 'prometheus.log'}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(HOST, port, timeout=1)
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise HarnessError(f"prometheus was not ready within {START_S:g} s; see {directory / 'prometheus.log'}")


def ask(url: str, path: str, **parameters: str | float) -> Any:
    """Return the data of an answer of Prometheus' HTTP API. Raises HarnessError with what it says."""
    host = urllib.parse.urlsplit(url).netloc
    query = urllib.parse.urlencode(parameters)
    connection = http.client.HTTPConnection(host, timeout=ASK_S)
    try:
        connection.request("GET", f"/api/v1/{path}?{query}")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HarnessError(f"{url}: {error}") from None
    finally:
        connection.close()
    if answer["status"] != "success":
        raise HarnessError(f"{url}: {answer.get('error', 'no answer')}")
    return answer["data"]


def query_range(url: str, expression: str, *, start_s: float, end_s: float, step_s: float) -> list[Series]:
    """Return the series of an expression over a time. Raises HarnessError."""
    data = ask(url, "query_range", query=expression, start=start_s, end=end_s, step=step_s)
    return [
        Series(item["metric"], [(float(at), float(value)) for at, value in item["values"]]) for item in data["result"]
    ]


def query(url: str, expression: str) -> list[Series]:
    """Return the series of an expression now. Raises HarnessError."""
    data = ask(url, "query", query=expression)
    if data["resultType"] == "scalar":
        return [Series({}, [(float(data["result"][0]), float(data["result"][1]))])]
    return [Series(item["metric"], [(float(item["value"][0]), float(item["value"][1]))]) for item in data["result"]]
