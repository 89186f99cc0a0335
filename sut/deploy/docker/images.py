"""The images of a contained system: their names, how ours is built, and which are stand-ins.

Ours is built from the Dockerfile beside this file and from the modules of this installation. Its tag is a hash of both,
so a change of the code is another image. The others are official images by tag. An image that is there already is
taken, whoever made it; a missing one is pulled. One with the label STAND_IN was made by standins.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docker.errors import BuildError, ImageNotFound

from sut.deploy.docker.engine import Engine, failing
from sut.deploy.errors import DeployError
from sut.deploy.servers.binaries import Progress
from sut.deploy.topology import ServiceKind

BASE: Final = "python:3.11-slim-bookworm"
REDIS: Final = "redis:7.4-bookworm"
TOXIPROXY: Final = "ghcr.io/shopify/toxiproxy:2.12.0"
OFFICIAL: Final[Mapping[ServiceKind, str]] = {"redis": REDIS, "sentinel": REDIS, "toxiproxy": TOXIPROXY}
"""The image of each kind of foreign server. By tag: no digest was known where this was written."""
TOXIPROXY_SERVER: Final = Path("/toxiproxy")
"""The program in its image."""
STAND_IN: Final = "org.stormpetrel.stand-in"
REPOSITORY: Final = "stormpetrel"
LOCAL_COMMAND: Final = "python -m sut.deploy.docker.standins"
_ROOT: Final = Path(__file__).resolve().parents[3]
_WHEELS: Final = "build/wheels"
_DOCKERFILE: Final = "sut/deploy/docker/Dockerfile"
_HERE: Final = ("sut", "deploy", "docker")
_FROM_HERE: Final = ("Dockerfile", "requirements.txt", "alive.py")
"""The files of this directory that are for the image; the others make and use it."""
_LEFT_OUT: Final = ("client",)
"""The part of sut that runs at a person's, not in the system."""


def present(engine: Engine, kinds: set[ServiceKind], on_progress: Progress) -> dict[ServiceKind, str]:
    """Return the image of each foreign kind, and ours under ""; all are there. Raises DeployError."""
    names = {kind: OFFICIAL[kind] for kind in OFFICIAL if kind in kinds}
    for name in sorted(set(names.values())):
        if not has(engine, name):
            on_progress(f"pulling {name}")
            with _or_made_here(), failing(f"cannot pull {name}"):
                engine.client.images.pull(name)
    ours = tag()
    if not has(engine, ours):
        on_progress(f"building {ours}, a minute or two, once for each version of the code")
        with _or_made_here():
            build(engine)
    return {"": ours, **names}


def stand_ins(engine: Engine, names: Mapping[ServiceKind, str]) -> list[str]:
    """Return those of the images that are, or are built on, stand-ins of this machine's making."""
    with failing("cannot look at images"):
        return sorted(name for name in set(names.values()) if STAND_IN in (engine.client.images.get(name).labels or {}))


def has(engine: Engine, name: str) -> bool:
    """Return True if the engine has the image."""
    with failing(f"cannot look at {name}"):
        try:
            engine.client.images.get(name)
        except ImageNotFound:
            return False
    return True


def tag() -> str:
    """Return the name of our image for this code."""
    digest = hashlib.sha256()
    for name, path in _sources():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def build(engine: Engine, wheels: Path | None = None) -> str:
    """Build our image and return its name. `wheels`: a directory to install from, instead of a package index.

    Raises DeployError.
    """
    name = tag()
    arguments = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tmp/wheels"} if wheels else {}  # noqa: S108
    with failing(f"cannot build {name}"):
        try:
            engine.client.images.build(
                fileobj=_context(wheels), custom_context=True, dockerfile=_DOCKERFILE, tag=name, target="service",
                buildargs=arguments, rm=True, forcerm=True,
            )  # fmt: skip
        except BuildError as error:
            said = [line.get("stream", "").strip() for line in error.build_log if isinstance(line, dict)]
            last = next((line for line in reversed(said) if line and not line.startswith("Removing")), "")
            raise DeployError(f"cannot build {name}: {last or error.msg}") from None
    return name


def _context(wheels: Path | None) -> io.BytesIO:
    """Return the context of the build as a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, path in _sources():
            tar.add(path, name, recursive=False)
        for wheel in sorted(wheels.iterdir()) if wheels else ():
            tar.add(wheel, f"{_WHEELS}/{wheel.name}", recursive=False)
    packed.seek(0)
    return packed


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield the files of the context by their names in it. Raises DeployError without the sources of this code."""
    if not (_ROOT / _DOCKERFILE).is_file():
        raise DeployError(f"this installation has no {_DOCKERFILE}: profile docker needs one with its package data")
    for path in sorted((_ROOT / "sut").rglob("*")):
        parts = path.relative_to(_ROOT).parts
        ours = parts[:3] != _HERE or path.name in _FROM_HERE
        if path.is_file() and "__pycache__" not in parts and parts[1] not in _LEFT_OUT and ours:
            yield "/".join(parts), path


@contextlib.contextmanager
def _or_made_here() -> Iterator[None]:
    """Add to a DeployError what to do where no registry can be reached."""
    try:
        yield
    except DeployError as error:
        raise DeployError(f"{error}; without a registry, as root: {LOCAL_COMMAND}") from None
