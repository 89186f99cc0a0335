"""The push service: a reader for each partition, one decider, a sender for each provider, and the commits.

Nothing is committed before it is answered: a record's offset passes when every push that it asked for was accepted or
refused for good. A restart reads again from there, so a push may come twice, and none is lost. What waits is bounded
(lane.py, decider.py); beyond that the log waits, which it does for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Mapping
from typing import Final

from sut.adapters.backends import open_devices, open_log, open_registry, open_store
from sut.deploy.servers.push_files import PushFiles, read_accounts, read_service_account
from sut.deploy.topology import Service, Topology
from sut.ports import Follower, MessageLog, Provider, PushProvider, Unavailable, Verdict
from sut.process.links import links_to
from sut.process.peer import PeerConnection, PeerServer
from sut.process.ready import Ready
from sut.protocol.peer import PeerFrame
from sut.services.push.decider import Decider
from sut.services.push.directory import Directory
from sut.services.push.floor import Floor
from sut.services.push.gateways import Gateways
from sut.services.push.lane import Lane
from sut.services.push.progress import Progress
from sut.services.push.reader import PartitionReader
from sut.services.push.sender import Sender
from sut.variants import decider_class, floor_class

COMMIT_S: Final = 0.25
"""How much is pushed twice after a crash, beside what was under way."""
TIMEOUT_S: Final = 2.0
"""Of one attempt: after the decision (1 s) one that was not answered, and another one, fit into the 5 s of a push."""

log = logging.getLogger("push")


async def serve(topology: Topology, service: Service, incarnation: int, stop: asyncio.Event) -> None:
    """Push until `stop` is set. Raises PortInUse, TopologyError."""
    providers = open_providers(topology)
    message_log, store = open_log(topology, service.name), open_store(topology, service.name)
    registry, devices = open_registry(topology, service.name), open_devices(topology, service.name)
    make_floor = floor_class(topology)
    floors = {partition: make_floor() for partition in range(topology.settings.partitions)}
    lanes: dict[Provider, Lane] = {name: Lane(floors, rng=random.Random()) for name in providers}
    directory = Directory(devices)
    senders = [
        Sender(name, lane=lanes[name], provider=provider, directory=directory) for name, provider in providers.items()
    ]

    links = links_to(topology, service, incarnation, "gateway", "sequencer")
    gateways = Gateways({gateway.name: links[gateway.name] for gateway in topology.of_kind("gateway")})
    progress = Progress({p: links[topology.sequencer_of(p).name] for p in floors}, message_log)

    def poke() -> None:
        for sender in senders:
            sender.poke()

    decider = decider_class(topology)(
        registry=registry,
        generations=registry,
        gateways=gateways,
        directory=directory,
        floors=floors,
        lanes=lanes,
        on_pending=poke,
    )
    readers = [
        PartitionReader(
            partition,
            message_log=message_log,
            store=store,
            floor=floor,
            group_cap=topology.settings.group_cap,
            progress=progress,
            put=decider.put,
        )
        for partition, floor in floors.items()
    ]
    ready = Ready()
    server = PeerServer(
        node=service.name,
        incarnation=incarnation,
        on_frame=_refuse,
        stats=lambda: {**ready.stats(), **_stats(readers, decider, lanes, floors)},
    )
    await server.start(service.host, service.ports["peer"])
    for link in links.values():
        link.start()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(reader.run()) for reader in readers]
            tasks += [group.create_task(sender.run()) for sender in senders]
            tasks.append(group.create_task(progress.run()))
            tasks.append(group.create_task(gateways.listen()))
            tasks.append(group.create_task(decider.run()))
            tasks.append(group.create_task(_commit(message_log, floors)))
            tasks.append(group.create_task(ready.reach(lambda: message_log.committed(0), lambda: devices.owner(0))))
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await server.close()
        for link in links.values():
            await link.close()
        for provider in providers.values():
            await provider.close()
        for closing in (registry.close, devices.close, store.close, message_log.close):
            with contextlib.suppress(Exception):
                await closing()


def open_providers(topology: Topology) -> dict[Provider, PushProvider]:
    """Those that we have accounts with; devices of others get no pushes. Raises TopologyError."""
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


async def _commit(message_log: MessageLog, floors: Mapping[int, Floor]) -> None:
    committed = dict.fromkeys(floors, 0)
    while True:
        await asyncio.sleep(COMMIT_S)
        for partition, floor in floors.items():
            if (offset := floor.value) > committed[partition]:
                try:
                    await message_log.commit(partition, offset, Follower.PUSH)
                    committed[partition] = offset
                except Unavailable as error:
                    log.warning("partition %d is not committed: %s", partition, error)


def _refuse(connection: PeerConnection, _correlation: int, _frame: PeerFrame) -> None:
    connection.abort()


def _stats(
    readers: list[PartitionReader], decider: Decider, lanes: Mapping[Provider, Lane], floors: Mapping[int, Floor]
) -> dict[str, float]:
    stats = {
        "behind": float(sum(not reader.caught_up for reader in readers)),
        "undecided": float(decider.undecided),
        "decided": float(decider.decided),
        "online": float(decider.online),
        "asked": float(decider.asked),
        "open": float(sum(floor.open for floor in floors.values())),
    }
    for name, lane in lanes.items():
        stats[f"{name}_pending"] = float(len(lane))
        stats |= {f"{name}_{verdict.name.lower()}": float(lane.counts[verdict]) for verdict in Verdict}
    return stats
