"""Numbers of messages where the system has none: by id, else by place in the history, and a lost one leaves a hole."""

from chaos.targets.record import Record, message_of, ranked, text_of
from chaos.targets.target import Message


def copies(kind: str, device: str, *messages: tuple[int, int]) -> list[dict]:
    """Events of one room: (message, id)."""
    return [{"e": kind, "conv": "r", "device": device, "msg": msg, "seq": number} for msg, number in messages]


def numbers(events: list[dict]) -> list[int]:
    return [event["seq"] for event in ranked(events)]


def test_ids_become_ranks_over_all_that_was_seen() -> None:
    events = [*copies("show", "a", (1, 500), (2, 900)), *copies("final", "a", (1, 500), (3, 700), (2, 900))]
    assert numbers(events) == [1, 3, 1, 2, 3]


def test_two_messages_with_one_id_stay_one_number() -> None:
    assert numbers(copies("show", "a", (1, 5), (2, 5))) == [1, 1]


def test_without_ids_the_place_in_the_longest_history_counts() -> None:
    events = [
        *copies("show", "a", (7, 0), (8, 0)), *copies("final", "a", (8, 0)), *copies("final", "b", (8, 0), (7, 0)),
    ]  # fmt: skip
    assert numbers(events) == [2, 1, 1, 1, 2]


def test_a_message_in_no_history_leaves_a_hole_where_it_was_shown() -> None:
    events = [*copies("show", "a", (1, 0), (2, 0), (3, 0)), *copies("final", "a", (1, 0), (3, 0))]
    assert numbers(events) == [1, 2, 3, 1, 3]


def test_acknowledged_messages_that_nobody_saw_stand_where_they_were_new() -> None:
    acks = copies("ack", "a", (8, 0), (9, 0), (1, 0), (7, 0))
    assert numbers([*acks, *copies("final", "a", (1, 0), (2, 0))]) == [1, 2, 3, 4, 3, 5]


def test_one_id_that_is_missing_makes_the_place_count() -> None:
    assert numbers([*copies("ack", "a", (2, 0)), *copies("final", "a", (1, 2), (2, 1))]) == [2, 1, 2]


def test_the_head_is_that_of_the_devices_own_reading() -> None:
    record = Record(numbered=False)
    record.acknowledged("a", "r", 1, 10)
    record.acknowledged("a", "r", 2, 20)
    record.read_back("a", "r", [Message("r", text_of(1), 10)])
    record.read_back("b", "r", [Message("r", text_of(1), 10), Message("r", text_of(2), 20)])
    heads = [event["head"] for event in ranked(record._events) if event["e"] == "final_done"]
    assert heads == [1, 2]


def test_a_text_names_its_message_and_a_changed_one_is_another() -> None:
    assert message_of(text_of(12)) == 12
    assert message_of("hello") == "hello"
    assert message_of("petrel-x y") == "petrel-x y"
