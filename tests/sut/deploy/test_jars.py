"""Kafka's and Cassandra's jars: only what the lock says is taken, and every refusal names its jar."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from sut.deploy.servers import jars
from sut.deploy.servers.java import find_java, parse_version
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

ROOT = Path(__file__).resolve().parents[3]
LISTS = {"a.jar": b"one", "b.jar": b"two"}
LOCK = {name: hashlib.sha256(content).hexdigest() for name, content in LISTS.items()}

needs_maven = pytest.mark.skipif(
    shutil.which("mvn") is None or find_java().path is None, reason=f"no mvn or no Java 17: {jars.MVN_COMMAND}"
)


def filled(directory: Path, contents: dict[str, bytes]) -> Path:
    directory.mkdir()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stormpetrel" / "jars"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with sh, a java that says 17, and what the test puts there."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    (directory / "sh").symlink_to("/bin/sh")
    program(directory, "java", "echo 'openjdk version \"17.0.9\"' >&2")
    return directory


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


def find(said: list[str] | None = None, install: bool = True) -> str:
    """Why there is none."""
    found = jars.find("kafka", on_progress=(said if said is not None else []).append, install=install)
    assert found.path is None
    return found.reason


@pytest.mark.parametrize("server", jars.SERVERS)
def test_a_lock_pins_the_version_that_its_pom_asks_for(server: jars.Server) -> None:
    dependency = ET.parse(jars.LOCKS / server / "pom.xml").find("{*}dependencies/{*}dependency")
    assert dependency is not None
    lock = jars.read_lock(server)
    assert f"{dependency.findtext('{*}artifactId')}-{dependency.findtext('{*}version')}.jar" in lock
    assert len(lock) > 40
    assert {len(digest) for digest in lock.values()} == {64}


@pytest.mark.parametrize(
    "text", ["", "a.jar\n", "0" * 64 + " a.jar\n", "0" * 64 + "  ../a.jar\n", "0" * 63 + "  a.jar\n"]
)
def test_a_lock_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(jars, "LOCKS", tmp_path)
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "sha256.txt").write_text(text)
    with pytest.raises(jars.JarError, match=r"sha256.txt(, line 1: not `SHA256  NAME.jar`| names no jar)$"):
        jars.read_lock("kafka")
    with pytest.raises(jars.JarError, match=r"sha256.txt: No such file or directory$"):
        jars.read_lock("cassandra")


@pytest.mark.parametrize(
    ("contents", "wrong"),
    [
        (LISTS, None),
        ({"a.jar": b"one"}, "b.jar is missing"),
        ({**LISTS, "c.jar": b"three"}, "c.jar is not in the lock"),
        ({**LISTS, "a.jar": b"other"}, "a.jar differs from the lock"),
        ({}, "a.jar is missing"),
    ],
)
def test_a_directory_is_compared_jar_by_jar(tmp_path: Path, contents: dict[str, bytes], wrong: str | None) -> None:
    assert jars.difference(filled(tmp_path / "jars", contents), LOCK) == wrong


def test_another_lock_has_another_place() -> None:
    assert jars.directory("kafka", LOCK) == jars.directory("kafka", dict(reversed(LOCK.items())))
    assert jars.directory("kafka", LOCK) != jars.directory("kafka", {**LOCK, "a.jar": "0" * 64})
    assert jars.directory("kafka", LOCK) != jars.directory("cassandra", LOCK)


@pytest.mark.parametrize(
    ("shown", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2" 2019-01-15', 11),
        ("not a Java", 0),
    ],
)
def test_what_java_says_of_its_version(shown: str, version: int) -> None:
    assert parse_version(shown) == version


def test_without_a_new_enough_java_the_reason_says_so(programs: Path, cache: Path) -> None:
    program(programs, "java", "echo 'java version \"1.8.0_292\"' >&2")
    assert find() == f"{programs}/java is Java 8: Java 17 or newer is needed"
    program(programs, "java", "exit 1")
    assert find() == f"{programs}/java is not a Java: Java 17 or newer is needed"
    (programs / "java").unlink()
    assert find() == "no java on PATH: Java 17 or newer is needed"
    assert not cache.exists()


def test_the_java_of_java_home_comes_first(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "bin").mkdir(parents=True)
    program(tmp_path / "home" / "bin", "java", "echo 'openjdk version \"21\"' >&2")
    assert find_java().path == programs / "java"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert find_java().path == tmp_path / "home" / "bin" / "java"


def test_cassandra_is_not_started_on_a_java_that_it_cannot_use(programs: Path, cache: Path) -> None:
    program(programs, "java", "echo 'openjdk version \"25.0.2\"' >&2")
    found = jars.find("cassandra", on_progress=pytest.fail)
    assert found.reason == f"{programs}/java is Java 25: Cassandra 5.0 needs 17 to 23"
    assert jars.MVN_COMMAND in find(), "Kafka may"


def test_without_mvn_the_reason_says_how_to_get_it(programs: Path, cache: Path) -> None:
    assert find() == f"kafka: not fetched yet, and no mvn on PATH to fetch it: {jars.MVN_COMMAND}"


def test_a_look_fetches_nothing_and_says_that_a_start_would(programs: Path, cache: Path) -> None:
    program(programs, "mvn", "exit 1")
    found = jars.find("kafka", on_progress=pytest.fail, install=False)
    assert found.path is None
    assert found.can_build
    assert found.reason == f"not fetched yet: mvn fetches {len(jars.read_lock('kafka'))} jars at the first start"
    assert not cache.exists()


def test_what_maven_complains_of_is_told_in_one_line_and_nothing_is_left(programs: Path, cache: Path) -> None:
    program(programs, "mvn", "echo '[ERROR] Could not find artifact x:y'; echo '[ERROR] Re-run with -X'; exit 1")
    assert find() == "kafka: mvn failed: Could not find artifact x:y"
    program(programs, "mvn", "exit 1")
    assert find() == "kafka: mvn failed: it gave no reason"
    assert list(cache.iterdir()) == []


def test_maven_gets_so_much_time_and_no_more(
    programs: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "mvn", f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    monkeypatch.setattr(jars, "FETCH_TIMEOUT_S", 2.0)
    begun_s = time.monotonic()
    assert find() == "kafka: mvn took more than 2 s"
    assert time.monotonic() - begun_s < scaled(10)
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    assert list(cache.iterdir()) == []


def test_what_a_killed_fetch_left_is_cleared_when_it_cannot_be_under_way_any_more(programs: Path, cache: Path) -> None:
    program(programs, "mvn", "exit 1")
    for name, age_s in (("fetch-kafka-old", 3600.0), ("fetch-kafka-new", 10.0), ("fetch-cassandra-old", 3600.0)):
        (cache / name / "jars").mkdir(parents=True)
        os.utime(cache / name, (time.time() - age_s,) * 2)
    assert find() == "kafka: mvn failed: it gave no reason"
    assert sorted(path.name for path in cache.iterdir()) == ["fetch-cassandra-old", "fetch-kafka-new"]


FETCHER = """
import sys
from sut.deploy.servers import jars
found = jars.find("kafka", on_progress=print)
sys.exit(found.reason or None)
"""


@needs_maven
@pytest.mark.long  # four downloads of 60 MB
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_jars_are_fetched_once_by_however_many_and_one_that_differs_is_never_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", FETCHER],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [racer.communicate(timeout=scaled(100)) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], said
    lock = jars.read_lock("kafka")
    [target] = cache.iterdir()
    assert target == jars.directory("kafka", lock)
    assert jars.find("kafka", on_progress=pytest.fail).path == target

    victim = next(iter(lock))
    (target / victim).write_bytes(b"somebody else's")
    lines: list[str] = []
    assert jars.find("kafka", on_progress=lines.append).path == target
    assert lines[0] == f"kafka: {victim} differs from the lock; fetching it again"
    assert jars.difference(target, lock) is None
    assert list(cache.iterdir()) == [target]

    # A registry that hands out another jar than the one that was locked.
    shutil.copytree(jars.LOCKS / "kafka", tmp_path / "locks" / "kafka")
    text = (tmp_path / "locks" / "kafka" / "sha256.txt").read_text()
    (tmp_path / "locks" / "kafka" / "sha256.txt").write_text(text.replace(lock[victim], "0" * 64))
    monkeypatch.setattr(jars, "LOCKS", tmp_path / "locks")
    found = jars.find("kafka", on_progress=lines.append)
    assert found.path is None
    assert found.reason == f"kafka: what mvn fetched is refused: {victim} differs from the lock"
    assert list(cache.iterdir()) == [target]
