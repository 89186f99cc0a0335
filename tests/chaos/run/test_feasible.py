"""A run that cannot be as it asks is refused with its place before anything starts; all that ship can be."""

from pathlib import Path

import msgspec
import pytest

from chaos.cli.petrel import main
from chaos.errors import UsageError
from chaos.run import experiment, feasible, schedule, sketch
from chaos.run.experiment import Experiment
from chaos.run.yamlfile import Mistake
from sut.deploy.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[3]
GOOD = """\
name: mine
summary: a test
users: 10
duration_s: 60
rate_per_s: 20
faults:
  - {name: gateway_crash, for_s: [1, 3]}
  - name: chat_crash
    for_s: [1, 2]
    times: 2
    targets: [chat-1]
bounds:
  min_acked: 500
  min_deliveries: 500
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "gateway_crash",
            "kafka_crash",
            "7: faults[0].name: kafka_crash has no target on profile embedded: take --profile cluster, or leave it out",
        ),
        (
            "gateway_crash",
            "push_crash",
            "7: faults[0].name: push_crash has no target on profile embedded: set push: true, or leave it out",
        ),
        (
            "gateway_crash",
            "device_reset",
            "7: faults[0].name: device_reset has no target on profile embedded: set mobile_share above 0, or ",
        ),
        ("[chat-1]", "[chat-1, chat-9]", "11: faults[1].targets[1]: no target 'chat-9'; "),
        (
            "times: 2",
            "times: 20",
            "10: faults[1].times: 21 faults with the time to recover and the timing take up to ",
        ),
        ("[1, 3]", "[1, 50]", "10: faults[1].times: 3 faults with the time to recover and the timing take up to "),
        (
            "min_acked: 500",
            "min_acked: 1201",
            "13: bounds.min_acked: 1,201 is more than the 1,200 planned sends: lower it, or raise rate_per_s or ",
        ),
        (
            "min_deliveries: 500",
            "min_deliveries: 10801",
            "14: bounds.min_deliveries: 10,801 is more than the 10,800 deliveries that 1,200 planned sends can make: ",
        ),
        (
            "rate_per_s: 20",
            "rate_per_s: 0.008",
            "5: rate_per_s: no send is planned in 60 s: raise it, or duration_s",
        ),
        ("users: 10", "users: 1", "3: users: one user has nobody to write to: take at least 2"),
        (
            "users: 10",
            "users: 10\nsilent_share: 1",
            "4: silent_share: every device only reads, so nobody sends: take less",
        ),
        (
            "users: 10",
            "users: 10\ngroups_per_user: 0\ndirects_per_user: 0.01",
            "5: directs_per_user: 10 users have no conversation with it: raise it, or groups_per_user",
        ),
        (
            "faults:\n",
            "profiles:\n  embedded:\n    rate_per_s: 8\nfaults:\n",
            "16: bounds.min_acked: 500 is more than the 480 planned sends: ",
        ),
        (
            "faults:\n",
            "profiles:\n  embedded:\n    faults: [{name: kafka_crash, for_s: [1, 2]}]\nfaults:\n",
            "8: profiles.embedded.faults[0].name: kafka_crash has no target on profile embedded: ",
        ),
    ],
)
def test_what_cannot_be_is_64_and_one_line_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    path, out = tmp_path / "mine.yaml", tmp_path / "out"
    path.write_text(GOOD.replace(old, new))
    assert main(["run", str(path), "--out", str(out)]) == 64
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"petrel: {path}:{said}")
    assert not out.exists()


def test_a_bound_that_nobody_wrote_is_named_as_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.partition("bounds:")[0].replace("rate_per_s: 20", "rate_per_s: 5"))
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 64
    said = capsys.readouterr().err
    assert f"{path}:1: bounds.min_acked: 1,000, the default, is more than the 300 planned sends: " in said


def test_what_the_command_line_makes_impossible_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "quick", "--users", "1"]) == 64
    assert "users: one user has nobody to write to" in capsys.readouterr().err
    assert main(["run", "quick", "--duration", "60", "--rate", "0.001"]) == 64
    assert "rate_per_s: no send is planned in 60 s" in capsys.readouterr().err


def check(written: Experiment, profile: str, *, shortened: bool = False, own_servers: bool = True) -> None:
    wanted = experiment.for_profile(written, profile)
    feasible.check(written, wanted, profile=profile, shortened=shortened, own_servers=own_servers)


UNDER_SENTINEL = ("crowd", "everything", "push", "signals")
"""Experiments with faults on the Redis under Sentinel on every profile."""


def test_all_that_ship_can_be_on_their_profile() -> None:
    for name in experiment.names():
        for profile in PROFILES:
            if name in UNDER_SENTINEL and profile == "redis-cluster":
                with pytest.raises(Mistake, match=f"redis_failover has no target on profile {profile}: take"):
                    check(experiment.load(name), profile)
            elif name == "quorum" and profile != "cluster":
                with pytest.raises(Mistake, match=f"has no target on profile {profile}: take --profile cluster"):
                    check(experiment.load(name), profile)
            else:
                check(experiment.load(name), profile)


def test_so_can_the_experiments_of_the_tests() -> None:
    for path in sorted(ROOT.glob("tests/defects/*/*.yaml")) + sorted(ROOT.glob("tests/system/*.yaml")):
        written = experiment.load(str(path))
        try:
            check(written, "embedded")
        except Mistake:
            check(written, "cluster")


def test_a_shorter_time_leaves_faults_out_and_foreign_servers_have_unknown_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("times: 2", "times: 20"))
    check(experiment.load(str(path)), "embedded", shortened=True)
    path.write_text(GOOD.replace("[chat-1]", "[chat-9]"))
    check(experiment.load(str(path)), "embedded", own_servers=False)


def test_the_longest_time_holds_every_draw() -> None:
    quick = experiment.load("quick")
    just = msgspec.structs.replace(quick, duration_s=schedule.longest_s(quick))
    targets = {name: offer.targets or ("x",) for name, offer in sketch.offers("embedded").items()}
    for seed in range(50):
        planned = schedule.plan(just, targets=targets, seed=seed, profile="embedded")
        assert len(planned.faults) == len(quick.faults)


def test_a_recorded_target_that_is_not_there_has_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = experiment.load("quick")
    targets = {name: offer.targets or ("x",) for name, offer in sketch.offers("embedded").items()}
    planned = schedule.plan(quick, targets=targets, seed=1, profile="embedded")
    first = msgspec.structs.replace(planned.faults[0], target="moon-1")
    path = tmp_path / "schedule.yaml"
    schedule.save(msgspec.structs.replace(planned, faults=(first, *planned.faults[1:])), path)
    line = 1 + next(number for number, text in enumerate(path.read_text().splitlines()) if "moon-1" in text)
    assert main(["replay", str(tmp_path), "--out", str(tmp_path / "out")]) == 64
    said = capsys.readouterr().err
    assert said.startswith(f"petrel: {path}:{line}: faults[0].target: f1: {first.name}: no target 'moon-1'; ")
    schedule.save(msgspec.structs.replace(planned, profile="moon"), path)
    with pytest.raises(UsageError, match=r"schedule.yaml:\d+: profile: no profile 'moon'"):
        schedule.load(path, also=sketch.check_targets)
