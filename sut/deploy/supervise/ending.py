"""Ends whatever is left of a run: its processes, and its containers and networks where it has some."""

from __future__ import annotations

from sut.deploy.errors import DeployError
from sut.deploy.supervise.reaper import Reaped, reap
from sut.deploy.topology import Topology


def end(topology: Topology, *, grace_s: float, settle_s: float = 0.1) -> Reaped:
    """Reap the run (sut/deploy/supervise/reaper.py), and remove what carries its label in Docker Engine.

    Raises DeployError if containers cannot be removed; the processes of this machine are ended all the same.
    """
    if not topology.contained:
        return reap(topology.run_id, grace_s=grace_s, settle_s=settle_s)
    from sut.deploy.docker.engine import Engine

    try:
        engine = Engine.connect()
        engine.thaw(topology.run_id)
    except DeployError:
        reap(topology.run_id, grace_s=grace_s, settle_s=settle_s)
        raise
    reaped = reap(topology.run_id, grace_s=grace_s, settle_s=settle_s)
    engine.remove(topology.run_id)
    return reaped
