"""The story of a message: the devices that matter first, bounded both ways, with what was going on around it."""

from pathlib import Path

import msgspec

from chaos.verdict.history.history import History, load_jsonl
from chaos.verdict.judge import judge
from dashboards.report.story import MAX_COLUMNS, MAX_ROWS, StoryTable, stories

SECOND = 10**9


def history_of(path: Path, events: list[dict[str, object]]) -> History:
    path.write_bytes(b"\n".join(msgspec.json.encode(event) for event in events))
    return load_jsonl(path)


def group(members: int) -> list[dict[str, object]]:
    """A conversation whose first device sends one message."""
    found: list[dict[str, object]] = []
    for who in range(1, members + 1):
        found.append({"e": "device", "t": 0, "device": who, "user": who})
        found.append({"e": "member", "t": 0, "conv": 9, "user": who, "op": "add", "seq": 0})
    return [
        *found,
        {"e": "send", "t": 10 * SECOND, "due": 10 * SECOND, "device": 1, "conv": 9, "msg": 5, "hash": 77},
        {"e": "ack", "t": 10 * SECOND + 4_000_000, "device": 1, "conv": 9, "msg": 5, "seq": 1},
    ]


def copies(device: int, *, t_s: float = 10.01, seq: int = 1) -> list[dict[str, object]]:
    at = {"t": round(t_s * SECOND), "device": device, "conv": 9, "seq": seq, "msg": 5, "hash": 77}
    return [
        at | {"e": "wire"},
        at | {"e": "show"},
        at | {"e": "final", "t": 30 * SECOND},
        {"e": "final_done", "t": 30 * SECOND, "device": device, "conv": 9, "head": seq},
    ]


def told(path: Path, events: list[dict[str, object]]) -> StoryTable:
    history = history_of(path, events)
    story = next(iter(stories(judge(history), history, most=1)), None)
    assert story is not None
    return story


def test_the_sender_and_the_device_that_lacks_it_come_first(tmp_path: Path) -> None:
    events = group(40)
    for device in range(1, 41):
        events += copies(device)[: 3 if device == 33 else 4]
    events = [event for event in events if not (event.get("device") == 33 and event["e"] in {"wire", "show", "final"})]
    events.append({"e": "final_done", "t": 30 * SECOND, "device": 33, "conv": 9, "head": 0})
    crash = {"e": "fault", "name": "chat_crash", "target": "chat-1"}
    events += [crash | {"t": 20 * SECOND, "phase": "inject"}, crash | {"t": 21 * SECOND, "phase": "heal"}]
    story = told(tmp_path / "h.jsonl", events)
    assert story.check == "acked_lost"
    assert story.columns[:2] == ["device 1 (sender)", "device 33"]
    assert len(story.columns) == MAX_COLUMNS
    missing = [row for row in story.rows if row.kind == "missing"]
    assert [row.cells[1] for row in missing] == ["read all back, up to number 0, and this message is not in it"]
    assert "f1 chat_crash chat-1: injected" in [row.world for row in story.rows]
    assert "35 more devices" in story.notes[0]
    added = [row for row in story.rows if row.kind == "member"]
    assert len(added) == 1
    assert "and 34 more" in added[0].world
    assert added[0].world.startswith("user 1 added at the creation; user 2 added")
    assert all(any(row.cells) != bool(row.world) for row in story.rows)
    read_back = [row for row in story.rows if row.kind == "final"]
    assert [[bool(cell) for cell in row.cells] for row in read_back] == [[True, False, True, True, True]]
    assert "received and showed it as number 1" in [row.cells[2] for row in story.rows if row.kind == "wire"]


def test_a_long_story_is_cut_and_says_so(tmp_path: Path) -> None:
    events = group(2) + copies(1)
    for again in range(MAX_ROWS):
        events += copies(2, t_s=11 + again / 100)[:2]
    story = told(tmp_path / "h.jsonl", events + copies(2, t_s=13)[2:])
    assert story.check == "duplicates"
    assert len(story.rows) == MAX_ROWS
    assert "rows are shown" in story.notes[-1]


def test_a_second_display_at_the_same_instant_is_told(tmp_path: Path) -> None:
    events = group(2) + copies(1) + copies(2)[:2] + copies(2)[1:]
    story = told(tmp_path / "h.jsonl", events)
    assert story.check == "duplicates"
    assert [row.cells[1] for row in story.rows if row.kind in {"wire", "show"} and row.cells[1]] == [
        "received and showed it as number 1",
        "showed it as number 1",
    ]


def test_faults_and_connections_around_the_message_are_told(tmp_path: Path) -> None:
    events = group(2) + copies(1) + copies(2, t_s=12)[:1] + copies(2, t_s=12)[1:2] * 2 + copies(2, t_s=12)[2:]
    events += [
        {"e": "online", "t": 1 * SECOND, "device": 2},
        {"e": "offline", "t": round(9.5 * SECOND), "device": 2, "planned": False},
        {"e": "online", "t": 11 * SECOND, "device": 2},
        {"e": "fault", "t": 9 * SECOND, "name": "gateway_kill", "target": "gateway-1", "phase": "inject"},
        {"e": "fault", "t": 11 * SECOND, "name": "gateway_kill", "target": "gateway-1", "phase": "heal"},
    ]
    rows = told(tmp_path / "h.jsonl", events).rows
    assert [row.world for row in rows if row.kind == "fault"] == [
        "f1 gateway_kill gateway-1: injected",
        "f1 gateway_kill gateway-1: healed",
    ]
    assert [row.cells[1] for row in rows if row.kind in {"online", "offline"}] == ["connection lost", "online"]


def test_a_valid_run_has_no_story(tmp_path: Path) -> None:
    history = history_of(tmp_path / "h.jsonl", group(2) + copies(1) + copies(2))
    verdict = judge(history)
    assert verdict.verdict == "valid", [check for check in verdict.checks if check.verdict != "valid"]
    assert stories(verdict, history, most=3) == []
