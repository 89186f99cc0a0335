"""The brokers of one Kafka cluster, from an event loop: connections, requests with deadlines, leaders of partitions.

The wire is aiokafka's: its connections, its requests and answers, its record batches. Its clients above that are not
used, because their waits have no bound. An idempotent producer repeats a batch for ever, long after its caller was
told that the outcome is unknown. A connection to a stopped broker holds the lock that the connections to all others
need. A fetch that waits for one partition keeps the next one waiting.

A broker answers the requests of one connection in turn. So requests that may wait long have their own connection, here
called a lane. A fetch of one partition must not delay a produce or the fetch of another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError, for_code

from sut.adapters.kafka.map import Address, AskMap, ClusterMap, Place
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Unavailable

REQUEST_S: Final = 1.0
"""Deadline of one answer of one broker; then its connection is closed. Long polls ask for less (see fetch.py)."""
SECURED_DIAL_S: Final = 3.0
"""Deadline of a new connection with a login or TLS: both cost the broker time, and a failure would cost it again."""
REDIAL_S: Final = 0.2
"""Wait before an unreachable broker is dialed again."""
RETRY_S: Final = 0.05
"""Wait between two attempts while a partition changes its leader."""
RENEW_S: Final = 2.0
"""Largest age of the map: a leader that was cut off from the others looks idle to its readers, not gone."""
META: Final = "meta"
"""The lane of requests that are answered at once."""

_NEVER_MS: Final = 3_600_000
"""aiokafka's own time limit counts what this process lost while it was stopped; ours (patience) does not."""
_TRANSIENT: Final = frozenset(
    {
        2,  # CORRUPT_MESSAGE: damaged on the way
        3,  # UNKNOWN_TOPIC_OR_PARTITION: not known to this broker yet
        5,  # LEADER_NOT_AVAILABLE: or one that does not know yet how far its log is confirmed
        6,  # NOT_LEADER_OR_FOLLOWER
        7,  # REQUEST_TIMED_OUT: not confirmed by the others in time
        9,  # REPLICA_NOT_AVAILABLE
        13,  # NETWORK_EXCEPTION
        14,  # COORDINATOR_LOAD_IN_PROGRESS
        15,  # COORDINATOR_NOT_AVAILABLE: no producer ids to give at the moment
        19,  # NOT_ENOUGH_REPLICAS
        20,  # NOT_ENOUGH_REPLICAS_AFTER_APPEND
        41,  # NOT_CONTROLLER
        56,  # KAFKA_STORAGE_ERROR: its disk; another one will lead
        72,  # LISTENER_NOT_FOUND
        74,  # FENCED_LEADER_EPOCH
        75,  # UNKNOWN_LEADER_EPOCH
        78,  # OFFSET_NOT_AVAILABLE
    }
)

Part = tuple[Any, ...]
"""The part of an answer about one partition: its number, an error code, and more."""

log = logging.getLogger("kafka_log")


class Unreachable(Exception):
    """A broker did not answer this time; the text says which and why."""


class Refused(Unavailable):
    """A broker refused, and asking again will not help."""

    def __init__(self, text: str, code: int = -1) -> None:
        super().__init__(text)
        self.code = code


def error_name(code: int) -> str:
    """Return the name of the protocol's error code."""
    name = for_code(code).__name__
    return f"error {code}" if name == "UnknownError" else name


