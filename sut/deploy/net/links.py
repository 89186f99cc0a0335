"""The links between processes, broken and restored through Toxiproxy. The only module that imports its client library.

toxiproxy-python keeps the server's address in a class that all its objects share, and has no time-outs. It obeys HTTP
proxies from the environment and takes a 500 for success. So each Links has its own consumer class, made from the
library's, and calls it with a deadline and a check.

The proxies themselves come from the file that toxiproxy-server reads when it starts (servers/toxiproxy.py): a
restarted one has all of them again, and no toxics.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from sut.deploy.errors import LinkError
from sut.deploy.topology import Topology

TIMEOUT_S: Final = 2.0
Stream = Literal["upstream", "downstream"]
STREAMS: Final[tuple[Stream, ...]] = ("upstream", "downstream")


class Toxic(msgspec.Struct, frozen=True, kw_only=True):
    """One toxic as the server reports it."""

    name: str
    type: str
    stream: str
    toxicity: float = 1.0
    attributes: dict[str, int] = {}


class _SeenProxy(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    enabled: bool
    toxics: list[Toxic]


RESTORE_TRIES: Final = 4
ALWAYS: Final = "always_"
"""Begin of the name of a toxic that belongs to the link: no fault, so never reported and never removed."""
_CLOSE_MS: Final = 1
"""The shortest `timeout` that closes; 0 would never."""
_HOLD_MS: Final = 3_600_000
_ENDING_S: Final = 0.4
"""Time in which the server drops the connections of which one end has gone while nothing was carried."""


class Links:
    """The links of one topology. Blocking; every call takes at most a few seconds. Usable from several threads."""

    def __init__(self, topology: Topology, *, timeout_s: float = TIMEOUT_S) -> None:
        self._topology = topology
        self._timeout_s = timeout_s
        servers = topology.of_kind("toxiproxy")
        self._server = servers[0] if servers else None
        address = {"host": servers[0].host, "port": servers[0].ports["api"]} if servers else {}
        self._consumer: Any = type("Consumer", (APIConsumer,), address)

    def available(self) -> str | None:
        """Return None when links can be broken here, else why not."""
        if self._server is None:
            return "this system has no toxiproxy, so its links cannot be broken"
        try:
            missing = self.missing()
        except LinkError as error:
            return str(error)
        return f"toxiproxy has no proxy for {', '.join(missing)}" if missing else None

    def missing(self) -> list[str]:
        """Return the links that the server does not carry now. Raises LinkError."""
        seen = msgspec.json.decode(self._call("get", "/proxies"), type=dict[str, _SeenProxy])
        return [link.name for link in self._topology.links if link.name not in seen or not seen[link.name].enabled]

    def limit(self) -> None:
        """Give every link its own rate (Link.kb_per_s). A restarted server has none. Raises LinkError."""
        for link in self._topology.links:
            for stream in STREAMS if link.kb_per_s else ():
                self._add(link.name, "bandwidth", stream, {"rate": link.kb_per_s}, begin=ALWAYS)

    def blackhole(self, link_name: str, streams: Sequence[Stream] = STREAMS) -> None:
        """Partition: swallow all bytes of these directions. Connections stay open, new ones open and stay silent.

        "upstream" is towards the target. Raises LinkError; then no toxic of it is left, as far as the server answers.
        May be repeated.
        """
        with self._all_or_none(link_name):
            for stream in streams:
                self._add(link_name, "timeout", stream, {"timeout": 0})

    def latency(self, link_name: str, *, latency_ms: int, jitter_ms: int = 0) -> None:
        """Delay every chunk by latency_ms, plus or minus up to jitter_ms, in each direction. Raises LinkError."""
        self._add_both(link_name, "latency", {"latency": latency_ms, "jitter": jitter_ms})

    def bandwidth(self, link_name: str, *, kb_per_s: int) -> None:
        """Pass kb_per_s in each direction; 0: nothing, and after restore all of it, late. Raises LinkError."""
        self._add_both(link_name, "bandwidth", {"rate": kb_per_s})

    def reset(self, link_name: str) -> None:
        """End every connection, old or new, at its first byte; new ones by a reset. Raises LinkError."""
        self._add_both(link_name, "reset_peer", {"timeout": 0})

    def half_close(self, link_name: str) -> None:
        """End every connection, old or new, towards the link's target only; its source is not told. Raises LinkError.

        On `restore` the source is told too.
        """
        with self._all_or_none(link_name):
            self._add(link_name, "slow_close", "downstream", {"delay": _HOLD_MS})
            self._add(link_name, "timeout", "upstream", {"timeout": _CLOSE_MS})

    def slicer(self, link_name: str, *, size: int, delay_us: int) -> None:
        """Cut the stream into pieces of about `size` bytes (half of it more or less), each delayed by `delay_us`.

        Raises LinkError.
        """
        attributes = {"average_size": size, "size_variation": size // 2, "delay": delay_us}
        self._add_both(link_name, "slicer", attributes)

    def restore(self, link_name: str) -> None:
        """Remove all toxics. Harmless when there are none. Raises LinkError.

        The server closes connections whose bytes a black hole swallowed: their streams have holes. It answers only when
        every connection has released the toxic, which can take long for one that holds much data. So it is asked up to
        RESTORE_TRIES times.
        """
        for left in reversed(range(RESTORE_TRIES)):
            try:
                self._take_off(link_name)
            except LinkError:
                if not left:
                    raise
            else:
                return

    def _take_off(self, link_name: str) -> None:
        """Remove all toxics, those with a bandwidth of 0 in two steps.

        The server waits 5 s for each piece that a connection holds back and can no longer deliver. Nobody can connect
        meanwhile. So such toxics first let everything pass, which ends those connections.
        """
        toxics = self.toxics(link_name)
        stopped = [toxic for toxic in toxics if toxic.type == "bandwidth" and not toxic.attributes.get("rate")]
        for toxic in stopped:
            update = {"toxicity": 0.0}  # not another rate: the server panics when it changes under a stalled connection
            with contextlib.suppress(NotFound, LinkError):  # without it the rest takes longer
                self._call("post", f"{self._path(link_name)}/toxics/{quote(toxic.name, safe='')}", json=update)
        if stopped:
            time.sleep(_ENDING_S)
        for toxic in toxics:
            try:
                self._call("delete", f"{self._path(link_name)}/toxics/{quote(toxic.name, safe='')}")
            except NotFound:
                continue

    def toxics(self, link_name: str) -> tuple[Toxic, ...]:
        """Return the toxics that the server has on the link now, beside its own rate. Raises LinkError."""
        try:
            answer = self._call("get", f"{self._path(link_name)}/toxics")
        except NotFound:
            raise LinkError(f"toxiproxy has no proxy for {link_name}") from None
        seen = msgspec.json.decode(answer, type=list[Toxic])
        return tuple(toxic for toxic in seen if not toxic.name.startswith(ALWAYS))

    def _add_both(self, link_name: str, kind: str, attributes: dict[str, int]) -> None:
        with self._all_or_none(link_name):
            for stream in STREAMS:
                self._add(link_name, kind, stream, attributes)

    @contextlib.contextmanager
    def _all_or_none(self, link_name: str) -> Iterator[None]:
        """Remove what was added if not all could be."""
        try:
            yield
        except LinkError:
            with contextlib.suppress(LinkError):  # the first error tells more
                self.restore(link_name)
            raise

    def _add(self, link_name: str, kind: str, stream: str, attributes: dict[str, int], *, begin: str = "") -> None:
        toxic = {"name": f"{begin}{kind}_{stream}", "type": kind, "stream": stream, "attributes": attributes}
        try:
            self._call("post", f"{self._path(link_name)}/toxics", json=toxic)
        except ProxyExists:  # the library's name for 409, also "toxic already exists"
            return
        except NotFound:
            raise LinkError(f"toxiproxy has no proxy for {link_name}") from None

    def _path(self, link_name: str) -> str:
        if not any(link.name == link_name for link in self._topology.links):
            raise LinkError(f"no link {link_name!r} in this system")
        return f"/proxies/{quote(link_name, safe='')}"

    def _call(self, method: Literal["get", "post", "delete"], path: str, **arguments: object) -> bytes:
        """Make one request. Raises LinkError, and the library's NotFound and ProxyExists."""
        if self._server is None:
            raise LinkError("this system has no toxiproxy")
        request: Callable[..., Any] = getattr(self._consumer, method)
        try:
            # An empty proxy for "http" keeps an HTTP_PROXY of the environment out of the loopback.
            response = request(path, timeout=self._timeout_s, proxies={"http": ""}, **arguments)
        except InvalidToxic as error:
            raise LinkError(f"toxiproxy refused: {error}") from None
        except OSError as error:  # requests' errors are OSErrors
            raise LinkError(f"toxiproxy does not answer: {type(error).__name__}") from None
        if response.status_code >= 400:
            raise LinkError(f"toxiproxy answered {response.status_code}: {response.text.strip()}")
        return bytes(response.content)
