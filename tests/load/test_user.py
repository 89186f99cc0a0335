"""Locust files of one's own: tasks are sends of the history, and all else is as in a test by hand."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from load.history.events import Event, Record
from load.history.writer import HistoryTail
from sut.protocol.frames import Send
from sut.protocol.signals import Read, Typing
from tests.kit.pace import scaled
from tests.kit.waits import wait_until
from tests.load.locusts import EXAMPLE, LOCUSTFILE, Started, free_port
from tests.load.test_byhand import Web, at, devices_of, judged

LONG = pytest.param(["--processes", "2"], marks=pytest.mark.long)
Start = Callable[..., Started]


@pytest.fixture
def system(chat, tmp_path: Path) -> Path:
    """The directory of a running system."""
    return at(tmp_path, chat.api_url)


class Mine:
    """A Locust file of one's own; each `note(...)` of it is a line that the test reads."""

    HEAD = """
import json, pathlib
from locust import constant, events, tag, task
from load.user import ChatUser, NoAnswer, NotConnected, NothingReceived, Refused
def note(*told):
    with pathlib.Path(__file__).with_suffix(".notes").open("a") as file:
        file.write(json.dumps(told) + "\\n")
"""

    def __init__(self, directory: Path, source: str) -> None:
        self.path = directory / "mine.py"
        self.path.write_text(self.HEAD + source)

    def notes(self) -> list[Any]:
        path = self.path.with_suffix(".notes")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def run(
        self, locust: Start, system: Path, *arguments: str, users: int = 2, until: Callable[[], bool] | None = None
    ) -> Started:
        """Run it until this is true, or until it ends by itself."""
        return run(str(self.path), locust, system, *arguments, users=users, until=until)


def run(
    path: str, locust: Start, system: Path, *arguments: str, users: int, until: Callable[[], bool] | None
) -> Started:
    started = locust("-f", path, "--headless", "-u", str(users), "-r", "50", "--petrel-dir", str(system),
                     "--json-file", str(system / "table"), *arguments)  # fmt: skip
    if until is not None:
        wait_until(lambda: until() or started.process.poll() is not None, told=started.text)
        started.process.send_signal(signal.SIGTERM)
    started.process.wait(scaled(90))
    return started


def records(run: Path, kind: Event) -> list[Record]:
    paths = (run / "history").glob("swarm-*.bin")
    return [record for path in paths for record in HistoryTail(path).read() if record[7] == kind]


def table(system: Path) -> dict[str, tuple[int, int]]:
    """Locust's own counts: name -> (requests, failures)."""
    rows = json.loads((system / "table.json").read_text())
    return {row["name"]: (row["num_requests"], row["num_failures"]) for row in rows}


def test_the_example_is_readable() -> None:
    assert len(Path(EXAMPLE).read_text().splitlines()) <= 40


@pytest.mark.parametrize("split", [[], LONG])
def test_the_example_runs_as_it_stands(locust: Start, system: Path, split: list[str]) -> None:
    history = system / "swarm-1"
    started = run(EXAMPLE, locust, system, *split, users=20, until=lambda: len(records(history, Event.ACK)) > 70)
    verdict = judged(history)
    assert {0: "valid", 2: "unknown"}[started.process.returncode] == verdict["verdict"], started.text()
    sends, acks = records(system / "swarm-1", Event.SEND), records(system / "swarm-1", Event.ACK)
    assert len(sends) == len(acks) == verdict["counts"]["sends_acked"] >= 50
    assert table(system)["send -> ack"] == (len(acks), 0)
    shown = [record for record in records(system / "swarm-1", Event.SHOW) if record[4] >> 32 != record[2]]
    assert sum(count for name, (count, _) in table(system).items() if "shown" in name) == len(shown)
    assert len(devices_of(system / "swarm-1" / "history", Event.ONLINE)) == 20
    assert all(0 <= sent - due < scaled(5) * 1e9 for sent, due, *_ in sends), "due is the time of the call"
    assert "Traceback" not in started.text()


