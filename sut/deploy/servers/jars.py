"""Kafka and Cassandra as what they are made of: directories of jars, fetched once a user and pinned one by one.

locks/SERVER/pom.xml beside this file names the version, locks/SERVER/sha256.txt (as sha256sum writes it) each of its
jars.
Maven fetches into a directory of its own beside the target; only what equals the lock is moved in place, in one
step. Several processes may do so at once: the first wins, and theirs is as good as ours. Which registry is asked is
Maven's business (its settings.xml): whatever answers, the lock decides.

`python -m sut.deploy.servers.jars` writes the locks anew from the poms (`make lock-servers`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, get_args

from sut.deploy.servers.binaries import FoundServer, Progress, cache_dir
from sut.deploy.servers.java import LAST_WITH_SECURITY_MANAGER, MIN_JAVA, find_java

Server = Literal["kafka", "cassandra"]
SERVERS: Final[tuple[Server, ...]] = get_args(Server)

LOCKS: Final = Path(__file__).with_name("locks")
MVN_COMMAND: Final = "apt-get install maven, or your system's package of Maven 3"
FETCH_TIMEOUT_S: Final = 300.0
"""Kafka takes 7 s and Cassandra 8 s on a good line; 44 and 66 MB, and 20 MB of Maven's own parts each."""
PROGRESS_EVERY_S: Final = 2.0
_LOOK_S: Final = 0.05
_LOCK_LINE: Final = re.compile(r"([0-9a-f]{64})  ([\w.+-]+\.jar)")

Lock = Mapping[str, str]
"""The sha256 of each jar, by name."""


class JarError(Exception):
    """Jars cannot be fetched or differ from the lock; the text is one line."""


def find(server: Server, *, on_progress: Progress, install: bool = True) -> FoundServer:
    """Return the directory with all jars of the server, each as in the lock. With `install`, fetches them if missing.

    Takes about 0.1 s when they are there, and at most FETCH_TIMEOUT_S.
    """
    try:
        java = find_java()
        if java.path is None:
            return FoundServer(None, java.reason)
        if server == "cassandra" and java.version > LAST_WITH_SECURITY_MANAGER:
            needed = f"Cassandra 5.0 needs {MIN_JAVA} to {LAST_WITH_SECURITY_MANAGER}"
            return FoundServer(None, f"{java.path} is Java {java.version}: {needed}")
        lock = read_lock(server)
        target = directory(server, lock)
        wrong = difference(target, lock) if target.is_dir() else "not fetched yet"
        if wrong is None:
            return FoundServer(target)
        if (mvn := shutil.which("mvn")) is None:
            return FoundServer(None, f"{server}: {wrong}, and no mvn on PATH to fetch it: {MVN_COMMAND}")
        if not install:
            return FoundServer(None, f"{wrong}: mvn fetches {len(lock)} jars at the first start", can_build=True)
        if target.is_dir():
            on_progress(f"{server}: {wrong}; fetching it again")
        _install(server, mvn, lock, target, on_progress)
    except (JarError, OSError) as error:
        return FoundServer(None, f"{server}: {error}")
    return FoundServer(target)


