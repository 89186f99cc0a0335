"""A closed run directory: changed in any way it is refused, by the name of the file, and never judged."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chaos.cli import petrel as cli
from chaos.errors import UsageError
from chaos.run import manifest, outcome, rundir
from chaos.run.rundir import RunDir
from chaos.verdict import canary
from load.history.control import Canary, ControlWriter, Meta, Place
from load.history.events import Event
from load.history.writer import HistoryWriter

SECOND = 10**9
START = 1_790_000_000 * SECOND


def fill(directory: RunDir, *, sealed: bool = True) -> None:
    """A small run of two devices, as the runner and the swarm leave one."""
    meta = Meta(
        t=START, experiment="small", profile="embedded", seed=5, manifest=sealed, checks=("acked_lost", "leaks")
    )
    (directory.history / "meta.jsonl").write_bytes(msgspec.json.encode(meta) + b"\n")
    for name in ("runner", "swarm-7", "readback-9"):
        control = ControlWriter(directory.history / f"{name}.jsonl", process=name)
        control.phase("steady" if name == "swarm-7" else "setup", START)
        control.close()
    swarm, final = (HistoryWriter(directory.history / f"{name}.bin") for name in ("swarm-7", "readback-9"))
    for device in (1, 2):
        swarm.append(Event.DEVICE, t=START, device=device, msg=device)
        swarm.append(Event.MEMBER, t=START, conv=3, msg=device, arg=1)
        swarm.append(Event.ONLINE, t=START, device=device)
    for number in range(1, 6):
        msg = {"conv": 3, "msg": 100 + number}
        t = START + number * SECOND
        swarm.append(Event.SEND, t=t, due=t, device=1, hash_=number, **msg)
        swarm.append(Event.ACK, t=t + 10, device=1, seq=number, **msg)
        for device in (1, 2):
            swarm.append(Event.SHOW, t=t + 20, device=device, seq=number, hash_=number, **msg)
            final.append(Event.FINAL, t=t + 9 * SECOND, device=device, seq=number, hash_=number, **msg)
    for device in (1, 2):
        final.append(Event.FINAL_DONE, t=START + 20 * SECOND, device=device, conv=3, seq=5)
    swarm.close()
    final.close()
    for name, text in {
        "swarm.json": "{}",
        "schedule.yaml": "seed: 5\n",
        "topology.json": "{}",
        "logs/swarm.log": "started\n",
        "metrics/processes.jsonl": '{"t":1}\n',
        "pushes/apns.jsonl": "",
        "data/log-00.db": "SQLite format 3\n",
    }.items():
        path = directory.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    place = Place(where="data/log-00.db", form="raw", at=3, times=1)
    canary.save(Canary(found=(place,), files=4, bytes=100), directory.path)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    directory = rundir.make(tmp_path / "run")
    fill(directory)
    verdict = outcome.conclude(directory, say=print)
    assert {check.name: check.verdict for check in verdict.checks} == {"acked_lost": "valid", "leaks": "invalid"}
    return directory.path


def test_every_file_is_in_the_manifest_and_the_run_is_judged_as_before(
    closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = json.loads((closed / "manifest.json").read_text())["files"]
    there = {str(path.relative_to(closed)) for path in closed.rglob("*") if path.is_file()}
    assert listed.keys() == there - {"manifest.json"}
    assert {"verdict.json", "junit.xml", "report.html", "canary.json", "history/swarm-7.bin"} <= listed.keys()
    assert cli.main(["verify", str(closed), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads((closed / "verdict.json").read_text())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def double(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def copy_as(name: str) -> Callable[[Path], None]:
    def copy(path: Path) -> None:
        shutil.copy(path, path.with_name(name))

    return copy


def rename_to(name: str) -> Callable[[Path], None]:
    def rename(path: Path) -> None:
        path.rename(path.with_name(name))

    return rename


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


CHANGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("history/runner.jsonl", Path.unlink, "history/runner.jsonl"),
    ("history/swarm-7.bin", Path.unlink, "history/swarm-7.bin"),
    ("history/readback-9.bin", Path.unlink, "history/readback-9.bin"),
    ("history/meta.jsonl", Path.unlink, "history/meta.jsonl"),
    ("canary.json", Path.unlink, "canary.json"),
    ("pushes/apns.jsonl", Path.unlink, "pushes/apns.jsonl"),
    ("schedule.yaml", Path.unlink, "schedule.yaml"),
    ("manifest.json", Path.unlink, "manifest.json"),
    ("history", shutil.rmtree, "history/meta.jsonl"),
    ("history/swarm-7.bin", cut, "history/swarm-7.bin"),
    ("manifest.json", cut, "manifest.json"),
    ("history/runner.jsonl", double, "history/runner.jsonl"),
    ("history/swarm-7.bin", double, "history/swarm-7.bin"),
    ("history/readback-9.bin", flip, "history/readback-9.bin"),
    ("canary.json", flip, "canary.json"),
    ("history/swarm-7.bin", copy_as("swarm-7 (1).bin"), "history/swarm-7 (1).bin"),
    ("history/meta.jsonl", copy_as("export.jsonl"), "history/export.jsonl"),
    ("history/meta.jsonl", copy_as(".DS_Store"), "history/.DS_Store"),
    ("history/swarm-7.bin", rename_to("swarm-7.bin.bak"), "history/swarm-7.bin"),
    ("history/runner.jsonl", link, "history/real"),
    ("verdict.json", flip, "verdict.json"),
    ("logs/swarm.log", double, "logs/swarm.log"),
    ("history/runner.jsonl", lambda path: path.write_bytes(b""), "history/runner.jsonl"),
]


@pytest.mark.parametrize("command", ["verify", "history"])
@pytest.mark.parametrize(("name", "change", "told"), CHANGES)
def test_a_changed_run_is_refused_by_the_name_of_the_file(
    closed: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[Path], object],
    told: str,
    command: str,
) -> None:
    change(closed / name)
    assert cli.main([command, str(closed)]) == 64
    out, said = capsys.readouterr()
    assert out == ""
    assert said.count("\n") == 1
    assert said.startswith("petrel: ")
    assert str(closed / told) in said


def test_a_run_from_before_the_manifest_is_judged_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = rundir.make(tmp_path / "old")
    fill(directory, sealed=False)
    assert cli.main(["verify", str(directory.path), "--json"]) == 1
    said = capsys.readouterr().err
    assert said.count("before runs were closed by a manifest") == 1
    assert manifest.OLD in said


def test_the_export_keeps_what_the_hunt_for_plaintext_found(
    closed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "export.jsonl"
    assert cli.main(["history", str(closed), "--out", str(export)]) == 0
    assert cli.main(["verify", "--history", str(export), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads((closed / "verdict.json").read_text())


def test_an_export_into_the_run_directory_does_not_spoil_it(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (closed / "history" / "export.jsonl", closed / "schedule.yaml", closed / "export.jsonl"):
        assert cli.main(["history", str(closed), "--out", str(place)]) == 64
        assert f"{place}: in the run directory, which is closed" in capsys.readouterr().err
    assert cli.main(["history", str(closed), "--format", "parquet"]) == 0
    assert (closed / "history.parquet").exists()
    assert cli.main(["verify", str(closed)]) == 1


def test_a_copied_or_moved_run_is_the_same_run(closed: Path, tmp_path: Path) -> None:
    shutil.copytree(closed, tmp_path / "copy")
    assert manifest.check(tmp_path / "copy") is None
    closed.rename(tmp_path / "moved")
    assert manifest.check(tmp_path / "moved") is None


def test_without_a_verdict_the_run_is_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = rundir.make(tmp_path / "run")
    fill(directory)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("chaos.verdict.judge.judge", fail)
        with pytest.raises(MemoryError):
            outcome.conclude(directory, say=print)
    assert outcome.verify(directory.path, foreign=False, say=print).verdict == "invalid"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(closed: Path) -> None:
    (closed / "schedule.yaml").chmod(0)
    with pytest.raises(UsageError, match=r"schedule\.yaml: Permission denied"):
        manifest.check(closed)
