"""Prometheus ends with the program that started it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.waits import wait_until

STARTS = """
import sys, time
from pathlib import Path
from chaos.run.observe.prometheus import _start
here = Path(sys.argv[1])
(here / "prometheus.yml").write_text("scrape_configs: []\\n")
print(_start(Path(sys.argv[2]), here / "prometheus.yml", here, 1).pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does that")
def test_it_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    sleep = tmp_path / "sleep"
    sleep.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 600\n")
    sleep.chmod(0o700)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", STARTS, str(tmp_path), str(sleep)], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid))
