"""What tests of any backend need: real servers under a supervisor, a way to them that can break, adapters closed."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from sut.deploy.place import Place
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Service, Settings, Topology
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

Address = tuple[str, int]
T = TypeVar("T", bound="Closed")


class Closed(Protocol):
    """Whatever has connections or files."""

    async def close(self) -> None: ...


@contextlib.asynccontextmanager
async def opened(make: Callable[..., T], *arguments: Any, **options: Any) -> AsyncIterator[T]:
    """What `make` returns, made at the start of the block and closed at its end."""
    made = make(*arguments, **options)
    try:
        yield made
    finally:
        await made.close()


class Cluster:
    """Nodes of one kind of server, each on a loopback address of its own, from __enter__ to __exit__."""

    START_S: float
    HEAL_S: float
    PROBE_S: float

    def __init__(
        self,
        kind: str,
        directory: Path,
        services: Callable[[str, int, Place], tuple[Service, ...]],
        jars: Path | None,
        *,
        first: int,
        count: int = 3,
        redis_server: Path = Path("none"),
        redis_key: str = "",
    ) -> None:
        """`jars`: the server's. The nodes get the numbers `first` and those after it."""
        self._stack = contextlib.ExitStack()
        self._reservation = self._stack.enter_context(Reservation())
        place = Place(
            directory=directory,
            redis_server=redis_server,
            toxiproxy=None,
            port=self._reservation.port,
            settings=Settings(),
            variant=None,
            subnet=f"127.{random.randint(1, 250)}.{random.randint(1, 250)}",
            **({f"{kind}_jars": jars} if jars is not None else {}),
        )
        self._topology = Topology(
            run_id=os.urandom(8).hex(), profile=kind, dir=str(directory), token_key="", api_key="",
            services=services(kind, count, place), redis_key=redis_key,
        )  # fmt: skip
        self.names = {service.index + first: service.name for service in self._topology.services}

    def __enter__(self) -> Self:
        with self._stack:
            self.system = boot(self._topology, self._reservation, on_progress=print, timeout_s=scaled(self.START_S))
            self._stack.callback(self.system.stop)
            self._started()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _started(self) -> None:
        """What a test wants to be there from the start."""

    def pause(self, *nodes: int) -> None:
        """SIGSTOP."""
        for node in nodes:
            os.kill(self._pid(node), signal.SIGSTOP)

    def resume(self, *nodes: int) -> None:
        """SIGCONT."""
        for node in nodes:
            os.kill(self._pid(node), signal.SIGCONT)

    def kill(self, *nodes: int) -> None:
        """SIGKILL; they stay away until `heal`."""
        for node in nodes:
            self.system.hold(self.names[node])
        for node in nodes:
            os.kill(self._pid(node), signal.SIGKILL)
        wait_until(lambda: all(self.system.pid(self.names[node]) is None for node in nodes), timeout_s=10.0)

    def heal(self) -> None:
        """All nodes as at the start, and healthy."""
        for node, name in self.names.items():
            self.system.release(name)
            if self.system.pid(name) is not None:
                self.resume(node)
        wait_until(lambda: not self.system.problems(scaled(self.PROBE_S)), timeout_s=self.HEAL_S)

    def _pid(self, node: int) -> int:
        pid = self.system.pid(self.names[node])
        assert pid is not None, f"{self.names[node]} is not running"
        return pid


class Way:
    """A way to a server, each direction of which can be made to hold everything back, as a broken network does."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._held: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address: Address = ("", 0)
        self.restore()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, *, requests: bool = True, answers: bool = True) -> None:
        """From now on these do not arrive, on open and new connections alike."""
        for held, gate in ((requests, self._there), (answers, self._back)):
            if held:
                gate.clear()

    def pass_new(self) -> None:
        """Connections from now on are as they should be; what the others hold back stays there."""
        self._held += (self._there, self._back)
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()

    def restore(self) -> None:
        """What was held back arrives now, where somebody still listens."""
        for gate in (*self._held, self._there, self._back):
            gate.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            for pump in (self._pump(reader, far_writer, self._there), self._pump(far_reader, writer, self._back)):
                task = asyncio.create_task(pump)
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 20):
                    await gate.wait()
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()