def test_what_two_people_say_to_each_other(locust: Start, chat, system: Path) -> None:
    mine = Mine(system, """
class Two(ChatUser):
    wait_time = constant(0.01)
    def on_start(self):
        (self.talk,) = self.conversations
        self.first = self.id == min(self.talk.members)
        note("start", self.id, self.online, self.talk.kind, sorted(self.talk.members))
    def on_stop(self):
        note("stop", self.id)
    @task
    def play(self):
        if self.first:
            self.typing(self.talk)
            number = self.send(self.talk, "ping \\u2713")
            note("number", number)
            got = self.wait_for("pong")
            note("got", got.number, got.sender, got.text, got.conversation == self.talk)
            self.read(self.talk)
        else:
            got = self.receive()
            self.send(self.talk, "noise")
            self.send(self.talk, "pong to " + got.text)
""")  # fmt: skip
    started = mine.run(locust, system, until=lambda: len(mine.notes()) > 60)
    judged(system / "swarm-1")
    told = mine.notes()
    members = next(iter(chat.conversations.values())).members
    assert sorted(note[1:] for note in told if note[0] == "start") == [
        [user, True, "direct", sorted(members)] for user in sorted(members)
    ]
    assert sorted(note[1] for note in told if note[0] == "stop") == sorted(members)
    numbers = [note[1] for note in told if note[0] == "number"]
    assert len(numbers) > 3
    assert numbers == list(range(1, 3 * len(numbers), 3)), "a ping, a noise, a pong"
    got = [note[1:] for note in told if note[0] == "got"]
    assert got[:3] == [[number, max(members), "pong to ping ✓", True] for number in (3, 6, 9)]
    frames = chat.received[min(members)]
    assert any(isinstance(frame, Typing) for frame in frames)
    assert any(isinstance(frame, Read) for frame in frames)
    assert "Traceback" not in started.text()


def test_a_task_that_raises_is_locusts_failure_and_no_hole(locust: Start, system: Path) -> None:
    mine = Mine(system, """
class Clumsy(ChatUser):
    wait_time = constant(0.2)
    @task
    def fail(self):
        self.send(self.conversations[0], "before")
        raise KeyError("mine")
    @task
    def astray(self):
        self.send(self.id, "no conversation")
    @task
    def in_vain(self):
        self.wait_for("what nobody says", timeout_s=0.1)
""")  # fmt: skip
    started = mine.run(locust, system, users=6, until=lambda: len(records(system / "swarm-1", Event.ACK)) > 60)
    verdict = judged(system / "swarm-1")
    assert {0: "valid", 2: "unknown"}[started.process.returncode] == verdict["verdict"], started.text()
    assert "KeyError: 'mine'" in started.text()
    assert "is no conversation of this user: take one of self.conversations" in started.text()
    assert "no such message within 0.1 s" in started.text()
    assert not list((system / "swarm-1" / "history").glob("*hole*"))
    lines = [json.loads(line) for path in (system / "swarm-1" / "history").glob("*.jsonl")
             for line in path.read_text().splitlines()]  # fmt: skip
    assert not [line for line in lines if line["e"] == "hole"]
    assert len(records(system / "swarm-1", Event.SEND)) == table(system)["send -> ack"][0]


def test_refusals_silence_and_absence_are_errors_with_names(locust: Start, chat, system: Path) -> None:
    chat.swallow = lambda _, frame: isinstance(frame, Send) and b"unheard" in frame.body
    mine = Mine(system, """
class Hard(ChatUser):
    @task
    def once(self):
        talk = self.conversations[0]
        self.send(talk, "heard")
        try:
            self.send(talk, "x" * 20_000)
        except ValueError as error:
            note(str(error))
        self.disconnect()
        note(self.online)
        try:
            self.send(talk, "away")
        except NotConnected as error:
            note(str(error))
        self.connect()
        note(self.online)
        note(self.send(talk, "back"))
        try:
            self.send(talk, "unheard", timeout_s=0.3)
        except NoAnswer as error:
            note(str(error))
        self.wait_for("nothing", timeout_s=1000)
""")  # fmt: skip
    mine.run(locust, system, users=1, until=lambda: len(mine.notes()) == 6)
    assert mine.notes() == [
        ["a text of 20000 bytes; at most 15328 are allowed"], [False], ["send after disconnect: call connect first"],
        [True], [2], ["no answer to a send within 0.3 s"],
    ]  # fmt: skip


