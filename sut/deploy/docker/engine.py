"""Docker Engine as a system needs it: networks, containers and images that carry the label of a run.

Everything that is made here has the label RUN, and nothing without that label is ever changed or removed. The address
of the engine is that of the docker command: $DOCKER_HOST, else the local socket.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import docker
import psutil
from docker.errors import APIError, DockerException, NotFound
from docker.types import IPAMConfig, IPAMPool, Ulimit

from sut.deploy.errors import DeployError
from sut.deploy.topology import Service, Topology

RUN: Final = "org.stormpetrel.run"
"""Label of every container and network of a run; its value is the run's id."""
SERVICE: Final = "org.stormpetrel.service"
DIRECTORY: Final = "org.stormpetrel.directory"

SOCKET: Final = "unix:///var/run/docker.sock"
TIMEOUT_S: Final = 60.0
"""A start took 20 s and more where the machine had ten times the work that its cores can do."""
REMOVE_S: Final = 8.0
"""Time in which everything of a run must be gone."""
SETTLE_S: Final = 0.3
"""The engine may still be making what a killed supervisor asked for. Nothing may be there for this long."""
POOL: Final = 64
"""Connections to the engine that are kept: each container has one that waits for its end, and one for its output."""
PIDS: Final = 4096
FILES: Final = 65_536
"""Open files of a container's process, at most; no more than this process may have."""
TMP_MB: Final = 64