class KafkaCluster:
    """Connections to the brokers, and the map of their topics. Belongs to one event loop; connects when first asked."""

    def __init__(
        self,
        dialed: Mapping[Address, Address],
        topics: tuple[str, ...],
        *,
        client_id: str,
        login: Login | None = None,
    ) -> None:
        """`dialed`: a broker's own address, as the cluster names it -> where to dial it. A broker that the cluster
        names and that is not in the map is dialed directly.
        """
        self._login = login
        self._dial_s = REQUEST_S if login is None else SECURED_DIAL_S
        self.map = ClusterMap()
        self._dialed = dict(dialed)
        self._topics = topics
        self._client_id = client_id
        self._lanes: dict[tuple[Address, str], asyncio.Task[AIOKafkaConnection | str]] = {}
        self._unreachable: dict[Address, tuple[float, str]] = {}
        self._asking: dict[Address, asyncio.Task[bool]] = {}
        self._renewed = 0.0
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        tasks = [*self._asking.values(), *self._lanes.values()]
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, AIOKafkaConnection):
                found.close()
        self._lanes.clear()

    async def ask(self, address: Address, request: Any, *, lane: str, timeout_s: float = REQUEST_S) -> Any:
        """Return one broker's answer. Raises Unreachable; a request that was sent may have had its effect.

        If the caller is cancelled, the answer is discarded when it comes.
        """
        connection = await self._connected(address, lane)
        try:
            async with patience(timeout_s):
                return await connection.send(request)
        except TimeoutError:
            if timeout_s >= REQUEST_S:
                connection.close()
            raise Unreachable(f"no answer from {_at(address)} in {timeout_s:.1f} s") from None
        except (KafkaError, NotImplementedError) as error:  # the latter: no version of the request is known to both
            raise Unreachable(f"{_at(address)}: {error}") from None

    async def ask_leader(self, place: Place, request: Any, *, lane: str, within_s: float) -> Part:
        """Return the leader's answer about the partition. Raises as `at_leader` does."""

        async def ask(address: Address, timeout_s: float) -> Part:
            answer = await self.ask(address, request, lane=lane, timeout_s=timeout_s)
            if not answer.topics:
                raise Unreachable(f"{_at(address)}: an empty answer")
            part: Part = answer.topics[0][1][0]
            return part

        return await self.at_leader(place, ask, within_s=within_s)

    async def at_leader(
        self, place: Place, ask: Callable[[Address, float], Awaitable[Part]], *, within_s: float
    ) -> Part:
        """Return the answer of `ask`(where to dial the leader, time limit) once it has no error.

        While the cluster is changing it asks again, each time the present leader. Raises Refused, or Unavailable if the
        cluster has not settled `within_s`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while True:
            left_s = until - loop.time()
            try:
                address = self._leader(place)
                part = await ask(address, min(REQUEST_S, max(RETRY_S, left_s)))
                code = part[1]
                if not code:
                    return part
                if code not in _TRANSIENT:
                    raise Refused(f"kafka {place}: {error_name(code)}", code)
                trouble = f"{_at(address)}: {error_name(code)}"
            except Unreachable as error:
                trouble = str(error)
            left_s = until - loop.time()
            if left_s <= 0 or self._closed:
                raise Unavailable(f"kafka {place}: not within {within_s:.1f} s ({trouble})")
            await self.renew(timeout_s=left_s)
            await asyncio.sleep(min(RETRY_S, left_s))

    async def renew(self, *, timeout_s: float) -> None:
        """Ask all brokers for the map and wait for the first answer; later answers are learned when they come."""
        loop = asyncio.get_running_loop()
        self._renewed = loop.time()
        until = self._renewed + timeout_s
        waiting = self._ask_all()
        while waiting and (left_s := until - loop.time()) > 0:
            done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if any(not task.cancelled() and task.result() for task in done):
                return

    def keep_fresh(self) -> None:
        """Start to renew the map if it has become old. Never waits."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed >= RENEW_S:
            self._renewed = now
            self._ask_all()

    def brokers(self) -> list[Address]:
        """Return where to dial the known brokers."""
        known = [*self._dialed.values(), *(self._dialed.get(own, own) for own in self.map.brokers.values())]
        return list(dict.fromkeys(known))

    def trouble(self) -> str:
        """Return why the last connections failed."""
        told = dict.fromkeys(told for _, told in self._unreachable.values())
        if not told:
            return "the brokers answer, but not in time" if self.map.brokers else "no broker has answered yet"
        return "; ".join(told)

    def _leader(self, place: Place) -> Address:
        own = self.map.leader(place)
        if own is None:
            raise Unreachable(f"no leader known; {self.trouble()}")
        return self._dialed.get(own, own)

    def _ask_all(self) -> set[asyncio.Task[bool]]:
        """Start one question to each broker that has none in progress."""
        for address in self.brokers():
            if address not in self._asking or self._asking[address].done():
                self._asking[address] = asyncio.create_task(self._learn_from(address), name="kafka map")
        return set(self._asking.values())

    async def _learn_from(self, address: Address) -> bool:
        try:
            self.map.learn(await self.ask(address, AskMap(self._topics), lane=META))
        except Unreachable:
            return False
        return True

    async def _connected(self, address: Address, lane: str) -> AIOKafkaConnection:
        task = self._lanes.get((address, lane))
        if task is None or (task.done() and not _lives(task)):
            if self._closed:
                raise Unreachable("closed")
            since, told = self._unreachable.get(address, (-REDIAL_S, ""))
            if asyncio.get_running_loop().time() - since < REDIAL_S:
                raise Unreachable(told)
            task = asyncio.create_task(self._dial(address), name=f"kafka {lane} {_at(address)}")
            self._lanes[address, lane] = task
        found = await asyncio.shield(task)
        if isinstance(found, str):
            raise Unreachable(found)
        return found

    async def _dial(self, address: Address) -> AIOKafkaConnection | str:
        """Return a connection with agreed versions, or the reason why there is none."""
        try:
            async with patience(self._dial_s):
                connection = await create_conn(
                    *address,
                    client_id=self._client_id,
                    request_timeout_ms=_NEVER_MS,
                    **_secured(self._login, address),
                )
        except TimeoutError:
            told = f"{_at(address)}: no connection in {self._dial_s} s"
        except (OSError, KafkaError, ValueError) as error:  # ValueError: a broker that cannot prove that it knows us
            told = f"{_at(address)}: {error}"
        else:
            self._unreachable.pop(address, None)
            return connection
        if address not in self._unreachable:
            log.warning("not connected: %s", told)
        self._unreachable[address] = (asyncio.get_running_loop().time(), told)
        return told


def _lives(task: asyncio.Task[AIOKafkaConnection | str]) -> bool:
    if task.cancelled():
        return False
    found = task.result()
    return not isinstance(found, str) and found.connected()


def _secured(login: Login | None, address: Address) -> dict[str, Any]:
    """Return aiokafka's options for a login and TLS."""
    if login is None:
        return {}
    options: dict[str, Any] = {}
    if login.tls is not None:
        options["ssl_context"] = login.tls.context(address)
    if login.password:
        options |= {
            "sasl_mechanism": login.mechanism,
            "sasl_plain_username": login.user,
            "sasl_plain_password": login.password,
        }
    kind = ("SASL_" if login.password else "") + ("SSL" if login.tls is not None else "PLAINTEXT")
    return options | {"security_protocol": kind}


def _at(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
