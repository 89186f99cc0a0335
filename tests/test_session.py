"""The session's own guards (conftest.py), each seen to bite: a small pytest session runs in a directory of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.pace import VARIABLE, scaled

LEAVES_A_PROCESS = """
import os, subprocess, sys
from pathlib import Path

def test_starts_one_in_a_session_of_its_own():
    code = "import time; time.sleep(60)"
    environment = {**os.environ, "PETREL_RUN_ID": "left-over"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    Path("pid").write_text(str(process.pid))
"""

SKIPS = """
import pytest

@pytest.mark.skip(reason="no second machine")
def test_a(): ...

@pytest.mark.skip(reason="no second machine")
def test_b(): ...

def test_c(): ...
"""

SLOWER_THAN_ITS_LIMIT = """
import time
import pytest

@pytest.mark.timeout(1)
def test_a(): time.sleep(1.5)
"""


def run_session(directory: Path, test: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), directory)
    (directory / "test_inner.py").write_text(test)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-ra",
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist.plugin",
        "-p",
        "pytest_timeout",
        "--rootdir",
        str(directory),
        str(directory),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=scaled(60), check=False
    )


def test_a_process_left_behind_fails_the_session_and_is_ended(tmp_path: Path) -> None:
    done = run_session(tmp_path, LEAVES_A_PROCESS)
    pid = int((tmp_path / "pid").read_text())
    assert done.returncode == 1, done.stdout
    assert f"pid {pid}, run left-over" in done.stdout
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_skips_are_listed_once_by_reason(tmp_path: Path) -> None:
    done = run_session(tmp_path, SKIPS)
    assert done.returncode == 0, done.stdout
    block = done.stdout.partition("skipped, and why")[2]
    assert "2 skipped: no second machine" in block
    assert "test_a" in block
    assert "test_b" in block
    assert "test_c" not in block
    assert done.stdout.count("no second machine") == 1


def test_the_limit_of_a_test_follows_the_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same test of 1.5 s with a limit of 1 s: it fails at pace 1 on a machine at rest, and passes at pace 8."""
    monkeypatch.setenv(VARIABLE, "8")
    done = run_session(tmp_path, SLOWER_THAN_ITS_LIMIT)
    assert done.returncode == 0, done.stdout
    assert "measured 8.0" in done.stdout
    monkeypatch.setattr("os.environ", {**os.environ, VARIABLE: "1"})
    (tmp_path / "conftest.py").unlink()
    done = run_session(tmp_path, "import os; os.getloadavg = lambda: (0.0, 0.0, 0.0)\n" + SLOWER_THAN_ITS_LIMIT)
    assert done.returncode == 1, done.stdout
    assert "Timeout (>1.0s)" in done.stdout
