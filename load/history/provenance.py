"""Where a history comes from: the program's version, the interpreter, and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil

GIT_S: Final = 2.0
ROOT: Final = Path(__file__).resolve().parents[2]


def provenance() -> dict[str, str]:
    """Return name -> text, for people and for the verdict. What cannot be found is left out."""
    uname = platform.uname()
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    found = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": _version(),
        "commit": _commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{os.cpu_count() or 0} cores, {memory_gib:.1f} GiB, {uname.machine}",
        "kernel": f"{uname.system} {uname.release}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
    return {name: text for name, text in found.items() if text}


def _version() -> str:
    try:
        return version("stormpetrel")
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """Return the commit of the checkout that this file is in, with "+" if files differ from it; "" without one."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        found = [_git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")]
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] + ("+" if found[1] else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True, timeout=GIT_S)
    return done.stdout.strip()
