"""Reading and writing histories: what is tolerated, what is refused and how it is named, and that nothing is lost."""

import io
import json
import random
from pathlib import Path

import polars as pl
import pytest

from chaos.verdict.history import export
from chaos.verdict.history.history import History, HistoryError, load_jsonl, load_run
from chaos.verdict.history.native import are_whole
from chaos.verdict.judge import judge
from chaos.verdict.model import encode
from chaos.verdict.relations.facts import facts_of
from load.history.events import RECORD_SIZE, Event
from load.history.writer import HistoryWriter
from tests.chaos.verdict.cases import CASES, talk
from tests.chaos.verdict.help import Line, history_of
from tests.chaos.verdict.mutations import MUTATIONS
from tests.chaos.verdict.world import World


def jsonl(tmp_path: Path, text: str | bytes) -> History:
    path = tmp_path / "history.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_jsonl(path)


def write_native(run_dir: Path, lines: list[Line]) -> None:
    """Write integer-id lines as the swarm does: two processes' binary files, and the control lines beside them."""
    directory = run_dir / "history"
    directory.mkdir(parents=True, exist_ok=True)
    writers = [HistoryWriter(directory / f"worker-{n}.bin") for n in range(2)]
    with (directory / "runner.jsonl").open("w") as control:
        for line in lines:
            if line["e"].upper() not in Event.__members__:
                control.write(json.dumps(line) + "\n")
                continue
            fields = {name: line[name] for name in ("t", "due", "device", "conv", "msg", "seq") if name in line}
            fields |= {"hash_": line["hash"]} if "hash" in line else {}
            fields |= {"msg": line["user"]} if "user" in line else {}
            fields |= {"msg": line["by"]} if "by" in line else {}
            fields |= {"device": line["viewer"]} if "viewer" in line else {}
            fields |= {"seq": line["head"]} if "head" in line else {}
            said = line.get("op", line.get("planned", line.get("definite", line.get("kind", line.get("state", 0)))))
            arg = int(said in ("add", True, "read", "online"))
            writers[line.get("device", 0) % 2].append(Event[line["e"].upper()], **fields, arg=arg)
    for writer in writers:
        writer.close()


def exported(history: History) -> bytes:
    stream = io.BytesIO()
    export.write_jsonl(history, stream)
    return stream.getvalue()


# --- the exchange format ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "truncated"),
        ('{"e":"ack","t":1,"device":1', "truncated"),
        ("[1]", "Expected `object`"),
        ("nonsense", "malformed"),
        ('{"e":"online","t":1,"device":1} {"e":"online","t":1,"device":1}', "trailing characters"),
        ('{"e":"online","t":1,"device":1}\r{"e":"online","t":1,"device":1}', "trailing characters"),
        ('{"e":"online",\n"t":1,"device":1}', "truncated"),
        ('{"t":1}', "missing required field `e`"),
        ('{"e":7,"t":1}', "$.e"),
        ('{"e":"online","device":1}', "missing required field `t`"),
        ('{"e":"ack","t":1,"device":1,"conv":1,"msg":1}', "missing required field `seq`"),
        ('{"e":"send","t":1,"device":1,"conv":1,"msg":1,"hash":1}', "missing required field `due`"),
        ('{"e":"nack","t":1,"device":1,"conv":1,"msg":1}', "missing required field `definite`"),
        ('{"e":"fault","t":1,"name":"x","phase":"inject"}', "missing required field `target`"),
        ('{"e":"online","t":"now","device":1}', "$.t"),
        ('{"e":"online","t":1.5,"device":1}', "$.t"),
        ('{"e":"online","t":99999999999999999999,"device":1}', "$.t"),
        ('{"e":"online","t":1,"device":null}', "$.device"),
        ('{"e":"online","t":1,"device":[1]}', "$.device"),
        ('{"e":"ack","t":1,"device":1,"conv":1,"msg":1,"seq":-1}', "$.seq"),
        ('{"e":"member","t":1,"conv":1,"user":1,"op":"ban","seq":0}', "$.op"),
        ('{"e":"receipt","t":1,"device":1,"conv":1,"seq":1,"kind":"eaten","by":1}', "$.kind"),
        ('{"e":"fault","t":1,"name":"x","target":"y","phase":"later"}', "$.phase"),
        ('{"e":"meta","checks":[]}', "$.checks"),
        ('{"e":"online","t":1,"device":"\xff"}'.encode("latin-1"), ""),
        ("[" * 100_000, ""),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_malformed_line_is_named(tmp_path: Path, line: str | bytes, complaint: str) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    good = b'{"e":"online","t":1,"device":1}\n'
    with pytest.raises(HistoryError) as caught:
        jsonl(tmp_path, good * 4 + b"\n" + data + b"\n" + good)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'history.jsonl'}, line 6: ")
    assert complaint in text
    assert "\n" not in text


