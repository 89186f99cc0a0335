"""Between processes: a stranger on the same machine speaks as nobody, writes nothing to Redis and reads no file."""

import asyncio
import stat
import subprocess
import time
from pathlib import Path

from sut.adapters.backends import Backends
from sut.adapters.redis.client import asking
from sut.deploy.logins import Login
from sut.deploy.probes import probe
from sut.deploy.system import System
from sut.deploy.topology import Service, Topology
from sut.ports import Revocation, Route, Unavailable
from tests.kit.waits import wait_until

HARM = (
    ("CONFIG", "SET", "dir", "/tmp"), ("CONFIG", "GET", "*"), ("CONFIG", "REWRITE"), ("SAVE",), ("BGSAVE",),
    ("DEBUG", "SLEEP", "0"), ("FLUSHALL",), ("FLUSHDB",), ("KEYS", "*"), ("SCAN", "0"), ("REPLICAOF", "NO", "ONE"),
    ("SLAVEOF", "NO", "ONE"), ("ACL", "LIST"), ("ACL", "SETUSER", "default", "on"), ("MODULE", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SCRIPT", "FLUSH"), ("MONITOR",), ("SHUTDOWN", "NOSAVE"), ("FAILOVER",), ("PSYNC", "?", "-1"),
    ("EVAL", "return redis.call('CONFIG', 'SET', 'dir', '/tmp')", "0"), ("EVAL", "return redis.call('FLUSHALL')", "0"),
)  # fmt: skip
"""Harmless where it is refused, and never sent to anything but a system that this test started."""
AT_SENTINEL = (
    ("SENTINEL", "SET", "petrel", "quorum", "3"), ("SENTINEL", "MONITOR", "x", "127.0.0.1", "1", "1"),
    ("SENTINEL", "REMOVE", "nobody"), ("SENTINEL", "FAILOVER", "nobody"), ("SENTINEL", "CONFIG", "GET", "*"),
    ("ACL", "LIST"), ("PUBLISH", "__sentinel__:hello", "x"),
)  # fmt: skip


def address(service: Service, role: str = "redis") -> tuple[str, int]:
    return service.host, service.ports[role]


def refusal(where: tuple[str, int], login: Login | None, *command: str) -> str:
    """The error by which a command is refused, or the login before it; "" where it is done."""
    try:
        with asking(where, 3.0, login=login) as ask:
            ask(*command)
    except Unavailable as error:
        return str(error)
    return ""


def is_refused(said: str) -> bool:
    return "Authentication required" in said or "no permission" in said.lower() or "not allowed" in said.lower()


def test_redis_and_the_sentinels_do_nothing_for_who_has_not_logged_in(running: System) -> None:
    topology = running.topology
    for service in (*topology.of_kind("redis"), *topology.of_kind("sentinel")):
        for command in (("PING",), ("GET", "x"), ("SET", "x", "1"), ("INFO",), ("ROLE",), *HARM, *AT_SENTINEL):
            said = refusal(address(service), None, *command)
            assert is_refused(said), f"{service.name} {command}: {said}"
        assert "invalid username-password" in refusal(address(service), Login("operator", "0" * 64), "PING")
        assert is_refused(refusal(address(service), Login("default", ""), "PING"))


def test_a_service_may_keep_the_registry_and_configure_nothing(running: System) -> None:
    topology, login = running.topology, running.topology.redis_login("service")
    for service in topology.of_kind("redis"):
        assert not refusal(address(service), login, "PING")
        for command in HARM:
            said = refusal(address(service), login, *command)
            assert is_refused(said), f"{command}: {said}"
    for service in topology.of_kind("sentinel"):
        assert not refusal(address(service), login, "SENTINEL", "MASTER", topology.redis_master)
        for command in AT_SENTINEL:
            said = refusal(address(service), login, *command)
            assert is_refused(said), f"{command}: {said}"


def test_all_that_services_do_in_redis_is_allowed(running: System) -> None:
    """Each method of the adapters once, as a service logs in. A command that is missing in its list raises here."""
    asyncio.run(use_all(running))


async def use_all(running: System) -> None:
    backends = Backends(running.topology, "gateway-1")
    registry, presence = backends.registry(), backends.presence()
    revocations = backends.revocations(registry)
    route = Route(1, "nobody-1", 1, 1, 1)
    now_s = int(time.time())
    try:
        await registry.lease("nobody-1", 1, 5.0, "ws://127.0.0.1:1")
        assert "nobody-1" in await registry.gateways()
        await registry.register([(9_999, route)])
        await registry.register([(9_999, Route(1, "nobody-2", 1, 2, 2))])
        assert await registry.replaced("nobody-1", 1) == [1]
        await registry.routes([9_999])
        await registry.lapsed([9_999])
        await registry.unregister([(9_999, route)])
        await registry.release("nobody-1", 1)
        await presence.here("nobody-1", 1, [9_999])
        await presence.look([9_999])
        await presence.gone("nobody-1", 1, [9_999])
        await revocations.revoke([Revocation(9_999, 99, now_s, now_s + 5)], now_s=now_s)
        await revocations.since(0)
        master = backends.master()
        await master.call(lambda client: client.ask("INCR", "seq:0"))
        await master.call(lambda client: client.ask("WAIT", 0, 1))
    finally:
        await backends.close()


def test_every_process_of_ours_refuses_a_peer_without_the_secret(running: System) -> None:
    topology = running.topology
    ours = [service for service in topology.services if "peer" in service.ports]
    assert {service.kind for service in ours} >= {"gateway", "chat", "sequencer", "api", "push", "provider"}
    for service in ours:
        where = address(service, "peer")
        assert probe.peer_ping(where, 3.0, topology.peer_secret) is not None, service.name
        assert probe.peer_ping(where, 3.0) is None, service.name
        assert probe.peer_ping(where, 3.0, b"\0" * 32) is None, service.name


def secrets_of(topology: Topology) -> list[str]:
    users = ("service", "operator", "replica", "sentinel")
    logins = [topology.redis_login(user) for user in users]  # type: ignore[arg-type]
    passwords = [login.password for login in logins if login is not None]
    assert len(passwords) == len(users)
    return [topology.peer_key, topology.redis_key, topology.token_key, topology.api_key, *passwords]


def test_no_secret_is_in_a_command_line_an_environment_or_a_log(running: System) -> None:
    topology = running.topology
    secrets = secrets_of(topology)
    ps = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True, errors="replace").stdout
    assert topology.run_id in ps  # the environments are in it
    assert not [secret for secret in secrets if secret in ps]
    for log in (topology.path / "logs").glob("*.log"):
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], log.name
    login = topology.redis_login("operator")
    assert login is not None
    assert login.password not in repr(login)


def test_what_a_system_writes_is_for_its_user_only(running: System) -> None:
    directory = running.topology.path
    wait_until(lambda: any((directory / "data").rglob("*.db*")) or any((directory / "data").rglob("*.sqlite*")))
    shared = [
        f"{path.relative_to(directory)} {stat.filemode(path.lstat().st_mode)}"
        for path in directory.rglob("*")
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]
    assert not shared, shared
    assert stat.S_IMODE(Path(directory / "topology.json").stat().st_mode) == 0o600
