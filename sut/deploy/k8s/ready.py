"""`python -m sut.deploy.k8s.ready TOPOLOGY`: the readiness probe of a pod. The environment variable POD_NAME names it.

Exit status 0: the process answers and has reached what it needs. 1: it has not, and standard output says why.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from sut.deploy.errors import EXIT_CANNOT
from sut.deploy.probes import health
from sut.deploy.topology import TopologyError, load

TIMEOUT_S: Final = 2.0


def main(arguments: list[str]) -> int:
    """Ask this pod's process. Returns the exit status."""
    try:
        topology = load(Path(arguments[0]))
        problem = health.problem(topology, topology.service(os.environ.get("POD_NAME", "")), TIMEOUT_S)
    except TopologyError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CANNOT
    sys.stdout.write(f"{problem or 'ready'}\n")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
