"""Every declared fault is sound: its text is whole, its targets exist on the profiles, and it needs no other entry."""

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, Fault, World, descriptions
from chaos.faults.fault import PARTS, describe
from chaos.run import experiment as experiments
from chaos.run import sketch
from chaos.run.experiment import check_fault
from sut.deploy.docker.zones import Containers
from sut.deploy.kinds import KINDS
from sut.deploy.net.packets import Way
from sut.deploy.place import Place
from sut.deploy.profiles import PROFILES, build
from sut.deploy.topology import Settings, Topology
from tests.kit.copied import copy_project, python

CLOCKS_AND_CELLS = Settings(cells=(8, 64), clocks=("gateway",))
SOMEWHERE = Containers(subnet="10.128.0.0/22", user="1:1", images=dict.fromkeys(("", *KINDS), "image"))


def topology(profile: str) -> Topology:
    """All of a profile, as on a machine where everything is allowed. Nothing is started."""
    ports, gids = itertools.count(1), itertools.count(1)
    return build(
        profile,
        Place(
            directory=Path("/run"), redis_server=Path("redis-server"), toxiproxy=Path("toxiproxy-server"),
            port=lambda *_hosts: next(ports), settings=CLOCKS_AND_CELLS, variant=None, kafka_jars=Path("kafka"),
            cassandra_jars=Path("cassandra"), root=not PROFILES[profile].containers, gid=lambda: next(gids),
            containers=SOMEWHERE if PROFILES[profile].containers else None,
            faketime=None if PROFILES[profile].containers else Path("libfaketime"),
        ),
    )  # fmt: skip


TOPOLOGIES = {profile: topology(profile) for profile in PROFILES}


@pytest.mark.parametrize("name", FAULTS)
def test_the_text_has_a_first_sentence_and_every_part(name: str) -> None:
    description = describe(FAULTS[name])
    assert re.fullmatch(r"[A-Z].{20,160}\.", description.summary), description.summary
    first, *parts = re.split(rf"^({'|'.join(PARTS)}):", description.text, flags=re.MULTILINE)
    assert first.startswith(description.summary.split()[0])
    assert parts[::2] == list(PARTS)
    for text in parts[1::2]:
        assert re.fullmatch(r"\s\S(.|\n)+\.\s*", text), text
        assert max(len(sentence.split()) for sentence in re.split(r"[.:]\s", text)) <= 25, text


NOT_THERE = {
    ("store_restored", "cluster"): "the store is on cassandra, and a copy of several nodes is no moment of the log",
    ("store_restored", "docker"): "the files of the store belong to its containers",
    ("log_slow", "cluster"): "only SQLite waits for its disk; the log of the cluster topology is acknowledged before",
    ("log_slow", "docker"): "each container has a control group of its engine",
    (
        "store_slow",
        "cluster",
    ): "only SQLite waits for its disk; the store of the cluster topology is acknowledged before",
    ("store_slow", "docker"): "each container has a control group of its engine",
    ("gateway_clock_ahead", "docker"): "the images of its containers have no libfaketime",
    ("gateway_clock_behind", "docker"): "the images of its containers have no libfaketime",
}
"""Why a fault has no target on a profile that has services of its kind."""


@pytest.mark.parametrize("name", FAULTS)
def test_the_targets_are_services_or_links_of_the_profiles(name: str) -> None:
    fault = FAULTS[name]
    assert fault.kind in {"link", "container", *KINDS}
    for profile, whole in TOPOLOGIES.items():
        targets = fault.targets(whole)
        assert len(set(targets)) == len(targets)
        there = fault.kind == "link" or whole.of_kind(fault.kind) or (fault.kind == "container" and whole.contained)
        refused = NOT_THERE.get((name, profile))
        assert bool(targets) == bool(there and not refused), (profile, targets)
        if refused:
            assert fault.why_no_target(whole) == refused
        elif not there and fault.kind == "container":
            assert fault.why_no_target(whole) == f"the processes of the {profile} profile run without containers"
        elif not there:
            assert fault.why_no_target(whole) == f"the {profile} topology has no target for it"
        known = {service.name for service in whole.services} | {link.name for link in whole.links}
        known |= {f"{whole.topic}-{number}" for number in range(whole.settings.partitions)} | {whole.redis_master}
        known |= {link.source for link in whole.links if link.from_devices}
        known |= {"controller", "redis", f"{fault.kind}s"}  # who controls, all of Redis, all of a kind
        assert known >= {part for target in targets for part in target.split("+")}
    nothing = msgspec.structs.replace(TOPOLOGIES["cluster"], services=(), links=())
    assert fault.targets(nothing) == ()


