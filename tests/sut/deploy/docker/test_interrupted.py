"""A system in containers that is interrupted at any moment of its start or its end leaves nothing that has its label.

PETREL_TEST_SEED draws other moments and signals.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sut.deploy.docker import images
from sut.deploy.docker.engine import Engine
from tests.kit.engine import engine_or_skip, everything
from tests.kit.pace import scaled

SEED = int(os.environ.get("PETREL_TEST_SEED", "1"))
UP_S = 12.0
"""About how long a start takes on a busy machine; a later interruption meets a system that is up."""
DOWN_S = 6.0


def petrel(*arguments: str) -> subprocess.Popen[str]:
    """A petrel command of its own process group, as at a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "chaos.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def interrupted(process: subprocess.Popen[str], after_s: float, signum: signal.Signals) -> str:
    """Sends the signal to the command, if it still runs then, and waits for its end. Returns what it said."""
    time.sleep(after_s)
    process.send_signal(signum)
    said, _ = process.communicate(timeout=scaled(60))
    return said


def bystander(engine: Engine) -> tuple[str, str, str]:
    """A container and a network that are somebody else's: their ids, and when the container was started."""
    one = engine.client.containers.get("petrel-test-bystander")
    network = engine.client.networks.get("petrel-test-bystander")
    return str(one.id), str(one.attrs["State"]["StartedAt"]), str(network.id)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_moments_leave_nothing_and_touch_nothing_else(tmp_path: Path) -> None:
    _try(tmp_path, moments=2, seed=SEED)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_moments_leave_nothing_and_touch_nothing_else(tmp_path: Path) -> None:
    _try(tmp_path, moments=20, seed=SEED + 1)


def _try(tmp_path: Path, *, moments: int, seed: int) -> None:
    engine = engine_or_skip()
    before, rng = everything(engine), random.Random(seed)
    engine.client.networks.create("petrel-test-bystander", internal=True)
    engine.client.containers.run(
        images.tag(), ["sleep", "3600"], name="petrel-test-bystander", network="petrel-test-bystander", detach=True
    )
    try:
        theirs = bystander(engine)
        for number in range(moments):
            told = _interrupt_once(engine, before, tmp_path / str(number), rng, in_down=number % 2 == 1)
            assert everything(engine) == before, told
            assert bystander(engine) == theirs, told
    finally:
        engine.client.containers.get("petrel-test-bystander").remove(force=True)
        engine.client.networks.get("petrel-test-bystander").remove()


def _interrupt_once(engine: Engine, before: set[str], directory: Path, rng: random.Random, *, in_down: bool) -> str:
    """Interrupts a start or an end, and ends what may still run. Returns what was done and said."""
    where = ("--dir", str(directory))
    signum = rng.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    moment_s = rng.uniform(0, DOWN_S if in_down else UP_S)
    process = petrel("up", "--profile", "docker", *where)
    if in_down:
        said, _ = process.communicate(timeout=scaled(90))
        assert process.returncode == 0, said
        process = petrel("down", *where)
    said = interrupted(process, moment_s, signum)
    told = f"{signum.name} after {moment_s:.2f} s of {'down' if in_down else 'up'}: {said}"
    print(told)
    assert "Traceback" not in said, told
    assert "a bug in" not in said, told
    if not in_down and signum != signal.SIGKILL and "up in" not in said:
        assert everything(engine) == before, told  # it cleans up by itself
    if (directory / "topology.json").exists():
        last = petrel("down", *where)
        said, _ = last.communicate(timeout=scaled(60))
        assert last.returncode == 0, f"{told}; then {said}"
    return told
