"""Probes: who asks for what of others, and that what comes is in the history for `leaks` to see."""

import asyncio
from pathlib import Path

import pytest

from load import workload as configs
from load.drive.probe import draw
from load.history.events import Event, message_id
from load.history.writer import HistoryTail, HistoryWriter
from load.readback import readback
from load.workload import SwarmConfig
from sut.protocol.frames import Fetch, Message, Page

KNOWN = {user: {user % 5, 5} for user in range(1, 101)}


def test_a_share_of_the_users_asks_for_what_is_not_theirs_and_a_seed_draws_the_same() -> None:
    probes = draw(KNOWN, share=0.3, seed=1, users=range(1, 101))
    assert probes == draw(KNOWN, share=0.3, seed=1, users=range(1, 101))
    assert probes != draw(KNOWN, share=0.3, seed=2, users=range(1, 101))
    assert 15 <= len(probes) <= 45
    assert all(conv not in KNOWN[user] for user, conv in probes.items())
    assert draw(KNOWN, share=0.0, seed=1, users=range(1, 101)) == {}
    assert draw({1: {5}, 2: {5}}, share=1.0, seed=1, users=range(1, 3)) == {}
    assert draw({1: {5}}, share=1.0, seed=1, users=range(2, 3)) == {2: 5}


@pytest.mark.parametrize("leaks", [False, True])
def test_the_read_back_probes_and_notes_what_comes(chat, tmp_path: Path, leaks: bool) -> None:
    from types import SimpleNamespace

    row = Message(10, 1, 0, 1, 1, 1, b"between us")
    chat.conversations = {
        10: SimpleNamespace(kind="direct", members={1, 2}, rows=[row], past=set()),
        11: SimpleNamespace(kind="group", members={1, 2, 3}, rows=[], past=set()),
    }
    asked = []

    def swallow(device: int, frame: object) -> bool:
        if isinstance(frame, Fetch) and device == 3 and frame.conv == 10:
            asked.append(frame)
            if leaks:
                chat.told = asyncio.ensure_future(chat._tell(3, Page(frame.req, 10, 1, 1, (row,))))
            return leaks
        return False

    chat.swallow = swallow
    config = SwarmConfig(
        seed=1, users=3, api_url=chat.api_url, api_key="key", history_dir=str(tmp_path / "history"), probe_share=1.0
    )
    config.history.mkdir()
    with_members = HistoryWriter(config.history / "swarm-1.bin")
    for conv, c in chat.conversations.items():
        for user in sorted(c.members):
            with_members.append(Event.MEMBER, conv=conv, msg=user, arg=1)
    with_members.close()
    configs.save(config, tmp_path / "swarm.json")
    assert readback.main([str(tmp_path / "swarm.json")]) == 0
    (path,) = config.history.glob("readback-*.bin")
    records = HistoryTail(path).read()
    came = [(record[2], record[3], record[4], record[5]) for record in records if record[7] == Event.WIRE]
    assert len(asked) == 1
    assert came == ([(3, 10, message_id(1, 1), 1)] if leaks else [])
    assert sum(record[7] == Event.FINAL_DONE for record in records) == 5, "the probe comes after the read-back"
