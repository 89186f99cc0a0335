"""promtool, where this machine has one."""

import shutil
import subprocess
from pathlib import Path

import pytest


def needs_promtool() -> str:
    """The path of promtool; skips the test where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool on PATH: apt-get install prometheus")
    return found


def promtool(*words: str | Path, stdin: bytes = b"") -> str:
    """What promtool complains about; empty when it passes. Skips the test where there is none."""
    done = subprocess.run(
        [needs_promtool(), *map(str, words)], input=stdin, capture_output=True, check=False, timeout=120
    )
    said = (done.stdout + done.stderr).decode()
    return said or f"exit {done.returncode}" if done.returncode or done.stderr else ""
