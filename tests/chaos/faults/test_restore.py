"""The store is put back under stand-ins, which do not write it: the test does what a sequencer does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos.faults import World
from chaos.faults.undo import pending
from chaos.run.schedule import PlannedFault
from sut.adapters.shared.site import DATA
from sut.adapters.sqlite import backup
from tests.chaos.run.test_engine import Running
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.sut.adapters.sqlite.test_backup import CONV, say


def restore(world: World, directory: Path) -> Running:
    options = {"behind_s": 1.0}
    fault = PlannedFault(fault="f1", name="store_restored", target="sequencers", at_s=0.0, for_s=1.5, options=options)
    return Running(world, directory, fault)


def numbers(data: Path) -> list[int]:
    return sorted(row.seq for row in backup.rows(data) if row.conv == CONV)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("forgets", [False, True])
def test_rows_are_gone_and_the_fault_is_healed_only_when_they_are_back(
    world: World, tmp_path: Path, forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = world.topology.path / DATA
    begin = max(numbers(data), default=0) if data.exists() else 0
    say(data, begin + 1)
    running = restore(world, tmp_path)
    wait_until(running.engine.active, timeout_s=scaled(10))
    wait_until((world.topology.path / "older-store").exists, timeout_s=scaled(10))
    time.sleep(0.5)
    say(data, begin + 2)
    wait_until(lambda: running.lines.faults, timeout_s=scaled(30))
    inject = running.lines.of("f1", "inject")
    assert inject.ok, inject.evidence
    assert "of 1 messages that the copy lacks the store has 0" in inject.evidence
    assert numbers(data) == [*range(1, begin + 2)]
    if forgets:
        monkeypatch.setattr("chaos.faults.mechanisms.restore.Restore.heal_timeout_s", 3.0)
    wait_until(lambda: all(one.healing for one in running.engine.active()), timeout_s=scaled(10))
    say(data, begin + 2, body=b"something else" if forgets else b"text")
    heal = running.join(scaled(60)).of("f1", "heal")
    assert heal.ok != forgets, heal.evidence
    assert f"of 1 messages that the copy lacks the store has {0 if forgets else 1}" in heal.evidence
    assert pending(running.path) == []
    assert not (world.topology.path / "older-store").exists()