@pytest.mark.parametrize("name", FAULTS)
def test_the_bounds_are_positive_and_the_defaults_of_the_options_are_taken(name: str) -> None:
    fault = FAULTS[name]
    assert fault.name == name
    assert min(fault.effect_timeout_s, fault.heal_timeout_s, fault.arm_timeout_s) > 0
    assert 0 <= fault.usual_heal_s < fault.heal_timeout_s
    check_fault(name, fault.options)


def test_clocks_are_moved_only_where_processes_have_their_own() -> None:
    shared = msgspec.structs.replace(
        TOPOLOGIES["embedded"],
        services=tuple(msgspec.structs.replace(one, environment={}) for one in TOPOLOGIES["embedded"].services),
    )
    jump = FAULTS["gateway_clock_ahead"]
    assert jump.targets(TOPOLOGIES["embedded"]) == ("gateway-1", "gateway-2", "gateway-3")
    assert jump.targets(shared) == ()
    assert jump.why_no_target(shared) in (
        "its processes share one clock; an experiment that names this fault has clocks to move",
        "there is no libfaketime.so.1: install faketime",
    )
    assert sketch.settings_of(experiments.load("shortage")).clocks == ("gateway",)
    assert sketch.settings_of(experiments.load("storm")).clocks == ()


def test_descriptions_are_data_in_the_order_of_the_faults() -> None:
    described = descriptions()
    assert [one.name for one in described] == list(FAULTS)
    slow = next(one for one in msgspec.json.decode(msgspec.json.encode(described)) if one["name"] == "link_latency")
    assert slow["kind"] == "link"
    assert slow["options"] == {"latency_ms": 150.0, "jitter_ms": 0.0}
    assert slow["summary"].startswith("A link becomes slow: ")
    assert slow["text"].startswith(slow["summary"])
    assert "\nProven: the proxy reports the latency toxic" in slow["text"]


def test_the_summary_is_the_first_sentence_wherever_its_lines_break() -> None:
    class Long(FAULTS["chat_crash"]):  # type: ignore[misc]
        """A first sentence
        over two lines. A second one.

        Breaks: nothing.
        """

    class Silent(FAULTS["chat_crash"]):  # type: ignore[misc]
        pass

    assert describe(Long).summary == "A first sentence over two lines."
    assert describe(Silent).summary == describe(Silent).text == ""
    assert FAULTS["chat_crash"] is not Long


class _Rules:
    """A packet filter that drops nothing and remembers what it was asked to drop."""

    def __init__(self) -> None:
        self.asked: list[list[Way]] = []

    def drop(self, _reason: str, ways: list[Way]) -> None:
        self.asked.append(list(ways))

    def dropped(self, _reason: str) -> dict[int, int]:
        return {way.gid: 3 for way in self.asked[0]}


