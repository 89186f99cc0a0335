"""The part of the lock that a service needs, as the image installs it: `python -m sut.deploy.docker.locked`.

Reads locks/requirements.txt of a checkout and writes requirements.txt beside this file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

NEEDED: Final = (
    "aiohttp", "aiokafka", "cassandra-driver", "cryptography", "h2", "hiredis", "msgspec", "prometheus-client",
    "psutil", "pyjwt", "redis",
    "uvloop", "websockets", "xeddsa",
)  # fmt: skip
"""What the services import. The swarm, the verdict and the clients need more, and are not in the image."""
TARGET: Final = Path(__file__).with_name("requirements.txt")
_NAME: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==")
_VIA: Final = re.compile(r"#\s+(?:via\s+)?([A-Za-z0-9._-]+)")


class Entry(NamedTuple):
    """One package of a lock."""

    text: str
    """Its lines, without comments; several pins, if the version depends on the machine."""
    via: frozenset[str]
    """The packages that need it."""


def entries(lock: str) -> Mapping[str, Entry]:
    """Return the packages of a lock, by name in lower case."""
    found: dict[str, Entry] = {}
    name = ""
    for line in lock.splitlines():
        if (pin := _NAME.match(line)) is not None:
            name = pin[1].lower()
        text, via = found.get(name, Entry("", frozenset()))
        if line.lstrip().startswith("#"):
            via |= {one.lower() for one in _VIA.findall(line)} - {"via"}
        elif line.strip():
            text += f"{line}\n"
        found[name] = Entry(text, via)
    return found


def part(lock: str, needed: tuple[str, ...] = NEEDED) -> str:
    """Return the entries of these packages and of all that they need. Raises KeyError for one that is not locked."""
    known = entries(lock)
    wanted = {name: known[name] for name in needed}
    while more := {name: one for name, one in known.items() if name not in wanted and one.via & wanted.keys()}:
        wanted |= more
    return "".join(wanted[name].text for name in sorted(wanted))


if __name__ == "__main__":
    TARGET.write_text(part(Path(sys.argv[1]).read_text(encoding="utf-8")), encoding="utf-8")
