"""The old piece: a lease that a failover had lost was renewed when it was time, and nobody heard of its routes."""

from sut.ports import Registry
from tests.defects.failover_nobody_saw.old_piece import gateway
from tests.sut.gateway.test_registrar import after_a_silent_failover
from tests.sut.gateway.world import World, in_world


def test_nothing_was_announced_and_the_lease_was_not_there(tmp_path):
    async def scenario(world: World) -> None:
        assert not await after_a_silent_failover(world)
        assert not world.registry.leases

    def wrapped(registry: Registry) -> Registry:
        return gateway(None).registry(registry)

    in_world(scenario, tmp_path, registry=wrapped, lease_ttl_s=60.0)
