"""Images for a machine that reaches no registry: `python -m sut.deploy.docker.standins` (as root, on Debian 12).

Makes stand-ins under the names of the official base images, each from packages of this machine's distribution or from
its own files, and builds our image on them. A stand-in has the programs of the official image at the same paths, and
the label STAND_IN; a system says which of its images are stand-ins. An image that is there already is left alone.

The packages are unpacked, not installed: no maintainer script runs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from sut.deploy.docker import images
from sut.deploy.docker.engine import Engine, failing
from sut.deploy.errors import EXIT_CANNOT, DeployError
from sut.deploy.servers import binaries

_BASE: Final = ("base-files", "base-passwd", "dash", "coreutils", "findutils", "libc-bin")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT_S: Final = 300.0


class StandIn(NamedTuple):
    """What a stand-in is made of."""

    image: str
    packages: tuple[str, ...] = ()
    finish: Callable[[Path], None] = lambda _root: None
    """Adds what the packages do not bring."""


def _python(root: Path) -> None:
    """Give Python the paths of the official image."""
    for name in ("python", "python3", "python3.11"):
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")


def _toxiproxy(root: Path) -> None:
    """Take this user's toxiproxy-server, which may need the C library. Raises DeployError without one."""
    found = binaries.find_toxiproxy(on_progress=say)
    if found.path is None:
        raise DeployError(found.reason)
    server = root / images.TOXIPROXY_SERVER.relative_to("/")
    server.write_bytes(found.path.read_bytes())
    server.chmod(0o755)


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


STAND_INS: Final = (
    StandIn(images.BASE, (*_BASE, "python3.11", "python3.11-venv", "libstdc++6", "ca-certificates"), _python),
    StandIn(images.REDIS, (*_BASE, "redis-server")),
    StandIn(images.TOXIPROXY, _BASE, _toxiproxy),
)


def make(engine: Engine, one: StandIn) -> None:
    """Make a stand-in. Raises DeployError."""
    with tempfile.TemporaryDirectory(prefix="petrel-image-") as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        if one.packages:
            _unpack(Path(scratch), root, one.packages)
        one.finish(root)
        packed = Path(scratch) / "root.tar"
        _run("tar", "-C", str(root), "--owner=0", "--group=0", "--numeric-owner", "-cf", str(packed), ".")
        repository, _, tag = one.image.rpartition(":")
        with failing(f"cannot import {one.image}"):
            engine.client.api.import_image_from_file(
                str(packed), repository=repository, tag=tag, changes=[f"LABEL {images.STAND_IN}=1", f"ENV PATH={_PATH}"]
            )


def _unpack(scratch: Path, root: Path, packages: Iterable[str]) -> None:
    """Unpack packages and all that they depend on."""
    for part in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / part).mkdir(parents=True)
        (root / part).symlink_to(f"usr/{part}")
    (root / "usr/local/bin").mkdir(parents=True)
    archives, status = scratch / "archives", scratch / "status"
    (archives / "partial").mkdir(parents=True)
    status.touch()
    _run(
        "apt-get", "-y", "-q", "--download-only", "--no-install-recommends",
        "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1",
        "-o", "APT::Sandbox::User=root",
        "install", *packages,
    )  # fmt: skip
    for package in sorted(archives.glob("*.deb")):
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=False)
        _run("tar", "-C", str(root), "--keep-directory-symlink", "-xf", "-", text=unpacked.stdout)
    for part in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
        _run("rm", "-rf", str(root / part))
    for name in ("passwd", "group"):
        master = root / "usr/share/base-passwd" / f"{name}.master"
        (root / "etc" / name).write_bytes(master.read_bytes())
    _run("ldconfig", "-r", str(root))


def wheels(directory: Path) -> None:
    """Fetch the packages of our image into a directory, each as in the lock. Raises DeployError."""
    requirements = Path(images.__file__).with_name("requirements.txt")
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
        "--require-hashes", "-r", str(requirements), "-d", str(directory),
    )  # fmt: skip


def _run(*command: str, text: bytes | None = None) -> None:
    try:
        ended = subprocess.run(command, input=text, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{command[0]}: {error}") from None
    if ended.returncode:
        said = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
        raise DeployError(f"{command[0]}: {said[-1] if said else f'exit {ended.returncode}'}")


def main() -> int:
    """Make what is missing. Returns the exit status."""
    try:
        engine = Engine.connect()
        for one in STAND_INS:
            if images.has(engine, one.image):
                say(f"{one.image} is there")
            else:
                make(engine, one)
                say(f"{one.image} is a stand-in now")
        if not images.has(engine, images.tag()):
            found = binaries.cache_dir() / "wheels"
            wheels(found)
            images.build(engine, found)
        say(f"{images.tag()} is there")
    except DeployError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(main())
