"""Where each service of a contained system runs, without an engine."""

import ipaddress

import pytest

from chaos.run.sketch import topology
from sut.deploy.docker.zones import ZONES, free_subnet
from sut.deploy.kinds import KINDS

MADE = topology("docker")


def test_every_service_has_an_address_of_its_own_in_each_of_its_zones() -> None:
    subnets = {zone: ipaddress.ip_network(subnet) for zone, subnet in MADE.zones.items()}
    assert tuple(subnets) == ZONES
    seen = set()
    for service in MADE.services:
        assert service.host == next(iter(service.zones.values()))
        for zone, address in service.zones.items():
            assert ipaddress.ip_address(address) in subnets[zone]
            seen.add(address)
    assert len(seen) == sum(len(service.zones) for service in MADE.services)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("gateway", "chat"), ("gateway", "api"), ("gateway", "sentinel"), ("gateway", "toxiproxy"),
        ("chat", "sequencer"), ("api", "sequencer"), ("sequencer", "api"), ("sequencer", "gateway"),
        ("sequencer", "sequencer"), ("sequencer", "sentinel"), ("sequencer", "toxiproxy"), ("sequencer", "push"),
        ("toxiproxy", "gateway"), ("toxiproxy", "redis"), ("sentinel", "redis"),
        ("push", "provider"), ("push", "gateway"), ("push", "sequencer"),
    ],
)  # fmt: skip
def test_who_dials_is_in_the_zone_of_whom_it_dials(source: str, target: str) -> None:
    for dialer in MADE.of_kind(source):
        for dialed in MADE.of_kind(target):
            home = next(zone for zone, address in dialed.zones.items() if address == dialed.host)
            assert home in dialer.zones, f"{dialer.name} cannot reach {dialed.name}"


def test_devices_reach_the_edge_and_a_data_server_reaches_no_service() -> None:
    for service in MADE.services:
        assert ("edge" in service.zones) == (service.kind in ("gateway", "api", "sequencer", "push", "toxiproxy"))
        if service.kind in ("redis", "sentinel"):
            assert set(service.zones) == {"data"}


def test_links_go_through_the_proxy_container() -> None:
    (proxy,) = MADE.of_kind("toxiproxy")
    assert MADE.links
    assert {link.host for link in MADE.links} == {proxy.host}
    assert MADE.dial("gateway-1", "redis-1", "redis")[0] == proxy.host


def test_all_have_an_image_and_those_of_processes_here_have_none() -> None:
    assert MADE.contained
    assert all(service.image for service in MADE.services)
    here = topology("embedded")
    assert not here.contained
    assert not any(service.image or service.zones for service in here.services)
    assert {service.kind for service in MADE.services} <= set(KINDS)


def test_a_free_subnet_overlaps_nothing_and_the_lack_of_one_is_said() -> None:
    taken = ["10.128.0.0/22", "10.128.4.0/24", "172.17.0.0/16", "fe80::/64"]
    assert free_subnet(taken, 0) == "10.128.8.0/22"
    assert free_subnet([], 1) == "10.128.4.0/22"
    with pytest.raises(ValueError, match="no subnet is free"):
        free_subnet(["10.0.0.0/8"], 7)
