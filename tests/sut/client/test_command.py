"""`petrel chat`: mistakes are one line and the right status; the plain mode serves scripts."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.cli import petrel as cli
from sut.client.chat import Chat
from sut.client.device.state import State
from sut.client.errors import ClientError
from sut.client.names import user_of
from sut.client.terminal.plain import Plain
from sut.deploy.system import System
from sut.protocol.tokens import issue
from tests.sut.client.conftest import access_to

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.timeout(300)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and the one line that says why."""
    status = cli.main(["chat", *arguments])
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("petrel: ") and seen.err.count("\n") == 1, seen.err
    return status, seen.err.removeprefix("petrel: ").rstrip("\n")


def token_of(name: str, device: int = 7) -> str:
    return issue(b"k" * 32, user_of(name), device, ttl_s=3600, now_s=time.time())


def with_claims(claims: bytes) -> str:
    return f"a.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.b"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a b"], 64, r"'a b' is no name: .*"),
        ([""], 64, r"'' is no name: .*"),
        (["alice", "--dir", "/nowhere"], 70, r"no system in /nowhere; start one with: petrel up --dir /nowhere"),
        (["alice", "--api", "ftp://x", "--token", "t"], 64, r"--api is a URL like http://host:port, not 'ftp://x'"),
        (
            ["alice", "--api", "http://[::1", "--token", "t"],
            64,
            r"--api is a URL like http://host:port, not 'http://\[::1'",
        ),
        (["alice", "--api", "http://x:99999", "--token", "t"], 64, r"--api is a URL like .*"),
        (["alice", "--api", "http://x/\n", "--token", "t"], 64, r"--api is a URL like .*, not 'http://x/\\n'"),
        (["alice", "--api", "http://127.0.0.1:9"], 64, r"--api needs --token, .*"),
        *(
            (["alice", "--api", "http://127.0.0.1:9", "--token", text], 64, r"--token is no device token")
            for text in (
                with_claims(b'{"sub":"1","dev":1e999}'),
                with_claims(b'{"sub":"1","dev":-5}'),
                with_claims(b'{"sub":"1","dev":1,"x":' + b"[" * 60_000),
                with_claims(b"[]"),
                token_of("alice") + "\r\nX: y",
                "\u00e9.e30.x",
            )
        ),
        (["alice", "--api", "http://127.0.0.1:9", "--token", "x"], 64, r"--token is no device token"),
        (["alice", "--api", "http://127.0.0.1:9", "--token", token_of("bob")], 64, r"--token is for user \d+, and .*"),
        (
            ["alice", "--device", "my laptop", "--api", "http://127.0.0.1:9", "--token", token_of("alice")],
            64,
            r"'my laptop' is no name: .*",
        ),
        (["alice", "--loud"], 64, r"unrecognized arguments: --loud; .*"),
        ([], 64, r"the following arguments are required: USER; see petrel chat --help"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    got, line = complaint(capsys, *arguments)
    assert re.fullmatch(said, line), line
    assert got == status


def test_a_broken_state_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "alice.db").write_bytes(b"not what it should be, whoever wrote it, and long enough")
    elsewhere = ("--api", "http://127.0.0.1:9", "--token", token_of("alice"), "--state", str(tmp_path))
    status, line = complaint(capsys, "alice", *elsewhere, "--plain")
    assert status == 70
    assert "alice.db is broken" in line


def test_the_screen_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    status, line = complaint(capsys, "alice", "--api", "http://127.0.0.1:9", "--token", token_of("alice"))
    assert (status, line) == (64, "this is not a terminal; use --plain to read and print lines")


def test_an_authority_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    elsewhere = ("--api", "https://127.0.0.1:9", "--token", token_of("alice"), "--state", str(tmp_path), "--plain")
    status, line = complaint(capsys, "alice", *elsewhere, "--ca", str(tmp_path / "none.pem"))
    assert (status, "none.pem: no certificates" in line) == (64, True)


