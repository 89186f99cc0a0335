"""What deploy decides without touching anything: waits, roles, ledgers, configurations, the shape of the topology."""

import json
import re
import socket
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.deploy.place import Place
from sut.deploy.profiles import build
from sut.deploy.servers import redis, sentinel, toxiproxy
from sut.deploy.servers.redis import SENTINEL_PATIENCE_S, Address, RedisStart, redis_start
from sut.deploy.supervise.child import how_it_ended
from sut.deploy.supervise.reservation import OUTLAST_START, Reservation
from sut.deploy.supervise.restart import MAX_BACKOFF_S, wait_before_restart_s
from sut.deploy.supervise.watchdog import Undo, pending
from sut.deploy.topology import Settings, Topology

ONE, TWO = ("127.0.0.1", 1), ("127.0.0.1", 2)


class Said(NamedTuple):
    master: Address
    flags: frozenset[str] = frozenset({"master"})


def profile(
    directory: Path,
    *,
    toxiproxy: Path | None = Path("/usr/bin/toxiproxy-server"),
    settings: Settings = Settings(),  # noqa: B008 (frozen)
) -> Topology:
    ports = iter(range(10_000, 20_000))
    return build(
        "embedded",
        Place(
            directory=directory,
            redis_server=Path("/usr/bin/redis-server"),
            toxiproxy=toxiproxy,
            port=lambda *_hosts: next(ports),
            settings=settings,
            variant=None,
        ),
    )


def test_there_are_gateways_enough_for_the_devices_while_one_is_away(tmp_path: Path) -> None:
    count = {
        devices: len(profile(tmp_path, settings=Settings(devices=devices)).of_kind("gateway"))
        for devices in (0, 1, 36_000, 36_001, 100_000)
    }
    assert count == {0: 3, 1: 3, 36_000: 3, 36_001: 4, 100_000: 7}


@given(st.floats(0, 10), st.integers(0, 1000))
def test_the_wait_before_a_restart_is_bounded_and_never_below_the_services_own(delay_s: float, deaths: int) -> None:
    wait_s = wait_before_restart_s(restart_delay_s=delay_s, quick_deaths=deaths)
    assert delay_s <= wait_s <= max(delay_s, MAX_BACKOFF_S)
    assert wait_s <= wait_before_restart_s(restart_delay_s=delay_s, quick_deaths=deaths + 1)


def test_the_first_death_costs_the_services_own_delay_and_many_cost_the_most() -> None:
    assert wait_before_restart_s(restart_delay_s=0.3, quick_deaths=0) == 0.3
    assert wait_before_restart_s(restart_delay_s=0.3, quick_deaths=20) == MAX_BACKOFF_S


def test_without_a_sentinel_the_topology_says_who_is_master() -> None:
    assert redis_start(ONE, first_master=ONE, views=[], waited_s=0) == RedisStart(None)
    assert redis_start(TWO, first_master=ONE, views=[], waited_s=0) == RedisStart(ONE)


def test_a_master_that_was_replaced_comes_back_as_a_replica() -> None:
    assert redis_start(ONE, first_master=ONE, views=[Said(TWO), Said(TWO), Said(ONE)], waited_s=6) == RedisStart(TWO)


def test_a_master_waits_for_its_own_failover_but_not_for_ever() -> None:
    for doubt in (Said(TWO), Said(ONE, frozenset({"master", "o_down"}))):
        views = [Said(ONE), Said(ONE), doubt]
        assert redis_start(ONE, first_master=ONE, views=views, waited_s=6) == "wait"
        assert redis_start(ONE, first_master=ONE, views=views, waited_s=SENTINEL_PATIENCE_S) == RedisStart(None)


@given(st.lists(st.sampled_from([Said(ONE), Said(TWO)]), min_size=1, max_size=5), st.floats(0, 20))
def test_two_redis_are_never_both_started_as_master(views: list[Said], waited_s: float) -> None:
    starts = [redis_start(own, first_master=ONE, views=views, waited_s=waited_s) for own in (ONE, TWO)]
    assert starts.count(RedisStart(None)) <= 1


def test_the_arguments_override_what_the_configuration_says() -> None:
    assert RedisStart(None).arguments == ("--replicaof", "no", "one")
    assert RedisStart(TWO).arguments == ("--replicaof", "127.0.0.1", "2")


def test_how_a_process_ended_in_words() -> None:
    assert [how_it_ended(code) for code in (0, 70, -9, -15, -99)] == [
        "exit 0",
        "exit 70",
        "SIGKILL",
        "SIGTERM",
        "signal 99",
    ]


