"""Experiment files for other chat systems: what ships is sound, and a mistake is one line."""

from pathlib import Path

import pytest

from chaos.cli.petrel import main
from chaos.errors import UsageError
from chaos.faults import FAULTS
from chaos.targets import experiment, system, systems
from chaos.targets.target import NotHere, Place

SHIPPED, _ = experiment.load("others")


def test_every_adapter_that_ships_is_in_the_experiment_that_ships() -> None:
    assert set(SHIPPED.targets) == set(systems.NAMES)


@pytest.mark.parametrize("name", systems.NAMES)
def test_a_target_has_promises_with_links_a_crash_and_checks(name: str) -> None:
    spec = SHIPPED.targets[name]
    assert {"acked_lost", "order", "liveness", "vacuity"} <= set(spec.checks)
    assert all(promise.link and promise.checks for promise in spec.promises)
    assert any(fault.name.endswith("_crash") for fault in spec.faults)
    assert {fault.name for fault in spec.faults} <= set(FAULTS)
    assert system.adapter(spec.adapter, Path())


def test_every_user_is_in_a_room_and_every_room_is_full() -> None:
    rooms = experiment.members_of(SHIPPED)
    assert len({user for users in rooms.values() for user in users}) == SHIPPED.users
    assert {len(set(users)) for users in rooms.values()} == {SHIPPED.members}


@pytest.mark.parametrize("name", ["centrifugo", "ejabberd"])
def test_a_server_that_is_missing_is_one_line_with_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="install"):
        system.adapter(name, tmp_path).command(Place(directory=tmp_path, listen=1, port=1, helpers={"redis": 2}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("acked_lost", "acked_lsot"), r"x.yaml:10: .*no check 'acked_lsot'; perhaps acked_lost"),
        (("server_crash", "server_crush"), r"x.yaml:13: .*no fault 'server_crush'; perhaps server_crash"),
        (("at_s: 3", "at_s: 8"), r"x.yaml:13: .*server_crash ends after the last send"),
        (("duration_s", "durations_s"), r"x.yaml:7: .*durations_s"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    text = """\
name: mine
summary: Mine.
users: 4
rooms: 2
members: 3
rate_per_s: 20
duration_s: 9
targets:
  mine:
    promises: [{says: a, link: b, checks: [acked_lost]}]
    adapter: mine.py
    faults:
      - {name: server_crash, target: server, at_s: 3, for_s: 2}
"""
    path = tmp_path / "x.yaml"
    path.write_text(text.replace(*change))
    with pytest.raises(UsageError, match=said):
        experiment.load(str(path))


def test_an_adapter_file_has_one_whole_target(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    with pytest.raises(UsageError, match="no such file"):
        system.adapter("mine.py", tmp_path)
    path.write_text("x = 1\n")
    with pytest.raises(UsageError, match="has one subclass of Target; this one has 0"):
        system.adapter("mine.py", tmp_path)
    path.write_text("from chaos.targets.target import Target\nclass Mine(Target):\n    pass\n")
    with pytest.raises(UsageError, match="Mine does not define close, command"):
        system.adapter("mine.py", tmp_path)
    path.write_text("import nothing_of_this_name\n")
    with pytest.raises(UsageError, match="ModuleNotFoundError"):
        system.adapter("mine.py", tmp_path)


@pytest.mark.parametrize("words", [["nothing"], ["others"], ["others", "--target", "x"]])
def test_a_wrong_request_is_one_line_and_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["another", *words]) == 64
    assert len(capsys.readouterr().err.splitlines()) == 1
