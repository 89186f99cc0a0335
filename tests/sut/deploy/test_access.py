"""The way into somebody else's servers: from a file that its owner alone reads, or the environment; never in a text."""

import ssl
from pathlib import Path

import pytest

from sut.deploy import access
from sut.deploy.access import Access, AccessError, ClientTls
from sut.deploy.logins import Login, login_of
from sut.deploy.servers import certificates
from sut.deploy.topology import Link, Service, Topology, TopologyError

SECRET = "S3-very-secret"


def secrets(directory: Path, text: str, mode: int = 0o600) -> str:
    path = directory / "secrets.yaml"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def complaint(file: str, **environ: str) -> str:
    with pytest.raises(AccessError) as caught:
        access.read(file, environ)
    said = str(caught.value)
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_a_file_says_how_to_get_in_and_a_variable_overrides_it(tmp_path: Path) -> None:
    file = secrets(tmp_path, f"kafka: {{user: petrel, password: {SECRET}, tls: true}}\nredis: {{password: x}}\n")
    found = access.read(file, {"PETREL_KAFKA_MECHANISM": "PLAIN", "PETREL_SENTINEL_TLS": "true", "HOME": "/"})
    assert found == {
        "kafka": Access(user="petrel", password=SECRET, tls=True, mechanism="PLAIN"),
        "redis": Access(password="x"),
        "sentinel": Access(tls=True),
    }
    assert access.read("", {}) == {}
    assert SECRET not in repr(found)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    assert access.read(secrets(tmp_path, "redis: {password: one}"), {})["redis"].password == "one"
    assert access.read(secrets(tmp_path, "redis: {password: second}"), {})["redis"].password == "second"
    assert "others may read it" in complaint(secrets(tmp_path, "redis: {password: second}", 0o640))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o602])
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    file = secrets(tmp_path, f"redis: {{password: {SECRET}}}", mode)
    assert complaint(file) == f"{file}: others may read it; chmod 600 {file}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"kafka: {{user: a, password: [{SECRET}]}}", "kafka: Expected `str`, got `array` - at `$.password`"),
        (f"kafka: {{user: a, passwort: {SECRET}}}", "kafka: Object contains unknown field `passwort`"),
        (f"kafka: {{user: a, password: {SECRET}, mechanism: GSSAPI}}", "kafka: Invalid enum value 'GSSAPI'"),
        (f"kafka: {{password: {SECRET}}}", "kafka: a password without a user"),
        (f"cassandra: {{password: {SECRET}}}", "cassandra: a password without a user"),
        ("redis: {user: a}", "redis: a user without a password"),
        ("redis: {key: /x}", "redis: a key without a certificate"),
        ("redis: {ca: /does/not/exist}", "redis: /does/not/exist: No such file or directory"),
        (f"mongo: {{password: {SECRET}}}", "no kind of server 'mongo'; there are kafka, cassandra, redis, sentinel"),
        (f"kafka: {{user: a\npassword: '{SECRET}", "line 2: this is no YAML"),
        (f"- {SECRET}", "Expected `object`, got `array`"),
    ],
)
def test_a_mistake_is_one_line_without_the_secret(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(secrets(tmp_path, text))


def test_no_file_and_no_authority_in_a_file(tmp_path: Path) -> None:
    assert complaint(str(tmp_path / "none.yaml")).endswith("none.yaml: No such file or directory")
    (tmp_path / "ca.pem").write_text("nothing")
    assert str(tmp_path / "ca.pem") in complaint("", PETREL_REDIS_CA=str(tmp_path / "ca.pem"))


def test_a_process_that_needs_no_secret_has_none() -> None:
    environ = {"PETREL_KAFKA_PASSWORD": SECRET, "PETREL_RUN_ID": "a", "PATH": "/bin"}
    assert access.variables(environ) == ("PETREL_KAFKA_PASSWORD",)
    assert access.without(environ) == {"PETREL_RUN_ID": "a", "PATH": "/bin"}


def test_a_login_is_only_there_where_something_is_asked_for() -> None:
    ways = {"kafka": Access(user="a", password=SECRET), "redis": Access(tls=True), "sentinel": Access()}
    kafka, redis = login_of(ways, "kafka", {}), login_of(ways, "redis", {})
    assert kafka == Login("a", SECRET, None, "SCRAM-SHA-512")
    assert SECRET not in repr(kafka)
    assert redis is not None
    assert redis.tls is not None
    assert login_of(ways, "sentinel", {}) is None
    assert login_of(ways, "cassandra", {}) is None


def shaken(context: ssl.SSLContext, server: ssl.SSLContext, named: str | None) -> None:
    """Shake hands in memory; raises SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=named)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (client, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_a_certificate_must_have_the_name_of_the_server_and_not_of_the_proxy(tmp_path: Path) -> None:
    files = certificates.make(tmp_path, ("broker.example", "10.9.8.7"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    proxy = ("127.0.0.1", 5000)
    for host in ("broker.example", "10.9.8.7"):
        shaken(ClientTls(Access(ca=files.ca), {proxy: host}).context(proxy), server, "127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shaken(ClientTls(Access(ca=files.ca), {}).context(proxy), server, None)
    shaken(ClientTls(Access(ca=files.ca, check_name=False), {}).context(proxy), server, None)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(ClientTls(Access(tls=True, check_name=False), {}).context(proxy), server, None)


def test_a_topology_names_the_variables_and_says_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETREL_REDIS_PASSWORD", SECRET)
    redis = Service(name="redis-1", kind="redis", host="redis.example", ports={"redis": 6379}, external=True)
    link = Link(source="gateway-1", target="redis-1", port="redis", listen=5000)
    topology = Topology(
        run_id="a", profile="cluster", dir="/x", services=(redis,), links=(link,), token_key="00", api_key="k",
        secret_variables=("PETREL_REDIS_PASSWORD", "PETREL_REDIS_TLS"),
    )  # fmt: skip
    with pytest.raises(TopologyError, match=r"^PETREL_REDIS_TLS: not set here, and this system was started with it$"):
        topology.redis_login("service")
    monkeypatch.setenv("PETREL_REDIS_TLS", "1")
    login = topology.redis_login("service")
    assert login is not None
    assert login.tls is not None
    assert (login.user, login.password, login.tls.name(("127.0.0.1", 5000))) == ("", SECRET, "redis.example")
    assert topology.sentinel_login("service") is None
