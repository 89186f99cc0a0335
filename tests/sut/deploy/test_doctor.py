"""`petrel doctor` for the cluster: each thing that is missing is named with the command that gets it."""

import io
import os
import shutil
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from chaos.cli import lifecycle
from chaos.errors import HARNESS
from sut.deploy.probes import doctor
from sut.deploy.probes.doctor import Finding, examine
from sut.deploy.servers import jars
from sut.deploy.servers.java import JAVA_COMMAND, find_java

CLUSTER_ONLY = {"java", "kafka jars", "cassandra jars", "mvn", "loopback addresses", "iptables", "mount namespaces"}


def by_name(directory: Path, profile: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(directory, profile)}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has nothing: neither programs nor a cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def test_the_embedded_profile_is_not_asked_for_what_only_the_cluster_needs(tmp_path: Path) -> None:
    embedded, cluster = by_name(tmp_path, "embedded"), by_name(tmp_path, "cluster")
    assert cluster.keys() - embedded.keys() == CLUSTER_ONLY


def test_with_nothing_there_each_is_named_with_what_gets_it(bare: Path) -> None:
    found = by_name(bare, "cluster")
    assert found["java"] == Finding("java", False, "no java on PATH: Java 17 or newer is needed", JAVA_COMMAND)
    assert found["mvn"] == Finding("mvn", False, "not on PATH", jars.MVN_COMMAND)
    assert found["iptables"].remedy.endswith("apt-get install iptables, or your system's package of it")
    assert found["mount namespaces"].remedy == "for the disk-full fault, as root: apt-get install util-linux"
    assert found["kafka jars"].remedy == "see java and mvn"
    assert not (found["iptables"].needed or found["mount namespaces"].needed)
    assert all(not found[what].good for what in CLUSTER_ONLY - {"loopback addresses"})
    console = Console(file=io.StringIO(), width=200)
    assert lifecycle.doctor(profile="cluster", directory=bare, console=console) == HARNESS
    assert isinstance(console.file, io.StringIO)
    assert JAVA_COMMAND in console.file.getvalue()


@pytest.mark.skipif(find_java().path is None or shutil.which("mvn") is None, reason=f"no mvn: {jars.MVN_COMMAND}")
def test_jars_that_a_start_would_fetch_are_no_fault_and_a_look_fetches_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = by_name(tmp_path, "cluster")
    assert found["java"].good
    assert found["java"].found.startswith("17") or found["java"].found.startswith("2")
    for server in jars.SERVERS:
        assert found[f"{server} jars"].good
        assert found[f"{server} jars"].found.startswith("not fetched yet: mvn fetches ")
    assert list(tmp_path.iterdir()) == []


def test_memory_and_disk_are_measured_against_what_the_profile_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CLUSTER_MEMORY", psutil.virtual_memory().total + (1 << 30))
    monkeypatch.setattr(doctor, "CLUSTER_DISK", shutil.disk_usage(tmp_path).total + (1 << 30))
    cluster = by_name(tmp_path, "cluster")
    assert not cluster["free memory"].good
    assert cluster["free memory"].remedy.startswith("free ")
    assert not cluster["free disk"].good
    embedded = by_name(tmp_path, "embedded")
    assert embedded["free memory"].good
    assert embedded["free disk"].good


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
def test_a_refused_namespace_is_told_with_the_kernels_word(bare: Path) -> None:
    for name, script in (
        ("unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1"),
        ("nsenter", ""),
    ):
        (bare / name).write_text(f"#!/bin/sh\n{script}\n")
        (bare / name).chmod(0o755)
    found = by_name(bare, "cluster")["mount namespaces"]
    assert found.found == "unshare: unshare failed: Operation not permitted"
    assert found.remedy == "for the disk-full fault, run where mounting is allowed"
