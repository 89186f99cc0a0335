"""The system of one run: the target's server, its helpers and a proxy on the way of the devices, all supervised."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import secrets
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from chaos.errors import HarnessError, UsageError, no_such
from chaos.targets import systems
from chaos.targets.target import HOST, NotHere, Place, Target
from sut.deploy import system as deploy
from sut.deploy.errors import DeployError
from sut.deploy.kinds import KINDS
from sut.deploy.machine import place_on_this_machine
from sut.deploy.profiles import PROFILES
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import System
from sut.deploy.topology import Link, Service, Settings, Topology

SERVER: Final = "server"
DEVICES: Final = "devices"


def adapter(name: str, beside: Path) -> type[Target]:
    """Return the adapter that ships under this name, or the one in a file. Raises UsageError.

    `beside`: the directory of the experiment, from which a relative path is taken.
    """
    if not name.endswith(".py"):
        if name not in systems.NAMES:
            raise UsageError(f"{no_such('adapter', name, systems.NAMES)}, or give the path of a Python file")
        return _only_target(importlib.import_module(f"{systems.__name__}.{name}"), name)
    path = beside / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 (another person's file)
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from None
    return _only_target(module, str(path))


def _only_target(module: ModuleType, name: str) -> type[Target]:
    classes = [thing for thing in vars(module).values() if inspect.isclass(thing) and issubclass(thing, Target)]
    found = [one for one in classes if one.__module__ == module.__name__]
    if len(found) != 1:
        raise UsageError(f"{name}: an adapter file has one subclass of Target; this one has {len(found)}")
    if missing := sorted(found[0].__abstractmethods__):
        raise UsageError(f"{name}: {found[0].__name__} does not define {', '.join(missing)}")
    return found[0]


def start(
    target: type[Target], directory: Path, *, label: str, on_progress: Callable[[str], None]
) -> tuple[System, Place]:
    """Start the target's server and what belongs to it. Raises HarnessError; then nothing of it is left.

    Raises UsageError if this machine lacks the server: the text says what to install.
    """
    directory = directory.absolute()
    try:
        if target.profile:
            settings = Settings(push=False, receipts=False, heartbeat_s=10.0)
            system = deploy.start(
                profile=target.profile, directory=directory, settings=settings, on_progress=on_progress
            )
            port = system.topology.of_kind("api")[0].ports["http"]
            return system, Place(directory=directory, listen=port, port=port)
        with Reservation() as reservation:
            place, topology = _built(target, directory, reservation, label=label, on_progress=on_progress)
            return deploy.boot(topology, reservation, on_progress=on_progress, timeout_s=target.start_s), place
    except NotHere as error:
        raise UsageError(str(error)) from None
    except (DeployError, OSError) as error:
        raise HarnessError(str(error)) from None


def _built(
    target: type[Target], directory: Path, reservation: Reservation, *, label: str, on_progress: Callable[[str], None]
) -> tuple[Place, Topology]:
    """Return the place and the topology: the server, its helpers, and a proxy where there is a Toxiproxy."""
    settings = Settings(push=False)
    own = directory / "data" / SERVER
    own.mkdir(parents=True, exist_ok=True)
    here = place_on_this_machine(
        PROFILES["embedded"], directory=directory, port=reservation.port, settings=settings, variant=None,
        on_progress=on_progress,
    )  # fmt: skip
    helpers = [one for kind in target.helpers for one in KINDS[kind].own("services")(kind, 1, here)]
    proxies = KINDS["toxiproxy"].own("services")("toxiproxy", 1, here)
    listen, dial = here.port(), here.port()
    place = Place(
        directory=own, listen=listen, port=dial if proxies else listen,
        helpers={one.kind: next(iter(one.ports.values())) for one in helpers},
    )  # fmt: skip
    server = Service(name=SERVER, kind="other", host=HOST, ports={"http": listen}, command=tuple(target.command(place)))
    link = Link(source=DEVICES, target=SERVER, port="http", listen=dial)
    topology = Topology(
        run_id=secrets.token_hex(8), profile=label, dir=str(directory), services=(*helpers, *proxies, server),
        links=(link,) if proxies else (), settings=settings, token_key=secrets.token_hex(32),
        api_key=secrets.token_hex(16),
    )  # fmt: skip
    return place, topology
