"""The undo ledger: durable before the injection, readable whatever became of its writer, kept by whoever finds it."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import msgspec
import pytest

from chaos.errors import HarnessError
from chaos.faults import World, undo
from chaos.faults.undo import (
    Allow,
    Behave,
    Continue,
    Discard,
    End,
    Free,
    Promise,
    Release,
    Remove,
    Replicate,
    Restore,
    UndoLedger,
    Unlimit,
    pending,
)
from sut.deploy.machine import may_isolate
from sut.deploy.net.packets import Packets, Way
from sut.deploy.probes import probe
from sut.deploy.supervise import watchdog
from sut.deploy.topology import Topology, save
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

LINK = "sequencer-1->gateway-1"


def test_promises_are_pending_until_done_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    ledger = UndoLedger(path)
    assert pending(path) == []
    ledger.promise("f1", [Continue(17)])
    ledger.promise("f2", [Replicate("redis-1"), Release("redis-1")])
    ledger.promise("f3", [Restore("a->b"), Restore("a->c")])
    last = [
        Unlimit(17, 7, 1024, 4096),
        Free("petrel-r-chat-1", "a/b"),
        End("starve-chat-1"),
        Behave("provider-1", '{"apns": {}}'),
    ]
    ledger.promise("f4", last)
    assert pending(path)[0] == Promise(undo="f4", steps=tuple(last))
    ledger.done("f4")
    assert [promise.undo for promise in pending(path)] == ["f3", "f2", "f1"]
    ledger.done("f2")
    assert pending(path) == [
        Promise(undo="f3", steps=(Restore("a->b"), Restore("a->c"))),
        Promise(undo="f1", steps=(Continue(17),)),
    ]
    ledger.done("f1")
    ledger.done("f3")
    ledger.close()
    assert pending(path) == []
    assert pending(tmp_path / "none.jsonl") == []


def test_a_torn_last_line_promises_nothing_and_a_corrupt_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    ledger = UndoLedger(path)
    ledger.promise("f1", [Continue(17)])
    ledger.promise("f2", [Continue(18)])
    ledger.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert [promise.undo for promise in pending(path)] == ["f1"]
    path.write_bytes(b"{}\nnonsense\n" + whole)
    with pytest.raises(HarnessError, match="not an undo ledger"):
        pending(path)


def test_the_ledger_is_written_through_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), real(fd)))
    path = tmp_path / "undo.jsonl"
    ledger = UndoLedger(path)
    ledger.promise("f1", [Continue(17)])
    assert synced[-1] == path.stat().st_size > 0
    ledger.done("f1")
    assert synced[-1] == path.stat().st_size
    ledger.close()


def test_the_watchdog_reads_what_the_engine_writes(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    ledger = UndoLedger(path)
    ledger.promise("f1", [Continue(17)])
    ledger.promise("f2", [Continue(18)])
    ledger.done("f1")
    ledger.close()
    found = watchdog.pending(path.read_bytes().split(b"\n"))
    assert [(one.undo, one.argv[1:]) for one in found] == [("f2", ("-m", "chaos.faults.undo", str(tmp_path)))]


class _Recording:
    def __init__(self, *, broken: bool = False) -> None:
        self.calls: list[str] = []
        self.pids: dict[str, int] = {}
        self.broken = broken

    def pid(self, name: str) -> int | None:
        return self.pids.get(name)

    def hold(self, name: str) -> None:
        self.calls.append(f"hold {name}")

    def release(self, name: str) -> None:
        if self.broken:
            raise OSError("no space")
        self.calls.append(f"release {name}")

    def available(self) -> str | None:
        return None

    def blackhole(self, link: str) -> None:
        self.calls.append(f"blackhole {link}")

    def restore(self, link: str) -> None:
        if self.broken:
            raise OSError("no answer")
        self.calls.append(f"restore {link}")


TOPOLOGY = Topology(run_id="a-run", profile="embedded", dir="/", services=(), token_key="00", api_key="k")


def test_every_step_is_taken_even_if_one_fails() -> None:
    processes, links = _Recording(), _Recording(broken=True)
    world = World(topology=TOPOLOGY, processes=processes, links=links, packets=_Recording())
    failures = undo.apply([Restore("a->b"), Release("chat-1"), Continue(1 << 22)], world)
    assert len(failures) == 1
    assert "no answer" in failures[0]
    assert processes.calls == ["release chat-1"]


def test_only_a_process_of_the_run_is_continued() -> None:
    ours, strange = (
        subprocess.Popen(["sleep", "30"], env={**os.environ, "PETREL_RUN_ID": run_id})
        for run_id in ("a-run", "another")
    )
    world = World(topology=TOPOLOGY, processes=_Recording(), links=_Recording(), packets=_Recording())
    try:
        for process in (ours, strange):
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda pid=process.pid: probe.process_state(pid) == "T")
        assert undo.apply([Continue(ours.pid), Continue(strange.pid)], world) == []
        wait_until(lambda: probe.process_state(ours.pid) == "S")
        assert probe.process_state(strange.pid) == "T"
    finally:
        for process in (ours, strange):
            process.kill()
            process.wait()


def test_the_command_keeps_the_promises_of_a_dead_harness(world: World) -> None:
    directory = world.topology.path
    pid = world.processes.pid("gateway-1")
    assert pid
    ledger = UndoLedger(directory / "undo.jsonl")
    ledger.promise("f1", [Continue(pid)])
    ledger.promise("f2", [Restore(LINK)])
    ledger.promise("f3", [Release("chat-1")])
    ledger.close()
    os.kill(pid, signal.SIGSTOP)
    world.links.blackhole(LINK)
    world.processes.hold("chat-1")
    begun_s = time.monotonic()
    subprocess.run([sys.executable, "-m", "chaos.faults.undo", str(directory)], check=True, timeout=scaled(10))
    assert time.monotonic() - begun_s < scaled(watchdog.UNDO_S)
    assert probe.process_state(pid) != "T"
    assert world.links.toxics(LINK) == ()  # type: ignore[attr-defined]
    assert not (directory / "hold" / "chat-1").exists()
    (directory / "undo.jsonl").unlink()


NO_PACKETS = Packets("0").available()


@pytest.mark.skipif(NO_PACKETS is not None, reason=f"packets cannot be dropped: {NO_PACKETS}")
def test_a_killed_runner_leaves_no_rule_behind(tmp_path: Path) -> None:
    def rules() -> str:
        return subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout

    before = rules()
    topology = msgspec.structs.replace(TOPOLOGY, run_id=uuid.uuid4().hex[:16], dir=str(tmp_path))
    save(topology)
    ledger = UndoLedger(tmp_path / "undo.jsonl")
    ledger.promise("f1", [Allow("a fault")])
    ledger.close()
    for reason in ("a fault", "one whose promise nobody finds"):
        Packets(topology.run_id).drop(reason, [Way(1_888_888_888, ("127.0.0.1", 9))])
    assert topology.run_id in rules()
    command = [sys.executable, "-P", "-m", "sut.deploy.supervise.watchdog", topology.run_id, str(tmp_path)]
    ended = subprocess.run(command, input=b"", capture_output=True, timeout=scaled(20), check=True)
    assert b"undo f1: exit 0" in ended.stderr
    assert rules() == before


@pytest.mark.skipif(not may_isolate(), reason="needs root: a mount namespace of its own")
def test_a_file_is_removed_from_a_volume_that_only_its_holder_sees(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m petrel "$0" && touch "$0/filler" && echo up && exec sleep 30'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        seen = Path(f"/proc/{holder.pid}/root{tmp_path}/filler")
        assert seen.exists()
        assert not (tmp_path / "filler").exists()
        processes = _Recording()
        processes.pids["volume"] = holder.pid
        world = World(topology=TOPOLOGY, processes=processes, links=processes, packets=processes)
        steps = [Remove("volume", f"{tmp_path}/filler"), Remove("none", "/filler")]
        assert undo.apply([*steps, *steps], world) == []
        assert not seen.exists()
        holder.kill()


def test_a_directory_of_the_run_is_removed_and_none_is_no_failure(tmp_path: Path) -> None:
    made = tmp_path / "copy"
    made.mkdir()
    (made / "file").touch()
    topology = msgspec.structs.replace(TOPOLOGY, dir=str(tmp_path))
    world = World(topology=topology, processes=_Recording(), links=_Recording(), packets=_Recording())
    assert undo.apply([Discard("copy"), Discard("copy")], world) == []
    assert not made.exists()


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "chaos.faults.undo", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(10),
    )
    assert (ended.returncode, ended.stdout) == (70, "")
    assert ended.stderr.count("\n") == 1
    assert undo.main([]) == 64


def test_a_promise_reads_back_as_it_was_written() -> None:
    steps = (Continue(1), Restore("x"), Replicate("y"), Release("z"), Allow("a"), Remove("v", "/f"), Discard("d"))
    promise = Promise(undo="f1", steps=steps, argv=("a",))
    assert msgspec.json.decode(msgspec.json.encode(promise), type=Promise) == promise
