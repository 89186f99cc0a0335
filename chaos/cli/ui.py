"""`petrel ui`: a system with Locust's web UI, for manual load."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from chaos.errors import VALID, HarnessError, UsageError
from chaos.run import rundir, whole
from chaos.run.interrupt import Aborted, Interrupted
from chaos.run.swarm import LOCUSTFILE, free_port, last_line, locust_environ
from chaos.screen.console import for_people
from sut.deploy.servers.external import Servers
from sut.deploy.system import System
from sut.deploy.topology import Settings

HOST: Final = "127.0.0.1"
HEARTBEAT_S: Final = 5.0
SPAWN_PER_S: Final = 100
WORKERS: Final = 2
_OWN_LINE: Final = re.compile(r"\[[^]]*\] [^/]*/[A-Z]+/petrel: (?P<text>.*)")


def serve(
    *,
    profile: str,
    users: int,
    out: Path | None,
    servers: Servers | None,
    port: int = 0,
    host: str = HOST,
    locustfile: Path | None = None,
) -> int:
    """Serve the page until Ctrl-C; then nothing is left running. `port` is the page's, 0 for a free one.

    `host`: the address that it listens on. `locustfile`: with other users. Raises UsageError, HarnessError.
    """
    port, locustfile = check_port(port, host), locustfile or LOCUSTFILE
    if not locustfile.is_file():
        raise UsageError(f"{locustfile}: no such Locust file")
    console = for_people()
    directory = rundir.make(out or rundir.default_path("ui", os.getpid()))
    try:
        with whole.running(
            profile=profile,
            directory=directory.path,
            settings=Settings(heartbeat_s=HEARTBEAT_S),
            servers=servers,
            say=lambda text: console.print(Text(text)),
        ) as system:
            _browse(
                system, directory, locustfile=locustfile.resolve(), users=users, address=(host, port), console=console
            )
    except (Interrupted, Aborted):
        console.print(Text("stopping"))
    return VALID


def check_port(wanted: int, host: str = HOST) -> int:
    """Return this port, or a free one for 0. Raises UsageError if it cannot be bound."""
    if not wanted:
        wanted = free_port()
    try:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, wanted))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "ports are 1 to 65535"
        raise UsageError(f"port {host}:{wanted}: {why}; give another --port, or none for a free one") from None
    return wanted


def _browse(
    system: System,
    directory: rundir.RunDir,
    *,
    locustfile: Path,
    users: int,
    address: tuple[str, int],
    console: Console,
) -> None:
    """Run Locust until it ends or a signal raises. Raises HarnessError if it ends."""
    host, port = address
    bus = str(free_port())
    log = directory.logs / "swarm.log"
    command = [
        *(sys.executable, "-P", "-m", "locust", "-f", str(locustfile), "--petrel-dir", str(directory.path)),
        *("--web-host", host, "--web-port", str(port), "--users", str(users), "--spawn-rate", str(SPAWN_PER_S)),
        *("--processes", str(WORKERS), "--master-bind-host", HOST, "--master-bind-port", bus),
        *("--master-host", HOST, "--master-port", bus),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**locust_environ(directory.path), **system.environment()},
            cwd=directory.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if host != HOST:
        console.print(Text(f"whoever reaches {host} can start tests and break this system", "yellow"))
    console.print(Text(f"web UI http://{host}:{port}   its tabs alone http://{host}:{port}/petrel   Ctrl-C ends all"))
    with log.open(encoding="utf-8", errors="replace") as said:
        while process.poll() is None:
            for text in news(said):
                console.print(Text(text))
            time.sleep(0.2)
    raise HarnessError(f"the web UI ended: {last_line(log)}")


def news(lines: Iterable[str]) -> Iterator[str]:
    """Yield what the project's own logger says in a log of Locust: where a run is, its verdict, why it has none."""
    for line in lines:
        if own := _OWN_LINE.match(line):
            yield own["text"]
