"""All that a Redis node holds comes out, whatever its type."""

import pytest

from sut.adapters.redis.dump import Unavailable, dump
from tests.sut.adapters.redis_system import RedisSystem


def test_every_type_is_read(redis_system: RedisSystem) -> None:
    node = redis_system.master()
    assert node is not None
    redis_system.forget_all()
    for command in (
        ("SET", "string", "needle-1"),
        ("HSET", "hash", "needle-2", "needle-3"),
        ("SADD", "set", "needle-4"),
        ("RPUSH", "list", "x", "needle-5"),
        ("ZADD", "zset", "1", "needle-6"),
        ("XADD", "stream", "*", "field", "needle-7"),
        ("SETBIT", "bits", "7", "1"),
    ):
        redis_system.ask(node, *command)
    for number in range(2000):  # more than one SCAN brings
        redis_system.ask(node, "SET", f"many-{number}", "x")
    found = dict(dump(node, 5.0))
    assert len(found) == 2007
    everything = b"\0".join(found.values())
    assert all(b"needle-%d" % number in everything for number in range(1, 8))
    assert found[b"bits"] == b"\x01"
    redis_system.forget_all()


def test_a_node_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        list(dump(("127.0.0.1", 1), 0.2))
