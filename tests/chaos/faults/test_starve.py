"""The helper that starves a process: it stops and continues it, and never outlives who started it."""

import subprocess
import sys
import time

import psutil

from chaos.faults.proofs.observe import starved
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

HELPER = [sys.executable, "-P", "-m", "chaos.faults.mechanisms.starve"]


def test_a_process_is_stopped_most_of_the_time_until_the_helpers_input_ends() -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    helper = subprocess.Popen([*HELPER, str(victim.pid), "0.08", "0.02"], stdin=subprocess.PIPE)
    try:
        assert not starved(psutil.Process().pid)
        wait_until(lambda: starved(victim.pid), timeout_s=scaled(10))
        assert helper.stdin is not None
        helper.stdin.close()
        assert helper.wait(scaled(5)) == 0
        for _look in range(20):
            assert psutil.Process(victim.pid).status() != psutil.STATUS_STOPPED
            time.sleep(0.01)
    finally:
        helper.kill()
        victim.kill()
        victim.wait()


def test_the_helper_ends_with_the_process() -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    helper = subprocess.Popen([*HELPER, str(victim.pid), "0.08", "0.02"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: starved(victim.pid), timeout_s=scaled(10))
        victim.kill()
        victim.wait()
        assert helper.wait(scaled(5)) == 0
    finally:
        helper.kill()
        victim.kill()
