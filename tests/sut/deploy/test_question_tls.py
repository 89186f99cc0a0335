"""A question to a server that speaks TLS: the answer, its pieces as the socket had them, and what no answer is."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from sut.deploy.probes import question
from sut.deploy.servers import certificates
from sut.deploy.topology import Service, Topology

ANSWER = struct.pack(">BBhBi", 0x84, 0, 1, 0x06, 600) + bytes(600)
"""A SUPPORTED frame of Cassandra's protocol, with a body that says nothing."""
DELAY_S = 0.05
Act = Callable[[ssl.SSLSocket], None]


@contextlib.contextmanager
def serving(certificate: str, key: str, act: Act) -> Iterator[tuple[str, int]]:
    """A TLS server that does this to each connection that has asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
                        if secured.recv(9) == struct.pack(">BBhBi", 4, 0, 1, 0x05, 0):
                            act(secured)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def topology(directory: Path, ca: str, host: str = "127.0.0.1") -> Topology:
    secrets = directory / "secrets.yaml"
    secrets.write_bytes(msgspec.yaml.encode({"cassandra": {"ca": ca}}))
    secrets.chmod(0o600)
    node = Service(name="cassandra-1", kind="cassandra", host=host, ports={"cql": 1}, external=True)
    return Topology(
        run_id="a", profile="cluster", dir="/x", services=(node,), token_key="00", api_key="k", secrets=str(secrets)
    )


def in_pieces(connection: ssl.SSLSocket) -> None:
    for start in range(0, len(ANSWER), 203):
        connection.sendall(ANSWER[start : start + 203])
        time.sleep(DELAY_S)


@pytest.mark.parametrize(
    ("act", "how", "pieces"),
    [
        (lambda connection: connection.sendall(ANSWER), "whole", 1),
        (in_pieces, "whole", 3),
        (lambda connection: connection.sendall(ANSWER[:100]), "broken", 0),
        (lambda _connection: time.sleep(1.5), "silence", 0),
    ],
)
def test_the_answer_inside_tls(tmp_path: Path, act: Act, how: str, pieces: int) -> None:
    files = certificates.make(tmp_path / "tls", ("127.0.0.1",))
    with serving(files.certificate, files.key, act) as address:
        answer = question.ask("cql", address, 1.0, topology(tmp_path, files.ca))
    assert answer.how == how
    if how == "whole":
        assert pieces <= len(answer.pieces) <= pieces + 2  # the server's session tickets come with it or by themselves
        assert sum(answer.pieces) > len(ANSWER)
        assert answer.took_s >= (pieces - 1) * DELAY_S


def test_a_certificate_of_another_authority_or_server_is_no_answer(tmp_path: Path) -> None:
    files = certificates.make(tmp_path / "tls", ("127.0.0.1",))
    other = certificates.make(tmp_path / "other", ("127.0.0.1",))
    elsewhere = certificates.make(tmp_path / "elsewhere", ("node.example",))
    with serving(files.certificate, files.key, lambda connection: connection.sendall(ANSWER)) as address:
        assert question.ask("cql", address, 1.0, topology(tmp_path, other.ca)).how == "broken"
    with serving(elsewhere.certificate, elsewhere.key, lambda connection: connection.sendall(ANSWER)) as address:
        assert question.ask("cql", address, 1.0, topology(tmp_path, elsewhere.ca)).how == "broken"
