"""A stand-in for the runner of an experiment, with a watchdog, a system and a swarm: `runner.py TOPOLOGY`.

The topology's own directory is empty at first. Prints "ready" and the watchdog's pid; ends in good order when a line
comes in.
"""

import os
import subprocess
import sys
from pathlib import Path

from sut.deploy.supervise.reservation import Reservation
from sut.deploy.supervise.watchdog import Watchdog
from sut.deploy.system import boot
from sut.deploy.topology import load

topology = load(Path(sys.argv[1]))
watchdog = Watchdog("", topology.path)
system = boot(
    topology, Reservation(), on_progress=lambda _text: None, timeout_s=120
)  # a script of its own: it cannot scale its deadline
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", STUBBORN], env={**os.environ, **system.environment()}, start_new_session=True)
print("ready", watchdog.pid, flush=True)
sys.stdin.readline()
system.stop()
watchdog.done()
