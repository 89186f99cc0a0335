"""A process with a clock of its own: it can be moved while it runs, and nothing is left of one that was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sut.deploy import clock
from sut.deploy.topology import Service

LIBRARY = clock.find_library()
SAYS = """
import sys, threading, time
for _line in sys.stdin:
    began_s = time.monotonic()
    threading.Event().wait(0.05)
    print(time.time(), time.monotonic(), time.monotonic() - began_s, flush=True)
"""


@pytest.mark.skipif(LIBRARY is None, reason=clock.LACKING)
def test_the_wall_clock_moves_while_the_process_runs_and_the_monotonic_one_goes_on(tmp_path: Path) -> None:
    assert LIBRARY is not None
    own = Service(name="a-1", kind="gateway", environment=clock.environment(LIBRARY, tmp_path, "a-1"))
    assert clock.has_own(own)
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS], env={**os.environ, **own.environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def look() -> float:
        """Return by how much its clock is off, once the other one is seen to be right."""
        process.stdin.write("\n")
        process.stdin.flush()
        wall_s, monotonic_s, waited_s = map(float, process.stdout.readline().split())
        assert abs(monotonic_s - time.monotonic()) < 5
        assert 0.04 < waited_s < 5
        return wall_s - time.time()

    try:
        assert abs(look()) < 5
        clock.move(own, 7200)
        assert abs(look() - 7200) < 5
        clock.move(own, -86400.5)
        assert abs(look() + 86400) < 5
        (tmp_path / "clocks" / "a-1" / "offset").unlink()
        assert abs(look()) < 5
    finally:
        process.kill()
        process.wait()
    clock.forget(process.pid)
    assert not [path for path in Path("/dev/shm").glob("*faketime*") if path.name.endswith(f"_{process.pid}")]


def test_a_service_has_the_machines_clock_unless_it_was_given_one() -> None:
    assert not clock.has_own(Service(name="a-1", kind="gateway", environment={"LD_PRELOAD": "/x"}))