def test_a_refusal_has_its_reason(locust: Start, chat, system: Path) -> None:
    mine = Mine(system, """
class Outcast(ChatUser):
    @task
    def once(self):
        try:
            self.send(self.conversations[0], "let me in")
        except Refused as error:
            note(str(error))
        self.wait_for("nothing", timeout_s=1000)
""")  # fmt: skip
    started = locust("-f", str(mine.path), "--headless", "-u", "1", "--petrel-dir", str(system))
    wait_until(lambda: bool(chat.conversations))
    for conversation in chat.conversations.values():
        conversation.members.clear()
    wait_until(lambda: bool(mine.notes()), told=started.text)
    assert mine.notes() == [["refused for good: NACK code 128, NOT_MEMBER"]]


def test_a_plan_beside_the_tasks_only_if_its_rate_is_asked_for(locust: Start, system: Path) -> None:
    mine = Mine(system, """
class Rare(ChatUser):
    wait_time = constant(1000)
    @task
    def once(self):
        self.send(self.conversations[0], "one")
""")  # fmt: skip
    mine.run(locust, system, users=6, until=lambda: len(records(system / "swarm-1", Event.ACK)) == 6)
    assert len(records(system / "swarm-1", Event.SEND)) == 6
    mine.run(locust, system, "--petrel-rate", "40", users=6,
             until=lambda: len(records(system / "swarm-2", Event.ACK)) > 60)  # fmt: skip
    judged(system / "swarm-2")


def test_nobody_sends_after_stop_and_a_listener_has_the_last_word(locust: Start, system: Path) -> None:
    mine = Mine(system, """
class Polite(ChatUser):
    wait_time = constant(0.1)
    @task
    def talk(self):
        self.send(self.conversations[0], "hello")
    def on_stop(self):
        note("stop", self.online)
        self.send(self.conversations[0], "goodbye")
        note("sent")
@events.quitting.add_listener
def stricter(environment, **_):
    note("status", environment.process_exit_code in (0, 2))
    environment.process_exit_code = 5
""")  # fmt: skip
    history = system / "swarm-1"
    started = mine.run(locust, system, users=4, until=lambda: len(records(history, Event.ACK)) > 60)
    assert mine.notes() == [["stop", True]] * 4 + [["status", True]]
    assert started.process.returncode == 5
    judged(history)
    assert len(records(history, Event.SEND)) == len(records(history, Event.ACK))
    assert "Traceback" not in started.text()


@pytest.mark.parametrize("way", ["environment", "file"])
def test_options_come_from_locusts_own_configuration(locust: Start, system: Path, way: str) -> None:
    elsewhere = system / "elsewhere"
    elsewhere.mkdir()
    (system / "topology.json").rename(elsewhere / "topology.json")
    mine = Mine(system, "class One(ChatUser):\n    wait_time = constant(0.1)\n    @task\n    def nothing(self):\n"
                        "        pass\n")  # fmt: skip
    (system / "locust.conf").write_text(f"petrel-dir = {elsewhere}\n" if way == "file" else "")
    environment = {"LOCUST_PETREL_DIR": str(elsewhere)} if way == "environment" else {}
    started = locust("-f", str(mine.path), "--headless", "-u", "2", **environment)
    wait_until((elsewhere / "swarm-1" / "swarm.json").exists, told=started.text)


