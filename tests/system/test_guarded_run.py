"""A run on Kafka by SASL_SSL, and on Cassandra and Redis with passwords by TLS: it is valid, and no secret is seen.

The servers are real ones that this test starts, with settings of its own, as somebody else would. The run knows them by
address and by a file of secrets, and then by the environment.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from sut.deploy.errors import DeployError
from sut.deploy.servers import binaries, jars
from sut.deploy.servers.external import Servers, discover
from sut.deploy.supervise.reaper import members
from sut.deploy.topology import Topology, load
from tests.kit.guarded import USER, Guard, add_cassandra_role, add_scram_user, guard_cassandra, guard_kafka, guard_redis
from tests.kit.pace import scaled
from tests.kit.tls_redis import tls_redis_server
from tests.sut.deploy.conftest import Workshop
from tests.sut.deploy.test_external_cluster import START_S, servers_only

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]

EXPERIMENT = """\
name: guarded
summary: a process of ours dies, and links with TLS inside become slow and come in pieces
users: 40
duration_s: 50
rate_per_s: 15
heartbeat_s: 2
faults:
  - {name: sequencer_crash, for_s: [1, 2]}
  - {name: partition_gateway_redis, for_s: [3, 4]}
  - {name: link_latency, for_s: [4, 5], targets: [chat-1->kafka-1]}
  - {name: link_slicer, for_s: [4, 5], targets: [sequencer-1->cassandra-1]}
timing: {warm_up_s: 3, settle_s: 6, tail_s: 11}
bounds: {latency_ms: 20000, catch_up_s: 25, liveness_s: 40, min_acked: 100, min_deliveries: 100}
checks: [acked_lost, indeterminate, duplicates, order, gaps_forks, phantoms, leaks, session, catch_up, liveness,
         latency, vacuity]
