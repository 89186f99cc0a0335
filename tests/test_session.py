"""The session's own guards (conftest.py), each seen to bite: a small pytest session runs in a directory of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import psutil

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
        "--rootdir",
        str(directory),
        str(directory),
    ]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


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