def test_a_master_is_cut_off_from_replicas_and_sentinels_over_new_and_open_connections(world: World) -> None:
    if any(service.gid == 0 for service in world.topology.of_kind("redis")):
        pytest.skip("needs root: services have no groups of their own")
    rules = _Rules()
    seen = World(topology=world.topology, processes=world.processes, links=world.links, packets=rules)  # type: ignore[arg-type]
    fault = FAULTS["redis_partition"](seen, world.topology.redis_master, {})
    fault.arm()
    fault.inject()
    to_the_master, answers = rules.asked
    (address,) = {way.to for way in to_the_master}
    services = [*world.topology.of_kind("redis"), *world.topology.of_kind("sentinel")]
    (master,) = (service for service in services if (service.host, service.ports["redis"]) == address)
    assert {way.gid for way in to_the_master} == {service.gid for service in services if service != master}
    assert {way.gid for way in answers} == {master.gid}
    assert len(answers) >= len(services) - 1  # each Sentinel and the replica holds at least one connection
    proof = fault.effective()  # nothing is really cut, so nobody else is promoted
    assert not proof
    dropped = ", ".join(f"3 from {service.name}" for service in services if service != master)
    assert proof.text == (
        f"packets dropped: {dropped}; {master.name} says role master; it takes a write; "
        f"the Sentinels still name {master.name}"
    )
    same = msgspec.structs.replace
    alike = [same(service, gid=7) if service.kind == "sentinel" else service for service in world.topology.services]
    indistinct = World(
        topology=same(world.topology, services=tuple(alike)), processes=seen.processes, links=seen.links,
        packets=seen.packets,
    )  # fmt: skip
    with pytest.raises(FaultError, match="sentinel-1 has no group of its own"):
        FAULTS["redis_partition"](indistinct, world.topology.redis_master, {}).arm()


API_CRASH = '''
from chaos.faults.mechanisms.crash import PeerCrash


class ApiCrash(PeerCrash):
    """An API service dies by SIGKILL while it registers devices.

    Breaks: requests under way get no answer.
    Proven: its pid is gone and its ports refuse connections.
    Undone: the supervisor may restart it.
    Healed: a new pid answers a peer ping as a newer incarnation.
    """

    name = "api_crash"
    kind = "api"
'''
CHAT_PAUSE = '''
from chaos.faults.mechanisms.pause import PeerPause


class ChatPause(PeerPause):
    """A chat service stops for a while. It goes on later."""

    name = "chat_pause"
    kind = "chat"
'''


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's packages, to be changed."""
    return copy_project(tmp_path)


def test_one_class_in_one_file_adds_a_fault(copy: Path) -> None:
    where = python(copy, "-c", "import chaos.faults, sut; print(chaos.faults.__file__, sut.__file__)")
    assert where.stdout.split() == [str(copy / "chaos/faults/__init__.py"), str(copy / "sut/__init__.py")]
    before = python(copy, "-m", "chaos.cli", "faults")
    assert before.returncode == 0, before.stderr
    (copy / "chaos/faults/api.py").write_text(API_CRASH)
    with (copy / "chaos/faults/chat.py").open("a") as file:
        file.write(CHAT_PAUSE)
    after = python(copy, "-m", "chaos.cli", "faults")
    assert (after.returncode, after.stderr) == (0, "")
    new = {line.split()[0]: line for line in after.stdout.splitlines()}.items() - {
        line.split()[0]: line for line in before.stdout.splitlines()
    }.items()
    assert sorted(" ".join(line.split()) for _name, line in new) == [
        "api_crash yes 1 An API service dies by SIGKILL while it registers devices.",
        "chat_pause yes 2 A chat service stops for a while.",
    ]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (API_CRASH.replace("api_crash", "chat_crash"), "two faults are named chat_crash"),
        (
            API_CRASH.replace("chaos.faults.mechanisms.crash", "chaos.faults.fault").replace("PeerCrash", "Fault"),
            "api.ApiCrash'> does not define arm, effective, healed, inject, targets",
        ),
    ],
)
def test_a_class_that_cannot_be_a_fault_is_refused_by_name(copy: Path, source: str, said: str) -> None:
    (copy / "chaos/faults/api.py").write_text(source)
    ended = python(copy, "-c", "from chaos.faults import FAULTS")
    assert ended.returncode == 1
    assert said in ended.stderr.splitlines()[-1]


def test_every_class_with_a_text_of_parts_is_a_fault() -> None:
    """A declaration whose `name` was forgotten would be no fault and go unnoticed."""

    def below(fault: type[Fault]) -> set[type[Fault]]:
        return {fault}.union(*(below(one) for one in fault.__subclasses__()))

    declared = {
        one for one in below(Fault) if one.__module__.startswith("chaos.faults.") and "Healed:" in (one.__doc__ or "")
    }
    assert declared == set(FAULTS.values())