def find_all(servers: Sequence[Server], *, on_progress: Progress) -> dict[Server, FoundServer]:
    """Run `find` for all servers at once. on_progress is called in the caller's thread only."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        found = {server: pool.submit(find, server, on_progress=lines.put) for server in servers}
        while not all(future.done() for future in found.values()) or not lines.empty():
            with contextlib.suppress(queue.Empty):
                on_progress(lines.get(timeout=_LOOK_S))
    return {server: future.result() for server, future in found.items()}


def directory(server: Server, lock: Lock) -> Path:
    """Return the directory for the jars of this lock; each lock has its own."""
    text = "".join(f"{digest} {name}\n" for name, digest in sorted(lock.items()))
    return cache_dir() / "jars" / f"{server}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def read_lock(server: Server) -> Lock:
    """Return the jars that make up the server. Raises JarError."""
    path = LOCKS / server / "sha256.txt"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise JarError(f"{path}: {error.strerror}") from None
    lock = {}
    for number, line in enumerate(lines, 1):
        if (match := _LOCK_LINE.fullmatch(line)) is None:
            raise JarError(f"{path}, line {number}: not `SHA256  NAME.jar`")
        lock[match[2]] = match[1]
    if not lock:
        raise JarError(f"{path} names no jar")
    return lock


def difference(jars: Path, lock: Lock) -> str | None:
    """Return None if the directory holds exactly the jars of the lock, else the first difference. Raises OSError."""
    there = {path.name for path in jars.iterdir()}
    if missing := sorted(lock.keys() - there):
        return f"{missing[0]} is missing"
    if extra := sorted(there - lock.keys()):
        return f"{extra[0]} is not in the lock"
    for name in sorted(lock):
        if _sha256(jars / name) != lock[name]:
            return f"{name} differs from the lock"
    return None


def write_lock(server: Server, *, on_progress: Progress) -> int:
    """Resolve the pom again, write the lock and return its number of jars. Raises JarError, OSError."""
    if (mvn := shutil.which("mvn")) is None:
        raise JarError(f"no mvn on PATH: {MVN_COMMAND}")
    with tempfile.TemporaryDirectory(prefix=f"lock-{server}-") as scratch:
        jars = _fetch(server, mvn, Path(scratch), expected=(), on_progress=on_progress)
        lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(jars.iterdir())]
    (LOCKS / server / "sha256.txt").write_text("".join(lines))
    return len(lines)


def _install(server: Server, mvn: str, lock: Lock, target: Path, on_progress: Progress) -> None:
    """Fetch the jars, compare them and move them in place. Raises JarError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(f"fetch-{server}-*"):
        with contextlib.suppress(OSError):
            if time.time() - abandoned.stat().st_mtime > 2 * FETCH_TIMEOUT_S:
                shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"fetch-{server}-", dir=target.parent) as scratch:
        jars = _fetch(server, mvn, Path(scratch), expected=tuple(lock), on_progress=on_progress)
        if (wrong := difference(jars, lock)) is not None:
            raise JarError(f"what mvn fetched is refused: {wrong}")
        if target.is_dir() and difference(target, lock) is not None:
            target.rename(Path(scratch) / "refused")
        try:
            jars.rename(target)
        except OSError as error:
            # A directory that is not empty is never replaced: another process was faster, or we may not write there.
            if not target.is_dir() or difference(target, lock) is not None:
                raise JarError(f"cannot be put in {target}: {error.strerror}") from None
    on_progress(f"{server}: {len(lock)} jars fetched and checked")


def _fetch(server: Server, mvn: str, scratch: Path, *, expected: tuple[str, ...], on_progress: Progress) -> Path:
    """Let Maven put the jars in a directory of `scratch`, unchecked. Raises JarError, OSError.

    Its local repository is in `scratch` too: Maven does not promise that two instances may share one.
    """
    shutil.copyfile(LOCKS / server / "pom.xml", scratch / "pom.xml")
    on_progress(f"{server}: fetching it with mvn, only this once")
    begun_s = time.monotonic()
    with (scratch / "mvn.log").open("w+") as log:
        process = subprocess.Popen(
            [
                mvn, "--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never",
                f"-Dmaven.repo.local={scratch / 'repository'}", "-DincludeScope=runtime",
                f"-DoutputDirectory={scratch / 'jars'}", "dependency:copy-dependencies",
            ],
            cwd=scratch, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            told_s = begun_s
            while process.poll() is None:
                now_s = time.monotonic()
                if now_s - begun_s > FETCH_TIMEOUT_S:
                    raise JarError(f"mvn took more than {FETCH_TIMEOUT_S:.0f} s")
                if expected and now_s - told_s >= PROGRESS_EVERY_S:
                    told_s = now_s
                    on_progress(f"{server}: {_count(scratch, expected)} of {len(expected)} jars")
                time.sleep(_LOOK_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode != 0:
            log.seek(0)
            raise JarError(f"mvn failed: {_first_error(log.read())}")
    return scratch / "jars"


def _count(scratch: Path, expected: tuple[str, ...]) -> int:
    """Return how many of the jars Maven's local repository has so far. It also contains Maven's own parts."""
    return len({path.name for path in scratch.glob("repository/**/*.jar")}.intersection(expected))


def _first_error(output: str) -> str:
    """Return the first line of Maven's output, without its tag."""
    lines = [line.removeprefix("[ERROR] ").strip() for line in output.splitlines() if line.strip()]
    return lines[0] if lines else "it gave no reason"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    for each in SERVERS:
        print(f"{each}: {write_lock(each, on_progress=print)} jars locked")  # noqa: T201
