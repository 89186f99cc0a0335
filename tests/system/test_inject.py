"""`petrel inject` and `petrel heal` on a real system: proven, healed by time, by hand and by the watchdog."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from chaos.faults import undo
from chaos.run import inject
from chaos.run.rundir import RunDir
from load.history.control import ControlReader
from sut.deploy.system import System
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def system(up: System) -> System:
    return up


def command(system: System, *words: str) -> list[str]:
    return [sys.executable, "-m", "chaos.cli.petrel", *words, "--dir", str(system.topology.path)]


def petrel(system: System, *words: str) -> tuple[int, list[str]]:
    """Exit status, and the lines on standard error."""
    ended = subprocess.run(command(system, *words), capture_output=True, text=True, check=False, timeout=scaled(60))
    return ended.returncode, ended.stderr.splitlines()


@pytest.fixture
def holding(system: System) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Pauses gateway-2 for ten minutes; returns when that is proven."""
    begun: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        words = command(system, "inject", "gateway_pause", "gateway-2", "--for", "600")
        begun.append(subprocess.Popen(words, stderr=subprocess.PIPE, text=True))
        assert begun[-1].stderr is not None
        assert "gateway_pause on gateway-2 for 600 s" in begun[-1].stderr.readline()
        assert "took effect: " in begun[-1].stderr.readline()
        assert stopped(system)
        return begun[-1]

    yield hold
    for process in begun:
        process.kill()
        process.wait()


def stopped(system: System) -> bool:
    pid = system.pid("gateway-2")
    return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED


def pending(system: System) -> list[undo.Promise]:
    return undo.pending(RunDir(system.topology.path).ledger)


def test_a_fault_is_proven_held_and_healed_and_a_test_under_way_has_it(system: System) -> None:
    test = system.topology.path / "swarm-3"
    (test / "history").mkdir(parents=True)
    (test / "history" / "meta.jsonl").touch()
    before = system.pid("gateway-1")
    status, (begun, effect, healed) = petrel(system, "inject", "gateway_crash", "gateway-1", "--for", "1")
    assert status == 0
    assert f"recorded in {test}" in begun
    assert re.search(r"took effect: .*gone", effect), effect
    assert re.search(r"healed: .*new pid", healed), healed
    assert system.pid("gateway-1") not in (None, before)
    inject_, heal = ControlReader(test / "history").poll()
    assert [(event.name, event.target, event.phase, event.ok) for event in (inject_, heal)] == [
        ("gateway_crash", "gateway-1", "inject", True), ("gateway_crash", "gateway-1", "heal", True)
    ]  # fmt: skip
    assert heal.t - inject_.t > 10**9
    (test / "manifest.json").touch()
    assert inject.open_test(system.topology.path) is None, "nothing is added to a run that is closed"


def test_heal_heals_from_another_terminal(system: System, holding: Callable[[], subprocess.Popen[str]]) -> None:
    injector = holding()
    status, (line,) = petrel(system, "heal")
    assert (status, line) == (0, f"petrel: healed: hand-{injector.pid}")
    said = injector.communicate(timeout=scaled(30))[1]
    assert injector.returncode == 0 and "healed: " in said
    assert not stopped(system)
    assert petrel(system, "heal") == (0, ["petrel: nothing is injected"])


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_injection_is_healed(
    system: System, holding: Callable[[], subprocess.Popen[str]], number: signal.Signals
) -> None:
    injector = holding()
    injector.send_signal(number)
    assert "healed: " in injector.communicate(timeout=scaled(30))[1]
    assert injector.returncode == 0
    assert not stopped(system) and pending(system) == []


def test_a_killed_injection_is_healed_and_the_system_goes_on(
    system: System, holding: Callable[[], subprocess.Popen[str]]
) -> None:
    injector = holding()
    injector.kill()
    injector.wait()
    wait_until(lambda: not stopped(system), timeout_s=scaled(5))
    assert system.running and system.pid("gateway-1") is not None
    assert petrel(system, "heal")[0] == 0
    assert pending(system) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gateway_crush", "gateway-1"), "no fault 'gateway_crush'; perhaps gateway_crash"),
        (("gateway_crash",), "gateway_crash needs a target: gateway-1, gateway-2"),
        (("gateway_crash", "gateway-9"), "no target of gateway_crash 'gateway-9'; perhaps gateway-"),
        (("gateway_crash", "gateway-1", "--for", "0"), "--for is above 0 and at most 3600 seconds, not 0"),
        (("gateway_crash", "gateway-1", "--set", "x=1"), "no option of gateway_crash 'x'"),
        (("kafka_crash", "petrel-1"), "kafka_crash cannot be injected here: the embedded topology has no target"),
    ],
)
def test_what_cannot_be_injected_is_64_and_one_line(system: System, words: tuple[str, ...], said: str) -> None:
    status, (line,) = petrel(system, "inject", *words)
    assert status == 64
    assert said in line
    assert pending(system) == []


def test_without_a_system_there_is_one_line(tmp_path: Path) -> None:
    for words in (("inject", "gateway_crash", "gateway-1"), ("heal",)):
        ended = subprocess.run(
            [sys.executable, "-m", "chaos.cli.petrel", *words, "--dir", str(tmp_path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr.count("\n")) == (70, 1)
        assert "no system in" in ended.stderr
