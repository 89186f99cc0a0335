"""The engine on a small system of real processes: every fault bites, is proven, is healed, and never stays behind."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, Fault, World
from chaos.faults.fault import unavailable
from chaos.faults.proofs.proof import Proof
from chaos.faults.undo import Restore, Undo, UndoLedger, pending
from chaos.run import engine as engines
from chaos.run.engine import Engine
from chaos.run.schedule import PlannedFault
from load.history.control import Fault as FaultLine
from load.history.control import Plan
from sut.deploy import clock, throttle
from sut.deploy.net.packets import Packets
from sut.deploy.probes import probe
from sut.deploy.topology import Topology
from tests.kit.waits import wait_until

LINK = "sequencer-1->gateway-1"
REDIS_LINK = "gateway-2->redis-1"
REBORN = r"has new pid \d+; it answers as incarnation"
OLD_ENOUGH = r"pid \d+ of .* is [3-9]\.\d s old; it answers as incarnation"
CELL = "cell-1"
NEW = r"has new pid \d+"
FREED = r"at most \d{3,} of open files; the same incarnation answers"
AGAIN = "toxics of cell-1->gateway-1: none; .* answered .* toxics of cell-1->gateway-2: none; .* answered"
GONE = "is gone; ports? .* refuse connections"
NO_ROOM = r"at most \d{6,} of bytes of memory; 8 MiB to its port: it answered a ping and broke the link"
ROOM = "no limit of bytes of memory; the same incarnation answers"
SLOW = r"in control group /petrel-\S+, which may make 10 writes a second; 4 writes there took (0\.[2-9]|[1-9])"
QUICK = r"which may make any number of writes a second; 4 writes outside took 0\.[01]\d s; the same incarnation"
OFF = "the clock of gateway-1 is "
RIGHT = rf"{OFF}[+-]\d\.\d s from this machine's; the same incarnation"
WITH_CLOCKS = pytest.mark.skipif(clock.find_library() is None, reason=clock.LACKING)
NO_DISK = throttle.lacking(Path(tempfile.gettempdir()))
ON_A_DISK = pytest.mark.skipif(NO_DISK is not None, reason=f"no disk can be slowed: {NO_DISK}")
NO_PACKETS = Packets("0").available()


class Lines:
    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.faults: list[FaultLine] = []

    def write(self, event: Plan | FaultLine) -> None:
        (self.plans if isinstance(event, Plan) else self.faults).append(event)  # type: ignore[arg-type]

    def of(self, fault: str, phase: str) -> FaultLine:
        found = [line for line in self.faults if (line.fault, line.phase) == (fault, phase)]
        assert len(found) == 1, self.faults
        return found[0]


class Running:
    """An engine in a thread, begun now."""

    def __init__(self, world: World, directory: Path, *faults: PlannedFault) -> None:
        self.lines = Lines()
        self.path = directory / "undo.jsonl"
        self.ledger = UndoLedger(self.path)
        self.t0_ns = time.monotonic_ns()
        self.engine = Engine(
            faults, world=world, ledger=self.ledger, lines=self.lines, now_ns=time.monotonic_ns, t0_ns=self.t0_ns
        )
        self.thread = threading.Thread(target=self.engine.run)
        self.thread.start()

    def join(self, timeout_s: float = 40.0) -> Lines:
        self.thread.join(timeout_s)
        assert not self.thread.is_alive()
        self.ledger.close()
        return self.lines


def planned(name: str, target: str, *, at_s: float = 0.0, for_s: float = 0.3, fault: str = "f1") -> PlannedFault:
    return PlannedFault(fault=fault, name=name, target=target, at_s=at_s, for_s=for_s)


@pytest.mark.parametrize(
    ("name", "target", "effect", "health"),
    [
        ("gateway_crash", "gateway-1", "is gone; ports .* refuse connections", REBORN),
        ("sequencer_crash", "sequencer-1", "is gone; ports? .* refuse connections", REBORN),
        ("chat_crash", "chat-1", "is gone; ports? .* refuse connections", REBORN),
        ("gateways_crash", "gateways", f"{GONE}.*{GONE}", f"{REBORN}.*{REBORN}|has new pid.*{REBORN}"),
        ("sequencers_restart", "sequencers", GONE, REBORN),
        ("sentinel_crash", "sentinel-2", "others have a quorum and agree", "every Sentinel sees every other"),
        (
            "link_latency",
            LINK,
            "toxics of .*latency upstream.* itself: answered .* link: answered",
            "toxics of .* none",
        ),
        ("link_latency", REDIS_LINK, "itself: answered .* link: answered after [3-9]..", "none; over .* answered"),
        ("link_bandwidth", LINK, "bandwidth .*'rate': 0.* link: no answer in 0.8 s", "none; over .* answered"),
        ("link_bandwidth", REDIS_LINK, "link: no answer in 0.8 s", "none; over .* answered"),
        ("link_reset", LINK, "reset_peer .* link: the connection was broken", "none; over .* answered"),
        ("link_reset", REDIS_LINK, "link: the connection was broken", "none; over .* answered"),
        ("link_slicer", LINK, r"slicer .* link: answered .* in \d+ pieces", "none; over .* answered"),
        ("link_slicer", REDIS_LINK, r"link: answered .* in \d+ pieces", "none; over .* answered"),
        ("device_blackhole", CELL, "timeout .*'timeout': 0.* itself: answered.* link: no answer in 1.5 s", AGAIN),
        ("device_freeze", CELL, "bandwidth .*'rate': 0.* itself: answered.* link: no answer in 1.5 s", AGAIN),
        ("device_half_close", CELL, "slow_close .*timeout .* itself: answered.* link: no answer in 1.5 s", AGAIN),
        ("device_reset", CELL, "reset_peer .* itself: answered.* link: the connection was broken", AGAIN),
        ("device_latency", CELL, "latency .* itself: answered.* link: answered after [1-3]... ms", AGAIN),
        (
            "device_bandwidth",
            CELL,
            "bandwidth .*'rate': 2.* itself: answered.* link: answered after [56789].. ms",
            AGAIN,
        ),
        (
            "link_blackhole",
            LINK,
            "timeout upstream.* itself: answered .* link: no answer in 0.8 s",
            "none; over .* answered",
        ),
        ("link_blackhole", REDIS_LINK, "link: no answer in 0.8 s", "none; over .* answered"),
        ("link_half_close", LINK, "(slow_close|timeout) .* link: no answer in 0.8 s", "none; over .* answered"),
        ("link_half_close", REDIS_LINK, "link: no answer in 0.8 s", "none; over .* answered"),
        (
            "link_one_way",
            LINK,
            "toxics of [^;]*timeout upstream [^,;]*; .* no answer in 0.8 s",
            "none; over .* answered",
        ),
        (
            "link_one_way_back",
            REDIS_LINK,
            "toxics of [^;]*timeout downstream [^,;]*; .* no answer",
            "none; over .* answered",
        ),
        ("gateway_stop", "gateway-1", "is gone; ports .* refuse connections", REBORN),
        ("chat_stop", "chat-1", "is gone; ports? .* refuse connections", REBORN),
        ("sequencer_stop", "sequencer-1", "is gone; ports? .* refuse connections", REBORN),
        ("gateways_deploy", "gateways", f"{NEW}.*{NEW}.*incarnation.*incarnation", f"{NEW}.*{NEW}.*incarnation"),
        ("sequencers_deploy", "sequencers", f"{NEW}.*incarnation", f"{NEW}.*incarnation"),
        ("gateway_no_files", "gateway-1", "at most [0-9]+ of open files; ping of its port: no answer", FREED),
        ("chat_no_files", "chat-1", "at most [0-9]+ of open files; ping of its port: no answer", FREED),
        ("log_full", "chat-1", "at most 1 of bytes of a file", "no limit of bytes of a file; the same incarnation"),
        (
            "store_full",
            "sequencer-1",
            "at most 1 of bytes of a file",
            "no limit of bytes of a file; the same incarnation",
        ),
        ("gateway_starved", "gateway-2", "was stopped at [1-5].? of 60 looks", "in state [SR]; the same incarnation"),
        (
            "sequencer_starved",
            "sequencer-1",
            "was stopped at [1-5].? of 60 looks",
            "in state [SR]; the same incarnation",
        ),
        ("gateway_no_memory", "gateway-1", NO_ROOM, ROOM),
        ("chat_no_memory", "chat-1", NO_ROOM, ROOM),
        ("sequencer_no_memory", "sequencer-1", NO_ROOM, ROOM),
        pytest.param("log_slow", "chat-1", SLOW, QUICK, marks=ON_A_DISK),
        pytest.param("store_slow", "sequencer-1", SLOW, QUICK, marks=ON_A_DISK),
        pytest.param("gateway_clock_ahead", "gateway-1", rf"{OFF}\+3(600|59\d)\.\d s from", RIGHT, marks=WITH_CLOCKS),
        pytest.param("gateway_clock_behind", "gateway-1", rf"{OFF}-360\d\.\d s from", RIGHT, marks=WITH_CLOCKS),
        ("gateway_crash_loop", "gateway-2", "[3-9] processes of gateway-2 are gone: ", OLD_ENOUGH),
        ("chat_crash_loop", "chat-1", "[3-9] processes of chat-1 are gone: ", OLD_ENOUGH),
        ("gateway_pause", "gateway-2", "in state T; ping of its port: no answer", "the same incarnation answers"),
        (
            "partition_gateway_redis",
            "gateway-1",
            "gateway-1->redis-2: no answer .* itself: answered",
            "redis-2: answered",
        ),
        ("partition_sequencer_gateway", LINK, "no answer .* gateway-1 itself: answered", "gateway-1: answered"),
    ],
)
def test_a_fault_is_proven_held_and_healed(
    world: World, tmp_path: Path, name: str, target: str, effect: str, health: str
) -> None:
    lines = Running(world, tmp_path, planned(name, target)).join()
    (plan,) = lines.plans
    assert (plan.fault, plan.name, plan.target, plan.for_s) == ("f1", name, target, 0.3)
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert heal.ok, heal.evidence
    assert probe_text(effect, inject.evidence)
    assert probe_text(health, heal.evidence)
    assert heal.t - inject.t >= 300_000_000
    assert pending(tmp_path / "undo.jsonl") == []


def probe_text(pattern: str, text: str) -> bool:
    import re

    assert re.search(pattern, text), text
    return True


def role_of(world: World, node: tuple[str, int]):
    """What a data node says of itself, to the operator."""
    return probe.redis_role(node, 1.0, world.topology.redis_login("operator"))


@pytest.mark.timeout(90)
def test_a_redis_failover_is_seen_through_and_the_replica_lacks_the_last_writes(world: World, tmp_path: Path) -> None:
    from sut.adapters.redis.client import asking

    operator = world.topology.redis_login("operator")
    first, second = (
        (service.host, service.ports["redis"])
        for service in sorted(world.topology.of_kind("redis"), key=lambda s: s.name)
    )
    master, replica = (first, second) if role_of(world, first).role == "master" else (second, first)
    fault = PlannedFault(
        fault="f1", name="redis_failover", target="petrel", at_s=0.0, for_s=4.0, options={"lag_s": 0.6}
    )
    with asking(master, 1.0, login=operator) as ask:
        ask("SET", "early", "1")
    running = Running(world, tmp_path, fault)
    wait_until(lambda: not role_of(world, master).replicas, timeout_s=5)
    with asking(master, 1.0, login=operator) as ask:
        ask("SET", "late", "1")
    lines = running.join()
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert heal.ok, heal.evidence
    with asking(replica, 1.0, login=operator) as ask:
        assert ask("GET", "early") == "1"
        assert ask("GET", "late") is None
    assert role_of(world, replica).role == "master"
    assert role_of(world, master).role == "slave"


def redis_roles(world: World) -> tuple[tuple[str, int], tuple[str, int]]:
    """The address of the master, and of its replica."""
    first, second = (
        (service.host, service.ports["redis"])
        for service in sorted(world.topology.of_kind("redis"), key=lambda s: s.name)
    )
    return (first, second) if role_of(world, first).role == "master" else (second, first)


@pytest.mark.long
@pytest.mark.timeout(90)
def test_a_paused_master_is_replaced_and_becomes_a_replica(world: World, tmp_path: Path) -> None:
    master, replica = redis_roles(world)
    lines = Running(world, tmp_path, planned("redis_pause", "petrel")).join(60)
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert probe_text("in state T; PING of redis-.: no answer .* is master, say it and most Sentinels", inject.evidence)
    assert heal.ok, heal.evidence
    assert redis_roles(world) == (replica, master)


@pytest.mark.long
@pytest.mark.skipif(NO_PACKETS is not None, reason=f"packets cannot be dropped: {NO_PACKETS}")
@pytest.mark.timeout(90)
def test_a_master_that_is_cut_off_goes_on_taking_writes_that_are_gone_when_it_is_back(
    world: World, tmp_path: Path
) -> None:
    from sut.adapters.redis.client import asking

    operator = world.topology.redis_login("operator")
    rules = subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout
    master, replica = redis_roles(world)
    running = Running(world, tmp_path, planned("redis_partition", "petrel", for_s=12))
    wait_until(lambda: running.lines.faults, timeout_s=30)
    inject = running.lines.of("f1", "inject")
    assert inject.ok, inject.evidence
    assert probe_text(
        "packets dropped: .* says role master; it takes a write; redis-. is master, say it and most", inject.evidence
    )
    with asking(master, 1.0, login=operator) as ask:
        assert ask("SET", "lost", "1") == "OK"
    with asking(replica, 1.0, login=operator) as ask:
        assert ask("GET", "lost") is None
        assert ask("SET", "kept", "1") == "OK"
    heal = running.join(60).of("f1", "heal")
    assert heal.ok, heal.evidence
    assert redis_roles(world) == (replica, master)
    with asking(master, 1.0, login=operator) as ask:
        assert (ask("GET", "lost"), ask("GET", "kept")) == (None, "1")
    assert subprocess.run(["iptables", "-S"], capture_output=True, text=True, check=True).stdout == rules


@pytest.mark.long
@pytest.mark.timeout(90)
def test_without_any_redis_nobody_is_promoted_and_afterwards_the_registry_fills_again(
    world: World, tmp_path: Path
) -> None:
    lines = Running(world, tmp_path, planned("redis_outage", "redis", for_s=4)).join(80)
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert probe_text(r"is gone.*is gone.*refuse.* [23] of 3 Sentinels see no master and no replica", inject.evidence)
    assert heal.ok, heal.evidence
    assert probe_text("a replica in step; .*hold leases again", heal.evidence)
    assert "is master of 1" in heal.evidence


def test_faults_overlap_and_each_has_its_own_time(world: World, tmp_path: Path) -> None:
    first = planned("gateway_pause", "gateway-1", at_s=0.2, for_s=2.0)
    second = planned("chat_crash", "chat-1", at_s=0.8, for_s=0.3, fault="f2")
    running = Running(world, tmp_path, first, second)
    wait_until(lambda: {one.fault for one in running.engine.active()} == {"f1", "f2"}, timeout_s=5)
    lines = running.join()
    assert all(line.ok for line in lines.faults)
    assert 0.2 <= (lines.of("f1", "inject").t - running.t0_ns) / 1e9 < 0.8
    assert (lines.of("f2", "inject").t - running.t0_ns) / 1e9 >= 0.8
    assert running.engine.healed == 2
    assert running.engine.active() == ()


def test_stop_heals_what_is_broken_and_injects_nothing_more(world: World, tmp_path: Path) -> None:
    pid = world.processes.pid("gateway-2")
    assert pid
    pause = planned("gateway_pause", "gateway-2", for_s=60)
    later = planned("chat_crash", "chat-1", at_s=60, fault="f2")
    running = Running(world, tmp_path, pause, later)
    wait_until(lambda: probe.process_state(pid) == "T")
    wait_until(lambda: running.lines.faults)
    running.engine.stop()
    lines = running.join(timeout_s=5)
    assert probe.process_state(pid) != "T"
    assert lines.of("f1", "heal").ok
    assert [line.fault for line in lines.faults] == ["f1", "f1"]
    assert pending(running.path) == []


def test_a_fault_on_a_dead_target_is_recorded_as_skipped(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FAULTS["chat_crash"], "arm_timeout_s", 0.3)
    pid = world.processes.pid("chat-1")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        lines = Running(world, tmp_path, planned("chat_crash", "chat-1")).join()
    finally:
        os.kill(pid, signal.SIGCONT)
    (line,) = lines.faults
    assert (line.phase, line.ok) == ("skip", False)
    assert line.evidence == "chat-1 does not answer a ping"
    assert pending(tmp_path / "undo.jsonl") == []


class _Odd(Fault):
    """A fault on a link whose parts the tests replace."""

    name = "odd"
    effect_timeout_s = 0.3
    heal_timeout_s = 0.3

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        return (LINK,)

    def arm(self) -> tuple[Undo, ...]:
        return (Restore(LINK),)

    def inject(self) -> None:
        self.world.links.blackhole(LINK)

    def effective(self) -> Proof:
        return Proof(ok=True, text="broken")

    def healed(self) -> Proof:
        return Proof(ok=not self.world.links.toxics(LINK), text="whole")  # type: ignore[attr-defined]


class _Refused(_Odd):
    def inject(self) -> None:
        super().inject()
        raise FaultError("half done")


class _Blunt(_Odd):
    def effective(self) -> Proof:
        return Proof(ok=False, text="as before")


class _Buggy(_Odd):
    def effective(self) -> Proof:
        raise ZeroDivisionError


class _Brief(_Odd):
    looks = 0

    def effective(self) -> Proof:
        self.looks += 1
        return Proof(ok=self.looks == 1, text="broken" if self.looks == 1 else "whole already")


class _Counting(_Odd):
    looks = 0

    def effective(self) -> Proof:
        self.looks += 1
        return Proof(ok=True, text=f"broken {self.looks} times")


class _Growing(_Counting):
    def effective(self) -> Proof:
        return Proof(ok=True, text="broken and noticed") if self.looks else super().effective()


class _Lasting(_Odd):
    def healed(self) -> Proof:
        return Proof(ok=False, text="still broken")


@pytest.mark.parametrize(
    ("fault", "inject", "heal"),
    [
        (_Refused, (False, "half done"), (True, "whole")),
        (_Blunt, (False, "as before"), (True, "whole")),
        (_Buggy, None, (True, "whole")),
        (_Growing, (True, "broken 1 times"), (True, "at the end of the hold: broken and noticed; then: whole")),
        (_Counting, (True, "broken 1 times"), (True, "whole")),
        (_Brief, (True, "broken"), (False, "the effect had ended by itself: whole already; then: whole")),
        (_Lasting, (True, "broken"), (False, "still broken")),
    ],
)
def test_whatever_a_fault_does_its_steps_are_undone(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Fault],
    inject: tuple[bool, str] | None,
    heal: tuple[bool, str],
) -> None:
    monkeypatch.setattr(engines, "FAULTS", {**FAULTS, "odd": fault})
    running = Running(world, tmp_path, planned("odd", LINK, for_s=0.1))
    lines = running.join(timeout_s=5)
    assert world.links.toxics(LINK) == ()  # type: ignore[attr-defined]
    assert pending(running.path) == []
    seen: Mapping[str, FaultLine] = {line.phase: line for line in lines.faults}
    assert ("inject" in seen) == (inject is not None)
    if inject is not None:
        assert (seen["inject"].ok, seen["inject"].evidence.partition(" (")[0]) == inject
    else:
        assert running.engine.errors == ["f1 odd: ZeroDivisionError: "]
    assert (seen["heal"].ok, seen["heal"].evidence.partition(" (")[0]) == heal


def test_without_proxies_the_link_faults_say_so(world: World) -> None:
    import msgspec

    from sut.deploy.net.links import Links

    bare = msgspec.structs.replace(
        world.topology,
        services=tuple(service for service in world.topology.services if service.kind != "toxiproxy"),
    )
    lacks = {"links": Links(bare).available}
    embedded = {name: fault for name, fault in FAULTS.items() if fault.targets(bare)}
    reasons = {name: unavailable(fault, topology=bare, lacks=lacks) for name, fault in embedded.items()}
    by_links = {"partition_gateway_redis", "partition_sequencer_gateway"}
    by_links |= {"link_latency", "link_bandwidth", "link_reset", "link_slicer"}
    by_links |= {"device_blackhole", "device_freeze", "device_half_close", "device_reset", "device_latency"}
    by_links |= {"device_bandwidth", "link_blackhole", "link_half_close", "link_one_way", "link_one_way_back"}
    assert {name for name, reason in reasons.items() if reason} == by_links
    assert reasons["link_reset"] == "this system has no toxiproxy, so its links cannot be broken"
    linkless = msgspec.structs.replace(bare, links=())
    assert {name for name in embedded if not FAULTS[name].targets(linkless)} == by_links
    assert unavailable(FAULTS["link_reset"], topology=linkless, lacks=lacks) == reasons["link_reset"]
    lacks = {"links": world.links.available}
    assert not any(unavailable(fault, topology=world.topology, lacks=lacks) for fault in embedded.values())
