"""What a process sees of its machine: real naps, real processes."""

import subprocess
import sys
import threading
import time

import psutil

from load.drive.machine import Beat, Cores
from load.history.control import STALL_S, Machine
from tests.kit.waits import wait_until


def test_a_process_that_wakes_too_late_says_by_how_much() -> None:
    told: list[Machine] = []
    naps = 0

    def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        time.sleep(seconds + (0.3 if naps == 3 else 0))

    began_s = time.monotonic()
    Beat("swarm-1", told.append, sleep).run(lambda: time.monotonic() - began_s > 2.5)
    assert len(told) >= 2
    assert all(line.process == "swarm-1" and line.span_s >= 1 and not line.cores for line in told)
    assert any(stall > 0.29 for line in told for stall in line.stalls_s)
    assert all(stall > STALL_S for line in told for stall in line.stalls_s)
    assert sum(line.span_s for line in told) <= time.monotonic() - began_s


def test_a_full_disk_ends_the_beat_quietly() -> None:
    def full(_line: Machine) -> None:
        raise OSError(28, "No space left on device")

    thread = threading.Thread(target=Beat("swarm-1", full, time.sleep).run, daemon=True)
    thread.start()
    wait_until(lambda: not thread.is_alive(), timeout_s=5)


def test_who_used_the_cores_is_told_apart() -> None:
    cores = Cores()
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        process = psutil.Process(burner.pid)

        def used_s() -> float:
            times = process.cpu_times()
            return times.user + times.system

        assert cores.look("runner", {burner.pid: used_s()}) is None
        for ours in (True, False):
            before_s = used_s()
            wait_until(lambda at_s=before_s: used_s() > at_s + 0.5, timeout_s=30)
            seen = cores.look("runner", {burner.pid: used_s()} if ours else {burner.pid: before_s})
            assert seen is not None
            assert seen.cores == psutil.cpu_count()
            assert seen.own_s + seen.others_s <= 1.2 * seen.cores * seen.span_s + 0.1
            if ours:
                assert seen.own_s >= 0.5
            else:
                assert seen.own_s < 0.2
                assert seen.others_s >= 0.4
    finally:
        burner.kill()
        burner.wait()
