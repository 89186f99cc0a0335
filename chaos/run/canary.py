"""The hunt for plaintext: searches every file of a run and every key of its Redis nodes for the run's canary.

It searches for each form that bytes usually take in a log or a store: raw, hexadecimal, and base64 at each of its three
alignments. The canary is letters and digits, so JSON, Python's repr and CQL show it unchanged. The hunt leaves out the
files that hold the canary on purpose (the swarm's configuration) and its own result.
"""

from __future__ import annotations

import base64
import mmap
import secrets
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from chaos.verdict import canary as results
from chaos.verdict.canary import Canary, Place
from sut.adapters.redis.dump import Unavailable, dump
from sut.deploy.topology import Topology

MARK_CHARACTERS: Final = 16
MAX_PLACES: Final = 100
MAX_TRACES: Final = 20
REDIS_TIMEOUT_S: Final = 5.0
LEFT_OUT: Final = ("swarm.json", results.NAME)
_ALPHABET: Final = string.ascii_letters + string.digits


def new_mark() -> str:
    """Return a canary or a tracer: 16 random characters, 95 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(MARK_CHARACTERS))


def forms(mark: bytes) -> dict[bytes, str]:
    """Return the byte strings that reveal a mark, each with the name of its form."""
    found = {mark: "raw", mark.hex().encode(): "hex", mark.hex().upper().encode(): "hex"}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + mark)
        # Characters that also depend on the bytes before or after are left out.
        first = (shift * 8 + 5) // 6
        last = (shift + len(mark)) * 8 // 6
        inner = encoded[first:last]
        found[inner] = "base64"
        found[inner.replace(b"+", b"-").replace(b"/", b"_")] = "base64"
    return found


def search(data: bytes | mmap.mmap, needles: dict[bytes, str], where: str) -> Iterator[Place]:
    """Yield each form that is in the data, with its first offset and its count."""
    for needle, form in needles.items():
        at = first = data.find(needle)
        times = 0
        while at >= 0:
            times += 1
            at = data.find(needle, at + len(needle))
        if times:
            yield Place(where=where, form=form, at=first, times=times)


class Hunt:
    """One search through one run."""

    def __init__(self, directory: Path, *, canary: str, tracer: str) -> None:
        """`tracer` is "" if no body was sent in the clear."""
        self._directory = directory
        self._needles = forms(canary.encode())
        self._tracer = {tracer.encode(): "raw"} if tracer else {}
        self._found: list[Place] = []
        self._traces: list[Place] = []
        self._unsearched: list[str] = []
        self._files = self._bytes = self._keys = 0

    def redis(self, topology: Topology) -> None:
        """Search every key of every data node; the nodes must be running."""
        login = topology.redis_login("operator")
        for service in (*topology.of_kind("redis"), *topology.of_kind("shard")):
            try:
                for key, value in dump((service.host, service.ports["redis"]), REDIS_TIMEOUT_S, login):
                    self._keys += 1
                    self._bytes += len(key) + len(value)
                    self._look(key + b"\0" + value, f"{service.name}, key {key.decode(errors='replace')}")
            except Unavailable as error:
                self._unsearched.append(f"{service.name}: {error}")

    def files(self) -> None:
        """Search every file below the run directory. Call it once no process writes any more."""
        for path in sorted(self._directory.rglob("*")):
            if path.is_file() and not path.is_symlink() and str(path.relative_to(self._directory)) not in LEFT_OUT:
                self._file(path)

    def save(self) -> Canary:
        """Write canary.json and return its contents. Raises OSError."""
        result = Canary(
            found=tuple(self._found[:MAX_PLACES]),
            tracer=tuple(self._traces[:MAX_TRACES]),
            tracer_expected=bool(self._tracer),
            files=self._files,
            bytes=self._bytes,
            keys=self._keys,
            unsearched=tuple(self._unsearched),
        )
        results.save(result, self._directory)
        return result

    def gave_up(self, reason: str) -> None:
        """Record that something was not searched, with the reason."""
        self._unsearched.append(reason)

    def _file(self, path: Path) -> None:
        name = str(path.relative_to(self._directory))
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                if not size:
                    return
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    self._look(data, name)
        except FileNotFoundError:
            return  # a temporary file of a process that still runs
        except (OSError, ValueError) as error:
            self._unsearched.append(f"{name}: {error}")
            return
        self._files += 1
        self._bytes += size

    def _look(self, data: bytes | mmap.mmap, where: str) -> None:
        _extend(self._found, search(data, self._needles, where), MAX_PLACES)
        if len(self._traces) < MAX_TRACES:
            _extend(self._traces, search(data, self._tracer, where), MAX_TRACES)


def _extend(places: list[Place], more: Iterable[Place], limit: int) -> None:
    for place in more:
        if len(places) < limit:
            places.append(place)
