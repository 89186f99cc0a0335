"""When a sequencer is killed: right after a commit, with something unstored."""

import time
from types import SimpleNamespace

import pytest

from chaos.faults.mechanisms.crash import AIM_S
from chaos.faults.sequencer import SequencerCrash, probe
from sut.deploy.topology import Service


def waited(monkeypatch: pytest.MonkeyPatch, *looks: dict[str, float] | None) -> tuple[int, float]:
    """How many looks it takes, and how long; the last look is what all later ones see."""
    count = 0

    def ping(_address: object, _timeout_s: float) -> SimpleNamespace | None:
        nonlocal count
        stats = looks[min(count, len(looks) - 1)]
        count += 1
        return None if stats is None else SimpleNamespace(stats=stats)

    monkeypatch.setattr(probe, "peer_ping", ping)
    fault = SequencerCrash.__new__(SequencerCrash)
    fault.victims = (Service(name="sequencer-1", kind="sequencer", ports={"peer": 1}),)
    began_s = time.monotonic()
    fault.aim()
    return count, time.monotonic() - began_s


def test_it_waits_for_a_commit_that_leaves_something_unstored(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = {"committed_0": 5.0, "unstored": 3.0}, {"committed_0": 9.0, "unstored": 3.0}
    assert waited(monkeypatch, before, before, before, after)[0] == 4
    assert waited(monkeypatch, before, {"committed_0": 9.0, "unstored": 0.0}, after, before)[0] == 4
    assert waited(monkeypatch, None, before, after)[0] >= 3


def test_it_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = {"committed_0": 5.0, "unstored": 0.0}
    assert AIM_S <= waited(monkeypatch, idle)[1] < AIM_S + 5
    busy = {"committed_0": 5.0, "unstored": 3.0}
    assert waited(monkeypatch, busy)[1] >= AIM_S / 2
    assert waited(monkeypatch, {"applied": 4.0})[0] == 1, "one that does not tell is not waited for"
