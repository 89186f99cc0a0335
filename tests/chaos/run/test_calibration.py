"""What a run asks for and a machine carries: the arithmetic, what counts as displayed in time, and a whole run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.errors import ChaosError
from chaos.run import calibration, experiment
from chaos.run.calibration import Found
from load.history.events import Event
from load.history.writer import HistoryWriter

QUICK = experiment.for_profile(experiment.load("quick"), "embedded")
MS = 1_000_000


def found(in_time_per_s: float, asked_per_s: float = 104.0) -> Found:
    return Found(asked_per_s=asked_per_s, in_time_per_s=in_time_per_s)


def test_a_machine_that_carries_it_changes_nothing() -> None:
    assert calibration.lowered(QUICK, found(99.0)) is QUICK
    assert "carries it: of 104 messages/s 99/s" in found(99.0).line()


def test_a_machine_that_does_not_gets_a_part_of_what_it_carried() -> None:
    seen = found(60.0)
    lower = calibration.lowered(QUICK, seen)
    assert lower.rate_per_s == seen.rate_per_s == 42.0
    assert lower.bounds.min_acked < QUICK.bounds.min_acked
    assert (lower.users, lower.duration_s, lower.faults) == (QUICK.users, QUICK.duration_s, QUICK.faults)
    assert seen.line() == (
        "this machine does not carry it: of 104 messages/s 60/s were displayed within 0.5 s."
        " The run takes 42/s; --as-asked takes all"
    )


def test_something_is_left_where_nothing_was_displayed() -> None:
    assert found(0.0).rate_per_s == pytest.approx(10.0)


def test_a_light_experiment_needs_no_calibration() -> None:
    assert calibration.is_needed(QUICK)
    assert not calibration.is_needed(experiment.override(QUICK, users=20, duration_s=None, rate=20))


def test_a_message_counts_when_all_who_displayed_it_did_so_in_time(tmp_path: Path) -> None:
    path = tmp_path / "swarm-1.bin"
    history = HistoryWriter(path)
    shows = {  # message -> (due, displays of others), in ms
        1: (1000, [1400, 1500]),
        2: (1000, [1400, 1501]),
        3: (1000, []),
        4: (999, [1000]),  # before the time that counts
        5: (2000, [2499]),
    }
    for msg, (due, times) in shows.items():
        history.append(Event.SEND, t=due * MS, due=due * MS, device=1, conv=9, msg=msg, hash_=7)
        history.append(Event.SHOW, t=due * MS, device=1, conv=9, msg=msg, seq=msg, hash_=7)
        for reader, t in enumerate(times, 2):
            history.append(Event.SHOW, t=t * MS, device=reader, conv=9, msg=msg, seq=msg, hash_=7)
    history.close()
    assert calibration.displayed_in_time([path], 1000 * MS) == 2
    assert calibration.displayed_in_time([], 0) == 0
    path.write_bytes(path.read_bytes()[:-64] + b"x" * 128)
    with pytest.raises(ChaosError):
        calibration.displayed_in_time([path], 0)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_that_asks_for_too_much_says_so_and_takes_less(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "chaos.cli.petrel", "run", "capacity", "--users", "100", "--duration", "8"),
        *("--rate", "20000", "--seed", "5", "--json", "--out", str(out)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert "this machine does not carry it: of 20000 messages/s" in done.stderr
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert 0 < verdict["counts"]["sends_invoked"] < 8 * 20_000 / 2
    assert verdict["counts"]["lost"] == 0
