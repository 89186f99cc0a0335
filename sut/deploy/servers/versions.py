"""Which servers a running system has, by name and version: for people who read a run later."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

import psutil

from sut.deploy.servers.binaries import redis_version
from sut.deploy.supervise.state import ProcessState
from sut.deploy.topology import Topology

ASK_S: Final = 5.0
_JARS: Final = {"kafka": "Kafka", "cassandra": "Cassandra"}


def versions(topology: Topology, states: Mapping[str, ProcessState]) -> str:
    """Return the servers as "redis-server 7.4.1, SQLite 3.45.1"; what does not say its version is left out."""
    kinds = {service.kind: service for service in reversed(topology.services) if not service.external}
    found = [f"{name} {_locked(kind)}" for kind, name in _JARS.items() if kind in kinds]
    if not found:
        found.append(f"SQLite {sqlite3.sqlite_version}")
    redis = kinds.get("redis") or kinds.get("shard")
    if redis is not None and (server := _executable(states[redis.name].pid)) is not None:
        found.append(f"{server.name} {'.'.join(map(str, redis_version(server)))}".rstrip())
    if "toxiproxy" in kinds and (server := _executable(states[kinds["toxiproxy"].name].pid)) is not None:
        found.append(f"toxiproxy {_said(server)}".rstrip())
    return ", ".join(found)


def _locked(kind: str) -> str:
    """Return the version of the first dependency of locks/KIND/pom.xml."""
    pom = files(__package__).joinpath("locks", kind, "pom.xml").read_text(encoding="utf-8")
    match = re.search(r"<dependency>.*?<version>([^<]+)</version>", pom, re.DOTALL)
    return match[1] if match else ""


def _executable(pid: int) -> Path | None:
    try:
        return Path(psutil.Process(pid).exe())
    except psutil.Error:
        return None


def _said(server: Path) -> str:
    try:
        told = subprocess.run([server, "-version"], capture_output=True, text=True, timeout=ASK_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\d+\.\d+[\w.+-]*", told)
    return match[0] if match else ""