def test_a_malformed_line_is_named_in_a_later_block(tmp_path: Path) -> None:
    good = json.dumps({"e": "online", "t": 1, "device": 1, "note": "x" * 900}).encode() + b"\n"
    with pytest.raises(HistoryError, match="line 20001: "):
        jsonl(tmp_path, good * 20_000 + b'{"e":"online"}\n')


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(HistoryError, match=str(tmp_path)):
        load_jsonl(tmp_path / name)


def test_other_events_and_fields_are_ignored_whatever_they_hold(tmp_path: Path) -> None:
    history = jsonl(
        tmp_path,
        b"\xef\xbb\xbf"
        b'{"e":"online","device":1,"seq":"not a number here","t":1}\r\n'
        b"\n   \n"
        b'{"e":"cpu","t":"whenever","device":{"a":1}}\n'
        b'{"device":2,"t":2,"e":"online","x":[1,{}]}',
    )
    assert history.events.select("t", "device").rows() == [(1, 1), (2, 2)]
    assert history.notes == ("1 line of the unknown kind 'cpu' not judged",)


def test_an_empty_history_can_be_judged(tmp_path: Path) -> None:
    history = jsonl(tmp_path, "")
    assert judge(history).verdict == "unknown"
    assert exported(history) == b""


@pytest.mark.parametrize(
    "rename",
    [
        lambda value: f"id {value}",
        lambda value: f'quo"te \\ \n {value} ü',
        lambda value: value + (1 << 63),
        str,
        lambda value: -value,
        lambda value: value if value % 2 else str(value),
    ],
    ids=["text", "odd text", "large integers", "digits", "negative", "both"],
)  # fmt: skip
def test_ids_of_any_kind_come_out_as_they_went_in(tmp_path: Path, rename) -> None:
    world = World(random.Random(5), users=4, convs=2, sends=40, faults=0)
    _, mutate = MUTATIONS["one_final_lacks_an_acked_message"]
    assert mutate(world.lines, random.Random(2))
    plain = judge(history_of(world.lines))
    renamed = [
        {
            name: rename(value) if name in ("device", "user", "conv", "msg", "hash", "viewer", "by") else value
            for name, value in line.items()
        }
        for line in world.lines
    ]
    history = history_of(renamed)
    verdict = judge(history)
    assert verdict.counts == plain.counts
    assert [check.verdict for check in verdict.checks] == [check.verdict for check in plain.checks]
    lost, lost_plain = verdict.checks[0].counterexamples[0], plain.checks[0].counterexamples[0]
    assert (lost.conv, lost.msg) == (rename(lost_plain.conv), rename(lost_plain.msg))
    assert set(lost.devices) == {rename(device) for device in lost_plain.devices}
    again = jsonl(tmp_path, exported(history))
    assert encode(judge(again)) == encode(verdict)


