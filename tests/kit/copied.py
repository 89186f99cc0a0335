"""A copy of the project's packages that a test may change, and Python that runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kit.pace import scaled

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sut", "load", "chaos", "dashboards")


def copy_project(to: Path, *, also: tuple[str, ...] = ()) -> Path:
    """Copy PACKAGES and these folders to a directory, with their compiled modules; returns the directory.

    A compiled module goes with a source of the same time and size, as the copies are. What is changed is compiled anew.
    """
    for name in (*PACKAGES, *also):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("*-pytest-*.pyc"))
    return to


def python(directory: Path, *arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the modules of a copy, and of nothing else that is named as they are."""
    environment = {**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False,
        timeout=scaled(timeout_s),
    )  # fmt: skip