class Engine:
    """A connection to Docker Engine. Blocking; usable from several threads. Its methods raise DeployError."""

    def __init__(self, client: docker.DockerClient) -> None:
        self.client = client

    @classmethod
    def connect(cls) -> Engine:
        """Return a connection to the engine. Raises DeployError, one line with what to do."""
        where = os.environ.get("DOCKER_HOST") or SOCKET
        if where.partition(":")[0] != "unix":
            raise DeployError(f"DOCKER_HOST is {where}: containers need this machine's files, so an engine here")
        try:
            return cls(docker.from_env(timeout=TIMEOUT_S, max_pool_size=POOL))
        except DockerException as error:
            raise DeployError(f"Docker Engine at {where}: {_why(error)}") from None

    @property
    def version(self) -> str:
        """The engine's version."""
        with failing("the engine does not answer"):
            return str(self.client.version()["Version"])

    def subnets(self) -> list[str]:
        """Return the subnets of all networks that the engine has."""
        with failing("cannot list networks"):
            pools = [pool for one in self.client.networks.list() for pool in one.attrs["IPAM"]["Config"] or ()]
        return [pool["Subnet"] for pool in pools if pool.get("Subnet")]

    def make_networks(self, topology: Topology) -> None:
        """Make a network for each zone, without a way out of this machine."""
        for zone, subnet in topology.zones.items():
            with failing(f"cannot make the network {zone}"):
                self.client.networks.create(
                    _name(topology, zone),
                    driver="bridge",
                    internal=True,
                    check_duplicate=True,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
                    labels=_labels(topology),
                )

    def make(
        self, topology: Topology, service: Service, command: tuple[str, ...], environ: Mapping[str, str]
    ) -> dict[str, Any]:
        """Make the container of a service unless it has the same command already; return its description."""
        name = _name(topology, service.name)
        with failing(f"cannot make the container {name}"):
            with contextlib.suppress(NotFound):
                found = self.client.containers.get(name)
                if found.attrs["Config"]["Cmd"] == list(command):
                    return dict(found.attrs)
                found.remove(force=True)
            api = self.client.api
            first, *others = service.zones.items()
            files = min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            mounts = {topology.dir: {"bind": topology.dir, "mode": "rw"}}
            if topology.variant_dir:
                mounts[topology.variant_dir] = {"bind": topology.variant_dir, "mode": "ro"}
            made = api.create_container(
                service.image,
                list(command),
                name=name,
                hostname=service.name,
                user=topology.user,
                environment=dict(environ),
                working_dir=topology.dir,
                entrypoint=[],
                labels=_labels(topology) | {SERVICE: service.name},
                networking_config=api.create_networking_config(
                    {_name(topology, first[0]): api.create_endpoint_config(ipv4_address=first[1])}
                ),
                host_config=api.create_host_config(
                    binds=mounts,
                    read_only=True,
                    tmpfs={"/tmp": f"size={TMP_MB}m,mode=1777"},  # noqa: S108 (inside the container)
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                    pids_limit=PIDS,
                    # So that a fault can set another, and this again. Without a limit of both together a running
                    # container cannot get more memory: the engine does not pass on that there is none.
                    mem_limit=psutil.virtual_memory().total,
                    memswap_limit=psutil.virtual_memory().total,
                    ulimits=[Ulimit(name="nofile", soft=files, hard=files)],
                    network_mode=_name(topology, first[0]),
                ),
            )
            for zone, address in others:
                self.join(topology, service, zone, address)
            return dict(api.inspect_container(made["Id"]))

    def join(self, topology: Topology, service: Service, zone: str, address: str) -> None:
        """Connect a service to a zone under its address. Harmless when it is connected."""
        with failing(f"cannot connect {service.name} to {zone}"):
            try:
                self.client.api.connect_container_to_network(
                    _name(topology, service.name), _name(topology, zone), ipv4_address=address
                )
            except APIError as error:
                if "already exists" not in str(error.explanation):
                    raise

    def leave(self, topology: Topology, service: Service, zone: str) -> None:
        """Disconnect a service from a zone: its address there is gone, and the process is not told."""
        with failing(f"cannot disconnect {service.name} from {zone}"):
            self.client.api.disconnect_container_from_network(
                _name(topology, service.name), _name(topology, zone), force=True
            )

    def look(self, topology: Topology, service: Service) -> dict[str, Any] | None:
        """Return the engine's description of a service's container; None while there is none."""
        with failing(f"cannot look at {service.name}"):
            try:
                return dict(self.client.api.inspect_container(_name(topology, service.name)))
            except NotFound:
                return None

    def do(self, topology: Topology, service: Service, verb: str, **arguments: object) -> None:
        """Call one of the SDK's verbs on a service's container: kill, pause, unpause, stop, restart, update."""
        with failing(f"cannot {verb} {service.name}"):
            getattr(self.client.containers.get(_name(topology, service.name)), verb)(**arguments)

    def thaw(self, run_id: str) -> None:
        """Continue every paused container of the run: a frozen process cannot be ended."""
        with failing("cannot continue containers"):
            for one in self.client.containers.list(filters={"label": f"{RUN}={run_id}", "status": "paused"}):
                with contextlib.suppress(APIError):
                    one.unpause()

    def left(self, run_id: str) -> list[str]:
        """Return a line for each container and network that carries the label of the run."""
        label = {"label": f"{RUN}={run_id}"}
        with failing("cannot list what a run left"):
            containers = self.client.api.containers(all=True, filters=label)
            networks = self.client.api.networks(filters=label)
        return [
            *(f"container {one['Names'][0].lstrip('/')}" for one in containers if one["Names"]),
            *(f"network {one['Name']}" for one in networks),
        ]

    def remove(self, run_id: str) -> list[str]:
        """Remove every container and network that carries the label of the run; return their names.

        Returns when nothing of it was there for SETTLE_S. Raises DeployError after REMOVE_S.
        """
        removed: set[str] = set()
        deadline_s, gone_s = time.monotonic() + REMOVE_S, None
        while gone_s is None or time.monotonic() - gone_s < SETTLE_S:
            left = self.left(run_id)
            removed |= set(left)
            gone_s = (gone_s or time.monotonic()) if not left else None
            if left and time.monotonic() > deadline_s:
                raise DeployError(f"could not remove {', '.join(left)}")
            for kind, remove in (("container ", self._remove_container), ("network ", self._remove_network)):
                names = [one.removeprefix(kind) for one in left if one.startswith(kind)]
                with ThreadPoolExecutor(max_workers=8) as pool:
                    list(pool.map(remove, names))
            time.sleep(0.05)
        return sorted(removed)

    def _remove_container(self, name: str) -> None:
        with contextlib.suppress(APIError):  # gone, or being removed: the next look tells
            self.client.api.remove_container(name, force=True, v=True)

    def _remove_network(self, name: str) -> None:
        with contextlib.suppress(APIError):
            self.client.api.remove_network(name)


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    """Turn an error of the SDK into a DeployError that begins with `what`."""
    try:
        yield
    except DockerException as error:
        raise DeployError(f"{what}: {_why(error)}") from None
    except OSError as error:  # errors of requests are OSErrors
        raise DeployError(f"{what}: {_why(error)}") from None


def _labels(topology: Topology) -> dict[str, str]:
    return {RUN: topology.run_id, DIRECTORY: topology.dir}


def _name(topology: Topology, part: str) -> str:
    """Return the name of a container or network."""
    return f"petrel-{topology.run_id}-{part}"


def _why(error: BaseException) -> str:
    """Return one line for an error of the SDK or of its connection, with what to do where that is known."""
    text = str(error)
    if "FileNotFoundError" in text or "ConnectionRefusedError" in text or "Connection refused" in text:
        return "not running; start it (systemctl start docker, or dockerd as root), or set DOCKER_HOST"
    if "PermissionError" in text or "Permission denied" in text:
        return "no permission; be root, or a member of the group docker"
    explanation = getattr(error, "explanation", None)
    return " ".join(str(explanation or text).split())