@pytest.mark.parametrize("name", ["authors_edits_and_reactions", "pushes_presence_receipts", "numbers_as_ids"])
def test_a_history_and_its_export_are_the_same(tmp_path: Path, name: str) -> None:
    lines = CASES[name].write().lines
    history = history_of(lines)
    text = exported(history)
    again = jsonl(tmp_path, text)
    assert encode(judge(again)) == encode(judge(history))
    assert exported(again) == text
    told = [json.loads(line) for line in text.splitlines()]
    assert sum("author" in line for line in told) == sum("author" in line for line in lines)


def test_one_and_the_text_one_are_two_devices() -> None:
    history = history_of([{"e": "online", "t": 1, "device": 1}, {"e": "online", "t": 1, "device": "1"}])
    assert len(facts_of(history).devices) == 2


# --- our own runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_run_and_its_export_get_the_same_verdict(tmp_path: Path, seed: int) -> None:
    world = World(random.Random(seed), users=4, convs=3, sends=60, faults=2, own=True)
    if seed % 2:
        MUTATIONS[list(MUTATIONS)[seed]][1](world.lines, random.Random(seed))
    world.lines.append({"e": "hole", "t": world.end, "process": "worker-7", "detail": "killed"})
    write_native(tmp_path, world.lines)
    native = load_run(tmp_path)
    verdict = encode(judge(native))
    assert encode(judge(history_of(world.lines))) == verdict
    text = exported(native)
    assert encode(judge(jsonl(tmp_path, text))) == verdict
    times = [json.loads(line)["t"] for line in text.splitlines()]
    assert times == sorted(times)
    assert len(times) == len(world.lines)


