"""A wall clock of its own for a process, by libfaketime: preloaded, it reads an offset from a file at each look.

Without that file the process sees the machine's time. The monotonic clock stays, and so do timers and time-outs. But
libfaketime 0.9.10 makes each `time.sleep` of CPython 3.11 an error (EINVAL) in such a process, with no offset too. A
gateway has none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sut.deploy.topology import Service

PLACES: Final = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
LIBRARY: Final = "libfaketime.so.1"
LACKING: Final = f"there is no {LIBRARY}: install faketime"
_FILE: Final = "FAKETIME_TIMESTAMP_FILE"
_SHARED: Final = Path("/dev/shm")  # noqa: S108 (where shm_open has it)


def find_library() -> Path | None:
    """Return the library; None if this machine has none."""
    found = (path for place in PLACES for path in sorted(Path("/").glob(f"{place[1:]}/{LIBRARY}")))
    return next(found, None)


def directory_of(name: str) -> str:
    """Return the directory of a process's offset, below that of the run."""
    return f"clocks/{name}"


def environment(library: Path, directory: Path, name: str) -> dict[str, str]:
    """Return what gives the process `name` of a system in this directory a clock of its own."""
    return {
        "LD_PRELOAD": str(library),
        _FILE: str(directory / directory_of(name) / "offset"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def has_own(service: Service) -> bool:
    """Return whether the process is started with a clock of its own."""
    return _FILE in service.environment


def move(service: Service, by_s: float) -> None:
    """Move the process's clock to so many seconds after the machine's. Raises OSError."""
    path = Path(service.environment[_FILE])
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(f"{by_s:+f}\n", encoding="ascii")
    scratch.replace(path)


def forget(pid: int) -> None:
    """Remove what the library leaves of a process that was killed. Harmless if there is nothing."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (_SHARED / name).unlink(missing_ok=True)