"""


class Theirs:
    """The servers, and what lets a client in."""

    def __init__(self, guard: Guard, topology: Topology) -> None:
        self.guard = guard
        self.topology = topology
        roles = (("kafka", "client"), ("cassandra", "cql"), ("sentinel", "redis"))
        self.at = {kind: (one.host, one.ports[role]) for kind, role in roles for one in topology.of_kind(kind)[:1]}
        self.ways = guard.ways()

    @property
    def options(self) -> list[str]:
        """The command line that names the servers."""
        told = [("--kafka", "kafka"), ("--cassandra", "cassandra"), ("--sentinels", "sentinel")]
        return [word for option, kind in told for word in (option, f"{self.at[kind][0]}:{self.at[kind][1]}")]

    def refusal(self, kind: str, **changed: object) -> str:
        """The one line that ends a start with another password or authority."""
        file = self.guard.file("wrong.yaml", self.ways | {kind: self.ways[kind] | changed})
        field = {"sentinel": "sentinels", "redis": "sentinels"}.get(kind, kind)
        address = self.at["sentinel" if kind == "redis" else kind]
        with pytest.raises(DeployError) as caught:
            discover(Servers(**{field: (address,)}, secrets=str(file)))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    base = tmp_path_factory.mktemp("guarded")
    workshop = Workshop(base)
    server = tls_redis_server()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(binaries, "find_redis_server", lambda *_least: server)
        topology = servers_only(workshop)
        hosts = tuple(dict.fromkeys(service.host for service in topology.services))
        guard = Guard(base / "guard", hosts)
        for change in (guard_redis, guard_kafka, guard_cassandra):
            change(guard, monkeypatch)
        first = guard.ways() | {
            "kafka": {**guard.ways()["kafka"], "mechanism": "PLAIN"},  # users of SCRAM are added to a running cluster
            "cassandra": {"user": "cassandra", "password": "cassandra", "ca": guard.tls.ca},
        }
        topology = msgspec.structs.replace(topology, secrets=str(guard.file("operator.yaml", first)))
        system = workshop.boot(topology, timeout_s=START_S)
        try:
            found = jars.find("kafka", on_progress=print).path
            assert found is not None
            add_scram_user(topology, guard, found)
            add_cassandra_role(topology, guard)
            yield Theirs(guard, topology)
        finally:
            system.stop()
            workshop.close()


def test_wrong_passwords_and_authorities_are_one_line_that_holds_no_secret(theirs: Theirs) -> None:
    wrong = {"password": "S3-wrong-password"}
    other = {"ca": theirs.guard.other_ca}
    said = {
        "kafka": f"refuses the login of {USER}: ",
        "cassandra": f"refuses the login of {USER}: ",
        "redis": "invalid username-password",
        "sentinel": "invalid username-password",
    }
    for kind, text in said.items():
        line = theirs.refusal(kind, **wrong)
        assert text in line
        assert "S3-" not in line
        assert "its certificate cannot be trusted: " in theirs.refusal(kind, **other)
    assert f"refuses the login of {USER}: " in theirs.refusal("kafka", mechanism="PLAIN", **wrong)
    assert "takes no login by SCRAM-SHA-256, but by " in theirs.refusal("kafka", mechanism="SCRAM-SHA-256")
    assert "asks for a password" in theirs.refusal("cassandra", user="", password="")


def petrel(*arguments: str, cwd: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "chaos.cli.petrel", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **environ},
    )


def test_a_run_on_them_is_valid_and_its_secrets_are_nowhere(theirs: Theirs, tmp_path: Path) -> None:
    experiment = tmp_path / "guarded.yaml"
    experiment.write_text(EXPERIMENT)
    secrets = theirs.guard.file("secrets.yaml", theirs.ways)
    out = tmp_path / "out"
    run = petrel(
        *("run", str(experiment), "--profile", "cluster", "--seed", "1", "--out", str(out), "--secrets", str(secrets)),
        *("--json", *theirs.options),
        cwd=tmp_path,
    )
    try:
        seen = look_while_it_runs(theirs, run, out)
        told, complaints = run.communicate(timeout=scaled(400))
    finally:
        run.kill()
    assert run.returncode == 0, told + complaints
    verdict = json.loads(told.splitlines()[-1])
    assert verdict["verdict"] == "valid"
    assert verdict["counts"]["sends_acked"] > 100
    assert all(fault["effective"] and fault["healed"] for fault in verdict["faults"])
    assert {"gateway-1", "chat-1", "sequencer-1", "toxiproxy", "supervisor"} <= seen
    assert_nowhere(theirs, told + complaints, out)


def test_the_environment_lets_in_as_well_and_is_asked_for_again(theirs: Theirs, tmp_path: Path) -> None:
    """`status` in a shell without the variables says which are missing; `down` needs none."""
    variables = {
        f"PETREL_{kind.upper()}_{field.upper()}": str(value)
        for kind, way in theirs.ways.items()
        for field, value in way.items()
    }
    place = ("--dir", str(tmp_path / "up"))
    up = petrel("up", "--profile", "cluster", *place, *theirs.options, cwd=tmp_path, **variables)
    told, complaints = up.communicate(timeout=scaled(300))
    try:
        assert up.returncode == 0, told + complaints
        topology = load(tmp_path / "up" / "topology.json")
        assert topology.secret_variables == tuple(sorted(variables))
        status = petrel("status", *place, cwd=tmp_path)
        _, complaints = status.communicate(timeout=scaled(60))
        assert status.returncode == 70
        assert "PETREL_KAFKA_PASSWORD" in complaints
        assert complaints.count("\n") == 1
        status = petrel("status", *place, cwd=tmp_path, **variables)
        assert status.communicate(timeout=scaled(60)) and status.returncode == 0
        for pid, name in ((one.pid, name) for one, name in members(topology.run_id).items()):
            environ = psutil.Process(pid).environ()
            has = any(secret in value for value in environ.values() for secret in theirs.guard.passwords.values())
            assert has == (name.rsplit("-", 1)[0] not in ("toxiproxy", "redis")), name
    finally:
        down = petrel("down", *place, cwd=tmp_path)
        down.communicate(timeout=scaled(60))
    assert down.returncode == 0
    assert_nowhere(theirs, told, tmp_path / "up")


def look_while_it_runs(theirs: Theirs, run: subprocess.Popen[str], out: Path) -> set[str]:
    """Search the command lines of all processes, and the environments of the run's, until it ends. Returns who ran."""
    seen: set[str] = set()
    while run.poll() is None and not (out / "verdict.json").exists():
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
                assert not any(secret in line for secret in theirs.guard.passwords.values()), process.name()
                environ = process.environ()
            except psutil.Error:
                continue
            if environ.get("PETREL_RUN_ID") and environ.get("PETREL_RUN_ID") != theirs.topology.run_id:
                seen.add(environ.get("PETREL_SERVICE", ""))
                told = " ".join(environ.values())
                assert not any(secret in told for secret in theirs.guard.passwords.values()), process.name()
        try:
            run.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    return seen


def assert_nowhere(theirs: Theirs, told: str, directory: Path) -> None:
    """Search what was printed and every file of the directory for each password."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    for kind, password in theirs.guard.passwords.items():
        assert password not in told, kind
        for path in files:
            assert password.encode() not in path.read_bytes(), f"{kind}: {path}"
