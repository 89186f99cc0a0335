"""Finds a Java that Kafka and Cassandra run on, or says why there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

MIN_JAVA: Final = 17
"""The oldest version that Kafka 4 brokers accept."""
LAST_WITH_SECURITY_MANAGER: Final = 23
"""Cassandra 5.0 sets a security manager at its start, and Java 24 has none. Tested here with 17 and 21."""
JAVA_COMMAND: Final = "apt-get install openjdk-17-jre-headless, or your system's package of Java 17 or 21"


class FoundJava(NamedTuple):
    """The path of `java`, or None and the reason."""

    path: Path | None
    reason: str = ""
    version: int = 0
    """Feature release, such as 17 or 21; 0: no Java."""


def find_java() -> FoundJava:
    """Return the `java` of JAVA_HOME, else of PATH."""
    home = os.environ.get("JAVA_HOME", "")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        return FoundJava(None, f"no java on PATH: Java {MIN_JAVA} or newer is needed")
    version = java_version(Path(found))
    if version < MIN_JAVA:
        said = f"Java {version}" if version else "not a Java"
        return FoundJava(None, f"{found} is {said}: Java {MIN_JAVA} or newer is needed")
    return FoundJava(Path(found).absolute(), version=version)


def java_version(java: Path) -> int:
    """Return the feature release that `java -version` prints (8, 17, 21), 0 when it prints none."""
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return parse_version(shown)


def parse_version(shown: str) -> int:
    """Parse the output of `java -version`. Before Java 9 the version began with "1."."""
    match = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(match[1]) if match else 0