def test_a_terminal_that_does_not_let_go_keeps_the_device(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sut.client.device.handover.PATIENCE_S", 0.5)
    state = State(tmp_path / "alice.db")
    elsewhere = ("--api", "http://127.0.0.1:9", "--token", token_of("alice"), "--state", str(tmp_path))
    status, line = complaint(capsys, "alice", *elsewhere, "--plain")
    state.close()
    assert (status, "in another terminal already" in line) == (64, True)


def plain(running: System, name: str, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "chaos.cli.petrel",
            "chat",
            name,
            "--plain",
            "--dir",
            running.topology.dir,
            "--state",
            state,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_sends_and_another_reads(running: System, tmp_path: Path) -> None:
    reader = plain(running, "vic", tmp_path)
    assert reader.stdin is not None and reader.stdout is not None
    assert reader.stdout.readline().startswith("* connected to gateway-")
    writer = plain(running, "wes", tmp_path)
    out, err = writer.communicate("/new vic\nfirst\n/new\nsecond\n/edit second thoughts\n//slash\n", timeout=120)
    assert (writer.returncode, err) == (0, "")
    assert "! usage: /new NAME" in out
    assert "[vic] wes: //slash" not in out and "[vic] wes: /slash" in out
    seen = []
    while not seen or "/slash" not in seen[-1]:
        seen.append(reader.stdout.readline().rstrip("\n"))
    said = [line.removeprefix("[wes] wes: ") for line in seen if line.startswith("[")]
    assert (said[0], said[-2:]) == ("first", ["second thoughts (edited)", "/slash"])
    reader.send_signal(signal.SIGINT)
    out, err = reader.communicate(timeout=60)
    assert (reader.returncode, err) == (0, "")


def test_the_end_of_the_input_says_what_it_waits_for(running: System, tmp_path: Path) -> None:
    writer = plain(running, "uwe", tmp_path)
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdin.write("/new zed\nhello\n")
    writer.stdin.close()
    said = []
    while not said or not said[-1].startswith("* waiting"):
        said.append(writer.stdout.readline())
        assert said[-1], f"it ended: {said}"
    assert said[-1] == "* waiting up to 60 s, 1 message to send: zed has not been here yet\n"
    reader = plain(running, "zed", tmp_path)
    assert reader.stdout is not None
    while reader.stdout.readline() != "[uwe] uwe: hello\n":
        pass
    assert writer.wait(60) == 0
    reader.communicate("/quit\n", timeout=60)
    writer.stdout.close()


def test_a_message_that_stays_unsent_is_70_and_one_line(
    running: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sut.client.terminal.plain.SETTLE_S", 2.0)

    async def write() -> None:
        plain_one = Plain(io.StringIO())
        path = tmp_path / "vera.db"
        async with Chat.open(access_to(running), name="vera", path=path, listener=plain_one.show) as chat:
            typed: asyncio.Queue[str | None] = asyncio.Queue()
            for line in ("/new yves", "hello", None):
                typed.put_nowait(line)
            await plain_one.run(chat, typed)

    with pytest.raises(ClientError) as caught:
        asyncio.run(write())
    assert str(caught.value) == (
        "not everything was sent within 2 s, 1 message to send: yves has not been here yet; "
        "it is kept and goes out next time"
    )


def test_the_end_of_the_input_waits_until_everything_is_sent(running: System, tmp_path: Path) -> None:
    first = plain(running, "xen", tmp_path)
    first.communicate("", timeout=120)
    assert first.returncode == 0
    writer = plain(running, "yan", tmp_path)
    wanted = [f"line {number}" for number in range(50)]
    writer.communicate("/new xen\n" + "\n".join(wanted), timeout=120)
    assert writer.returncode == 0
    reader = plain(running, "xen", tmp_path)
    assert reader.stdout is not None
    got: list[str] = []
    while len(got) < len(wanted):
        line = reader.stdout.readline()
        if line.startswith("[yan] yan: "):
            got.append(line.rstrip("\n").removeprefix("[yan] yan: "))
    reader.communicate("/quit\n", timeout=60)
    assert got == wanted
    assert reader.returncode == 0