def test_parquet_holds_events_and_control_lines(tmp_path: Path) -> None:
    history = history_of(talk().read_back(60).lines)
    path = tmp_path / "history.parquet"
    export.write_parquet(history, path)
    frame = pl.read_parquet(path)
    assert frame.height == history.events.height
    assert set(frame.filter(pl.col("e") == "send")["msg"]) == {"hello", "hi", "news"}
    assert pl.read_parquet_metadata(path)[export.CONTROL_KEY] == ""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with one binary file of 6 records, properly closed."""
    (tmp_path / "history").mkdir()
    writer = HistoryWriter(tmp_path / "history" / "worker-1.bin")
    for t in range(1, 7):
        writer.append(Event.ONLINE, t=t, device=t)
    writer.close()
    return tmp_path


def damage(run_dir: Path, change) -> None:
    path = run_dir / "history" / "worker-1.bin"
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))


def test_a_closed_file_has_no_hole(run_dir: Path) -> None:
    history = load_run(run_dir)
    assert history.events.height == 6
    assert not history.holes


@pytest.mark.parametrize("cut", [1, 4, 5, 32, 63])
def test_a_torn_last_record_is_left_out_and_told(run_dir: Path, cut: int) -> None:
    damage(run_dir, lambda data: data[:-cut])
    history = load_run(run_dir)
    assert history.events["t"].to_list() == [1, 2, 3, 4, 5]
    assert history.holes[0].process == "worker-1"
    assert "torn record 5 at byte 320" in history.notes[0]
    verdict = judge(history)
    assert verdict.verdict == "unknown"
    assert "torn record 5" in next(check for check in verdict.checks if check.name == "vacuity").detail


@pytest.mark.parametrize("keep", [1, 30, 60, 63])
def test_a_torn_record_before_the_unused_rest(run_dir: Path, keep: int) -> None:
    damage(run_dir, lambda data: data[: 5 * RECORD_SIZE + keep] + bytes(10 * RECORD_SIZE - keep))
    history = load_run(run_dir)
    assert history.events.height == 5
    assert "torn record 5 at byte 320" in history.notes[0]


def test_a_file_that_was_never_closed_is_a_hole(run_dir: Path) -> None:
    damage(run_dir, lambda data: data + bytes(100 * RECORD_SIZE))
    history = load_run(run_dir)
    assert history.events.height == 6
    assert "not closed after record 6" in history.notes[0]
    damage(run_dir, lambda data: bytes(len(data)))
    assert load_run(run_dir).events.height == 0


def test_one_checksum_of_many_records_finds_every_bit(run_dir: Path) -> None:
    data = bytearray((run_dir / "history" / "worker-1.bin").read_bytes()[: 3 * RECORD_SIZE])
    assert are_whole(memoryview(data))
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert not are_whole(memoryview(data))
        data[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("record", range(5))
@pytest.mark.parametrize("offset", [0, 20, 56, 63])
def test_a_damaged_record_in_the_middle_is_refused(run_dir: Path, record: int, offset: int) -> None:
    def flip(data: bytearray) -> bytearray:
        data[record * RECORD_SIZE + offset] ^= 1
        return data

    damage(run_dir, flip)
    with pytest.raises(HistoryError, match=rf"worker-1.bin: record {record} at byte {record * RECORD_SIZE} .*checksum"):
        load_run(run_dir)


def test_an_empty_record_in_the_middle_is_refused(run_dir: Path) -> None:
    damage(run_dir, lambda data: data[:128] + bytes(64) + data[192:])
    with pytest.raises(HistoryError, match="record 2 at byte 128 is empty, but there is data again from byte 192"):
        load_run(run_dir)
    damage(run_dir, lambda data: data[:128] + bytes(128) + b"x")
    with pytest.raises(HistoryError, match="record 2 at byte 128 is empty"):
        load_run(run_dir)


def test_damage_before_a_torn_tail_is_refused(run_dir: Path) -> None:
    def change(data: bytearray) -> bytearray:
        data[5 * RECORD_SIZE] ^= 1
        return data + b"torn"

    damage(run_dir, change)
    with pytest.raises(HistoryError, match="record 5 at byte 320"):
        load_run(run_dir)


def test_an_empty_file_is_a_process_without_events(run_dir: Path) -> None:
    (run_dir / "history" / "worker-2.bin").touch()
    assert not load_run(run_dir).holes


def test_unknown_kinds_are_ignored(run_dir: Path) -> None:
    writer = HistoryWriter(run_dir / "history" / "later.bin")
    writer.append(200, t=9, device=1)
    writer.close()
    assert load_run(run_dir).events.height == 6


def test_control_lines(run_dir: Path) -> None:
    path = run_dir / "history" / "runner.jsonl"
    path.write_text('{"e":"phase","t":1,"name":"steady"}\n{"e":"phase","t":2,"na')
    history = load_run(run_dir)
    assert history.phase("steady") == 1
    assert history.holes[0].detail == "torn last line of runner.jsonl"
    path.write_text('{"e":"phase","t":1,"name":"steady"}\n{"e":"phase","t":2,"na\n')
    with pytest.raises(HistoryError, match=r"runner\.jsonl, line 2: "):
        load_run(run_dir)
    path.write_text('{"e":"phase","t":1}')
    with pytest.raises(HistoryError, match=r"runner\.jsonl, line 1: .*name"):
        load_run(run_dir)


def test_a_part_of_a_run_is_refused(run_dir: Path) -> None:
    history = run_dir / "history"
    (history / "swarm-2.jsonl").touch()  # of a process that did not get far
    (run_dir / "schedule.yaml").touch()
    with pytest.raises(HistoryError, match=r"meta\.jsonl: missing; this copy of the run is incomplete"):
        load_run(run_dir)
    (history / "meta.jsonl").write_text('{"e":"meta"}\n')
    assert load_run(run_dir).events.height == 6
    (history / "swarm-2.jsonl").write_text('{"e":"phase","t":1,"name":"steady"}\n')
    with pytest.raises(HistoryError, match=r"swarm-2\.bin: missing; this copy of the run is incomplete"):
        load_run(run_dir)
    (history / "swarm-2.bin").touch()
    assert load_run(run_dir).events.height == 6


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no such directory"):
        load_run(tmp_path)
    (tmp_path / "history").mkdir()
    with pytest.raises(HistoryError, match="no history files"):
        load_run(tmp_path)
