"""Slow disks, on the kernel's own control groups where they can be had, and the words that each version is told."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from sut.deploy import throttle
from sut.deploy.errors import ThrottleError

CANNOT = throttle.lacking(Path.cwd())
real = pytest.mark.skipif(CANNOT is not None, reason=f"no disk can be slowed: {CANNOT}")


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def group():
    name = f"petrel-{uuid.uuid4().hex[:16]}-try"
    yield name
    throttle.free(name, "")


@real
def test_the_writes_of_a_group_wait_and_those_of_others_do_not(sleeper, group, tmp_path):
    disk = Path.cwd()
    before = throttle.group_of(sleeper)
    throttle.slow(sleeper, group, disk, writes_per_s=5)
    assert throttle.group_of(sleeper) == group
    assert throttle.limit_of(group, disk) == 5
    assert throttle.write_time_s(disk, group) > 0.8 * (throttle.WRITES - 1) / 5 > throttle.write_time_s(disk)
    throttle.free(group, before)
    assert throttle.group_of(sleeper) == before
    assert throttle.limit_of(group, disk) is None


@real
def test_a_group_whose_former_one_is_gone_is_freed_all_the_same_and_twice_does_no_harm(sleeper, group):
    throttle.slow(sleeper, group, Path.cwd(), writes_per_s=50)
    for _time in range(2):
        throttle.free(group, "no/such/group")
        assert throttle.group_of(sleeper) == ""
    with pytest.raises(ThrottleError, match=f"pid {2**22 + 1}: No such file"):
        throttle.group_of(2**22 + 1)


@pytest.mark.skipif(not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="needs root and a tmpfs")
@pytest.mark.skipif(CANNOT is not None and "disk" not in CANNOT, reason=f"no control groups: {CANNOT}")
def test_a_directory_in_memory_is_on_no_disk():
    assert throttle.lacking(Path("/dev/shm")) == "/dev/shm is on no disk of its own (tmpfs, overlay or the like)"


@real
def test_version_2_is_told_in_its_own_words(tmp_path, monkeypatch):
    """As the kernel's cgroup-v2.rst has it: MAJ:MIN wiops=N, and max for none; +io to the groups below."""
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
    monkeypatch.setattr(throttle, "ROOT", tmp_path)
    monkeypatch.setattr(throttle, "_V1", throttle._V1._replace(base=tmp_path / "none"))
    monkeypatch.setattr(throttle, "_V2", throttle._V2._replace(base=tmp_path))
    throttle.slow(os.getpid(), "petrel-x", Path.cwd(), writes_per_s=7)
    place = tmp_path / "petrel-x"
    disk, words = (place / "io.max").read_text().split()
    assert words == "wiops=7"
    assert Path(f"/sys/dev/block/{disk}").exists()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+io"
    assert (place / "cgroup.procs").read_text() == str(os.getpid())
    (place / "io.max").write_text(f"{disk} rbps=max wbps=max riops=max wiops=7\n")
    assert throttle.limit_of("petrel-x", Path.cwd()) == 7
    (place / "io.max").write_text(f"{disk} rbps=max wbps=max riops=max wiops=max\n")
    assert throttle.limit_of("petrel-x", Path.cwd()) is None


def test_a_kernel_without_such_groups_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(throttle, "ROOT", tmp_path)
    monkeypatch.setattr(throttle, "_V1", throttle._V1._replace(base=tmp_path))
    monkeypatch.setattr(throttle.os, "geteuid", lambda: 0)
    assert throttle.lacking(tmp_path) == "the kernel has no control groups that slow a disk"
    monkeypatch.setattr(throttle.os, "geteuid", lambda: 1000)
    assert throttle.lacking(tmp_path) == "needs root: a control group slows the disk"
