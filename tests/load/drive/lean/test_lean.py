"""A fleet process loads neither Locust nor gevent, and chooses where its devices come from."""

import socket
import subprocess
import sys

import msgspec
import pytest

from load.drive.lean import process, session
from load.drive.lean.process import source_of
from load.drive.part import Part
from load.workload import SwarmConfig

CONFIG = SwarmConfig(seed=1, users=100_000, api_url="http://127.0.0.1:1", api_key="k", history_dir="h", tier="fleet")


def test_a_fleet_process_is_lean() -> None:
    script = "import sys, load.drive.lean.parent; print(sorted({'gevent', 'locust', 'flask'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_each_fleet_comes_from_an_address_of_its_own_once_one_has_too_few_ports() -> None:
    part = Part(config=CONFIG, conversations=())
    assert CONFIG.fleets == 6
    assert len({source_of(part, number) for number in range(6)}) == 6
    small = msgspec.structs.replace(part, config=msgspec.structs.replace(CONFIG, users=5000))
    assert {source_of(small, number) for number in range(6)} == {""}


def test_a_socket_with_a_source_address_takes_its_port_when_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[tuple[int, int]] = []
    real = socket.socket.setsockopt

    def noted(sock: socket.socket, level: int, option: int, value: int) -> None:
        options.append((level, option))
        real(sock, level, option, value)

    class Noted(socket.socket):
        setsockopt = noted

    monkeypatch.setattr(session.socket, "socket", Noted)
    with socket.create_server(("127.0.0.1", 0)) as server:
        fd = session.dial("127.0.0.1", server.getsockname()[1], "127.0.1.7")
        with socket.socket(fileno=fd) as dialled, server.accept()[0]:
            assert dialled.getsockname()[0] == "127.0.1.7"
    assert (socket.IPPROTO_IP, session.IP_BIND_ADDRESS_NO_PORT) in options


def test_a_ramp_waits_for_devices_to_come_to_rest_and_not_for_ever() -> None:
    room = process._Room(0.0)
    assert room.has(process.CONNECTING - 1, 0.0)
    assert not room.has(process.CONNECTING, 0.1)
    assert not room.has(process.CONNECTING, 4.9)
    assert room.has(process.CONNECTING, 5.0)
    assert room.has(2 * process.CONNECTING - 1, 5.1)
    assert not room.has(2 * process.CONNECTING, 5.2)
    assert room.has(10, 5.3)