def test_a_ledger_gives_what_is_not_done_newest_first_and_ignores_the_lines_of_others() -> None:
    lines = [
        b'{"undo": "f1", "argv": ["a", "1"]}',
        b'{"promise": {"fault": "f9", "steps": []}}',
        b'{"undo": "f2", "argv": ["b"]}',
        b'{"undo": "f3"}',
        b'{"done": "f2"}',
        b'{"undo": "f4", "argv": ["c"], "why": "x"}',
        b'{"undo": "f5", "argv": ["to',
        b"",
    ]
    assert pending(lines) == [Undo("f4", ("c",)), Undo("f1", ("a", "1"))]


@given(st.lists(st.binary(max_size=40)))
def test_no_ledger_breaks_the_watchdog(lines: list[bytes]) -> None:
    pending(lines)


def test_without_pushes_there_is_neither_the_service_nor_its_providers(tmp_path: Path) -> None:
    kinds = {service.kind for service in profile(tmp_path, settings=Settings(push=False)).services}
    assert not kinds & {"push", "provider"}
    assert {"gateway", "api"} < kinds


def test_the_embedded_profile_has_the_processes_and_links_of_the_design(tmp_path: Path) -> None:
    topology = profile(tmp_path)
    assert [service.name for service in topology.services] == [
        *("gateway-1", "gateway-2", "gateway-3", "chat-1", "chat-2", "sequencer-1", "sequencer-2", "api-1"),
        *("push-1", "provider-1"),
        *("redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3", "toxiproxy"),
    ]
    assert len(topology.links) == 3 * 2 + 2 * 2 + 2 * 3
    for source, target, role in (
        ("gateway-3", "redis-2", "redis"),
        ("sequencer-1", "redis-1", "redis"),
        ("sequencer-2", "gateway-1", "peer"),
    ):
        assert topology.dial(source, target, role)[1] in {link.listen for link in topology.links}
    assert topology.dial("gateway-1", "chat-2")[1] == topology.service("chat-2").ports["peer"]
    assert topology.dial("chat-1", "redis-1", "redis")[1] == topology.service("redis-1").ports["redis"]
    ports = [port for service in topology.services for port in service.ports.values()]
    ports += [link.listen for link in topology.links]
    assert len(ports) == len(set(ports))


def test_without_toxiproxy_there_are_no_links(tmp_path: Path) -> None:
    topology = profile(tmp_path, toxiproxy=None)
    assert not topology.links
    assert not topology.of_kind("toxiproxy")


def test_each_system_has_keys_and_a_run_id_of_its_own(tmp_path: Path) -> None:
    one, two = profile(tmp_path), profile(tmp_path)
    assert one.run_id != two.run_id
    assert one.token_key != two.token_key
    assert len(bytes.fromhex(one.token_key)) == 32


def test_sentinels_know_each_other_and_the_replica_from_the_start(tmp_path: Path) -> None:
    topology = profile(tmp_path)
    texts = {service.name: sentinel.conf(topology, service) for service in topology.of_kind("sentinel")}
    ids = {name: re.findall(r"^sentinel myid (\w{40})$", text, re.M)[0] for name, text in texts.items()}
    for name, text in texts.items():
        known = set(re.findall(r"^sentinel known-sentinel petrel 127\.0\.0\.1 \d+ (\w{40})$", text, re.M))
        assert known == set(ids.values()) - {ids[name]}
        assert f"known-replica petrel 127.0.0.1 {topology.service('redis-2').ports['redis']}" in text
        assert text.splitlines().count("set-proc-title no") == 1


def test_a_directory_with_quotes_is_quoted(tmp_path: Path) -> None:
    topology = profile(tmp_path / 'a "b" c')
    assert f'dir "{tmp_path}/a \\"b\\" c/data/redis/redis-1"' in redis.conf(topology, topology.service("redis-1"))


def test_the_proxies_listen_where_the_topology_dials(tmp_path: Path) -> None:
    topology = profile(tmp_path)
    proxies = {proxy["name"]: proxy for proxy in json.loads(toxiproxy.conf(topology))}
    assert len(proxies) == len(topology.links)
    for link in topology.links:
        assert proxies[link.name]["listen"] == f"127.0.0.1:{link.listen}"
        assert proxies[link.name]["upstream"] == f"127.0.0.1:{topology.service(link.target).ports[link.port]}"


def test_reserved_ports_are_distinct() -> None:
    with Reservation() as one, Reservation() as two:
        ports = [reservation.port() for _ in range(300) for reservation in (one, two)]
    assert len(set(ports)) == 600


@pytest.mark.skipif(not OUTLAST_START, reason="reservations outlast the start on Linux only")
def test_a_reserved_port_is_kept_from_others_and_open_to_its_server_again_and_again() -> None:
    with Reservation() as reservation:
        port = reservation.port()
        reservation.inherit()
        address = ("127.0.0.1", port)
        for _life in range(2):
            with socket.create_server(address) as server, socket.create_connection(address) as client:
                server.accept()[0].close()
                assert client.recv(1) == b""
        with pytest.raises(OSError, match="in use"), socket.socket() as stranger:
            stranger.bind(("127.0.0.1", port))
