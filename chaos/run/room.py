"""Whether this machine has room for a large swarm, looked at before anything starts.

Both ends of each connection are here. Most of a device's memory is the kernel's, for two sockets, and that cannot be
taken back while it is needed: so only what is free, or holds copies of files, counts.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final, NamedTuple

from load.workload import FLEET_DEVICES

DEVICE_B: Final = 18_000
"""Bytes of a device: kernel 10,100, gateway 2,100, swarm 1,700; the rest for sequencers, push service and others."""
REST_B: Final = 1_500_000_000
"""Bytes of a system and a swarm without devices."""
KEPT_FILES: Final = 256
"""Open files of a process beside its devices."""
CORES: Final = 1.6e-6
"""Cores of a device that only rests: the heartbeats of a million took 1.3 to 1.6 with prototypes (2026-11-24)."""
_GIB: Final = 1 << 30


class Machine(NamedTuple):
    """What a machine has."""

    free_b: int
    files: int
    """Files that one process may open."""
    all_files: int
    """Files that all processes together may still open."""
    cores: int


def lacking(machine: Machine, devices: int) -> str:
    """Return what the machine lacks for so many devices, in one line; "" if nothing."""
    needed_b = REST_B + devices * DEVICE_B
    found = []
    if machine.free_b < needed_b:
        found.append(f"{needed_b / _GIB:.1f} GiB of memory are needed, and {machine.free_b / _GIB:.1f} are free")
    files = min(devices, FLEET_DEVICES) + KEPT_FILES
    if machine.files < files:
        found.append(f"a process must open {files:,} files, and may open {machine.files:,} (ulimit -n)")
    if machine.all_files < 2 * devices:
        found.append(f"{2 * devices:,} files are needed, and {machine.all_files:,} can be opened (sysctl fs.file-max)")
    if machine.cores < CORES * devices:
        found.append(f"{CORES * devices:.1f} cores are needed for heartbeats alone, and there are {machine.cores}")
    return "; ".join(found)


def here() -> Machine:
    """Return what this machine has."""
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) * 1024
    opened, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text().split())
    return Machine(
        free_b=memory["MemFree"] + memory["Active(file)"] + memory["Inactive(file)"],
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        all_files=most - opened,
        cores=len(os.sched_getaffinity(0)),
    )