@pytest.mark.parametrize("split", [[], LONG])
def test_a_class_without_a_task_is_64_and_one_line(locust: Start, system: Path, split: list[str]) -> None:
    mine = Mine(system, "class Idle(ChatUser):\n    pass\n")
    started = mine.run(locust, system, *split)
    assert started.process.returncode == 64, started.text()
    said = [line.partition(": ")[2] for line in started.text().splitlines() if "/ERROR/" in line]
    assert said == ["Idle has no task: mark a method with @task, or let tags leave one"]
    assert "Traceback" not in started.text()


def test_tags_that_leave_no_task_are_one_line(locust: Start, system: Path) -> None:
    mine = Mine(system, "class Tagged(ChatUser):\n    @tag('a')\n    @task\n    def rest(self):\n        pass\n")
    started = mine.run(locust, system, "--tags", "b")
    assert started.process.returncode == 70, started.text()
    said = [line.partition(": ")[2] for line in started.text().splitlines() if "/ERROR/" in line]
    assert said == ["Tagged has no task: mark a method with @task, or let tags leave one"]


@pytest.mark.parametrize("split", [[], LONG])
def test_a_stopped_system_is_70_and_one_line(locust: Start, tmp_path: Path, split: list[str]) -> None:
    at(tmp_path, f"http://127.0.0.1:{free_port()}")
    started = locust("-f", EXAMPLE, "--headless", "-u", "2", "-t", "60s", "--petrel-dir", str(tmp_path), *split)
    assert started.process.wait(scaled(30)) == 70, started.text()
    said = [line for line in started.text().splitlines() if "/ERROR/" in line]
    assert len(said) == 1, started.text()
    assert f"start a system with: petrel up --dir {tmp_path}" in said[0]
    assert "Traceback" not in started.text()


def test_a_shape_grows_as_far_as_there_are_devices(locust: Start, system: Path) -> None:
    mine = Mine(system, """
from locust import LoadTestShape
class Some(ChatUser):
    wait_time = constant(0.5)
    @task
    def talk(self):
        self.send(self.conversations[0], "one of many")
class Growing(LoadTestShape):
    def tick(self):
        return (2, 50) if self.get_run_time() < 3 else (12, 50)
""")  # fmt: skip
    history = system / "swarm-1" / "history"
    mine.run(locust, system, "--petrel-devices", "12", users=1,
             until=lambda: len({record[2] for record in records(history.parent, Event.SEND)}) == 12)  # fmt: skip
    assert len(devices_of(history, Event.ONLINE)) == 12


def test_a_plan_and_tasks_live_in_one_test(locust: Start, system: Path) -> None:
    both = f"{LOCUSTFILE},{EXAMPLE}"
    run(both, locust, system, users=12, until=lambda: len(records(system / "swarm-1", Event.ACK)) > 60)
    verdict = judged(system / "swarm-1")
    assert (
        len(records(system / "swarm-1", Event.SEND))
        == verdict["counts"]["sends_acked"]
        == table(system)["send -> ack"][0]
    )


def test_the_page_says_what_the_options_are(locust: Start, system: Path) -> None:
    page = Web(locust, system, "-f", EXAMPLE).get("/")
    assert "Planned sends a second in all" in page
    assert "Most users that there will be" in page


@pytest.mark.long
@pytest.mark.parametrize("split", [[], ["--processes", "2"], ["--stop-timeout", "20"]])
def test_on_the_page_users_come_and_go_and_each_start_is_a_run(locust: Start, system: Path, split: list[str]) -> None:
    web = Web(locust, system, "-f", EXAMPLE, "--petrel-rate", "0", *split)
    for run in (1, 2):
        for count in (20, 30, 8):
            web.users(count)
        assert web.stop()["verdict"].startswith(("verdict valid", "verdict unknown"))
        judged(system / f"swarm-{run}")
        assert len(devices_of(system / f"swarm-{run}" / "history", Event.ONLINE)) >= 30
    web.started.stop()
    assert "Traceback" not in web.started.text()
