"""The push service process: a reader for each partition, one decider, a sender for each provider, and the commits.

An offset is committed only when the providers have accepted, or refused for good, every push of the records up to it.
After a restart the service reads again from the last commit: a push may come twice, and none is lost. Queues are
bounded (lane.py, decider.py). When they are full the service stops reading; the log keeps the records.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from sut.adapters.backends import Backends
from sut.deploy.servers.push_files import PushFiles, read_accounts, read_service_account
from sut.deploy.topology import Service, Topology
from sut.ports import Follower, Provider, PushProvider, Unavailable, Verdict
from sut.process.links import links_to
from sut.process.peer import PeerLink, PeerServer
from sut.process.ready import Ready
from sut.process.serving import peers, refuse, work_until
from sut.services.covered import covered
from sut.services.push.directory import Directory
from sut.services.push.gateways import Gateways
from sut.services.push.lane import Lane
from sut.services.push.pieces import PushPieces
from sut.services.push.progress import Progress
from sut.services.push.reader import PartitionReader
from sut.services.push.sender import Sender
from sut.services.waiting import until_tick

COMMIT_S: Final = 0.25
"""Seconds between commits. A crash repeats the pushes of this period, and those in flight."""
TIMEOUT_S: Final = 2.0
"""Timeout of one attempt. After the decision (1 s), an unanswered one and a second fit into the 5 s of a push."""

log = logging.getLogger("push")


async def serve(
    topology: Topology,
    service: Service,
    incarnation: int,
    stop: asyncio.Event,
    pieces: PushPieces = PushPieces(),  # noqa: B008 (frozen)
) -> None:
    """Push until `stop` is set. Raises PortInUse, TopologyError."""
    providers = open_providers(topology)
    backends = Backends(topology, service.name)
    links = links_to(topology, service, incarnation, "gateway", "sequencer")
    push = _Push(topology, providers, backends, links, pieces)
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        secret=topology.peer_secret,
        on_frame=refuse,
        stats=push.stats,
    )
    closings = [provider.close for provider in providers.values()]
    async with peers(service, server, links, *closings, backends.close):
        await work_until(stop, push.works())


class _Push:
    """The parts of the service, connected to each other."""

    def __init__(
        self,
        topology: Topology,
        providers: Mapping[Provider, PushProvider],
        backends: Backends,
        links: Mapping[str, PeerLink],
        pieces: PushPieces,
    ) -> None:
        self._log, store = backends.log(), backends.store()
        registry, self._devices = backends.registry(), backends.devices()
        self._floors = {partition: pieces.floor() for partition in range(topology.settings.partitions)}
        self._lanes: dict[Provider, Lane] = {name: Lane(self._floors, rng=random.Random()) for name in providers}
        directory = Directory(self._devices)
        self._senders = [
            Sender(name, lane=self._lanes[name], provider=provider, directory=directory)
            for name, provider in providers.items()
        ]
        self._gateways = Gateways({gateway.name: links[gateway.name] for gateway in topology.of_kind("gateway")})
        self._progress = Progress(covered(topology, links), self._log)
        self._decider = pieces.decider(
            registry=registry,
            generations=registry,
            gateways=self._gateways,
            directory=directory,
            floors=self._floors,
            lanes=self._lanes,
            on_pending=self._poke,
        )
        self._readers = [
            PartitionReader(
                partition,
                message_log=self._log,
                store=store,
                floor=floor,
                group_cap=topology.settings.group_cap,
                progress=self._progress,
                put=self._decider.put,
            )
            for partition, floor in self._floors.items()
        ]
        self._ready = Ready()

    def _poke(self) -> None:
        for sender in self._senders:
            sender.poke()

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return the coroutines that must run as long as the service."""
        works = [reader.run() for reader in self._readers]
        works += [sender.run() for sender in self._senders]
        works += [self._progress.run(), self._gateways.listen(), self._decider.run(), self._commit()]
        return [*works, self._ready.reach(lambda: self._log.committed(0), lambda: self._devices.owner(0))]

    async def _commit(self) -> None:
        """Commit the log up to the floors, for ever."""
        committed = dict.fromkeys(self._floors, 0)
        while True:
            await until_tick(COMMIT_S)
            for partition, floor in self._floors.items():
                if (offset := floor.value) > committed[partition]:
                    try:
                        await self._log.commit(partition, offset, Follower.PUSH)
                        committed[partition] = offset
                    except Unavailable as error:
                        log.warning("partition %d is not committed: %s", partition, error)

    def stats(self) -> dict[str, float]:
        stats = self._ready.stats() | {
            "behind": float(sum(not reader.caught_up for reader in self._readers)),
            "undecided": float(self._decider.undecided),
            "decided": float(self._decider.decided),
            "online": float(self._decider.online),
            "asked": float(self._decider.asked),
            "open": float(sum(floor.open for floor in self._floors.values())),
        }
        for name, lane in self._lanes.items():
            stats[f"{name}_pending"] = float(len(lane))
            stats |= {f"{name}_{verdict.name.lower()}": float(lane.counts[verdict]) for verdict in Verdict}
        return stats


def open_providers(topology: Topology) -> dict[Provider, PushProvider]:
    """Open the providers that the topology has accounts with. Devices of other providers get no pushes.

    Raises TopologyError.
    """
    accounts, files = read_accounts(topology), PushFiles(topology.path)
    providers: dict[Provider, PushProvider] = {}
    if accounts.apns is not None:
        from sut.adapters.push.apns import Apns, ApnsKey

        apns = accounts.apns
        key = ApnsKey(private_key=files.of(apns.key_file).read_text(), key_id=apns.key_id, team_id=apns.team_id)
        providers["apns"] = Apns(
            apns.url, key=key, topic=apns.topic, tls=_tls(files, apns.ca_file), timeout_s=TIMEOUT_S
        )
    if accounts.fcm is not None:
        from sut.adapters.push.fcm import Fcm

        account = read_service_account(files.of(accounts.fcm.account_file))
        providers["fcm"] = Fcm(
            accounts.fcm.url, account=account, tls=_tls(files, accounts.fcm.ca_file), timeout_s=TIMEOUT_S
        )
    return providers


def _tls(files: PushFiles, ca_file: str) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=str(files.of(ca_file)) if ca_file else None)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return tls
