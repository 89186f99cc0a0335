"""Prekeys whose numbers come twice: a service put back to a backup hands them out again, a device makes them again."""

from __future__ import annotations

import copy

import pytest

from sut.crypto import prekeys
from sut.crypto.account import Account
from sut.crypto.errors import Unreadable
from tests.sut.crypto.people import CONV, NOW_S, People


def pair(*, one_time: int = 10) -> tuple[People, Account, Account]:
    people = People()
    return people, people.join(1, one_time=one_time), people.join(2, one_time=one_time)


def put_back(people: People, backup: People) -> None:
    """The service restores its shelf; the devices keep what they have."""
    people._published, people._one_time = backup._published, backup._one_time


def backup_of(people: People) -> People:
    made = People()
    made._published, made._one_time = copy.deepcopy(people._published), copy.deepcopy(people._one_time)
    return made


def repaired(people: People, reader: Account, writer: Account, body: bytes) -> bytes | None:
    """The reader asks the writer for the message, who answers; what it then opens to."""
    people.fetch(reader, [writer.address[0]])
    asking = reader.ask_again(CONV, sender=writer.address, bodies=[body])
    opened = writer.open(CONV, sender=reader.address, body=asking)
    for answer in writer.answer(CONV, asker=reader.address, refs=opened.asked):
        assert reader.open(CONV, sender=writer.address, body=answer).unlocked == opened.asked
    return people.read(reader, writer, body)


def test_a_prekey_that_a_restored_service_hands_out_again_delays_the_message_and_no_more() -> None:
    """Both people's first prekeys are used ones: the request for the message must not need any."""
    people, alice, bob = pair()
    backup = backup_of(people)
    carol, dave = people.join(3), people.join(4)
    for one, other in ((carol, bob), (dave, bob), (carol, alice), (dave, alice)):
        assert people.read(other, one, people.direct(one, [other.address[0]], b"meanwhile")) == b"meanwhile"
    put_back(people, backup)
    bodies = [people.direct(alice, [2], text) for text in (b"one", b"two")]
    for body in bodies:
        with pytest.raises(Unreadable, match="one-time prekey that it uses is gone"):
            people.read(bob, alice, body)
    assert repaired(people, bob, alice, bodies[0]) == b"one"
    assert people.read(bob, alice, people.direct(alice, [2], b"three")) == b"three"
    assert repaired(people, bob, alice, bodies[1]) == b"two"


def test_a_number_that_stands_for_another_key_on_a_restored_device_is_asked_for() -> None:
    """The copy makes prekeys with numbers that the run after it had published with other keys."""
    people, alice, bob = pair(one_time=1)
    yesterday = bob.state()
    bob.tend(now_s=NOW_S, one_time_left=1)
    people.publish(bob)
    people._one_time[2].pop(0)
    people.fetch(alice, [2])  # a prekey of the run that is lost
    bob = Account.restore(yesterday)
    bob.tend(now_s=NOW_S, one_time_left=1)
    body = people.direct(alice, [2], b"to the one that was")
    with pytest.raises(Unreadable, match="not encrypted to the keys of this device"):
        people.read(bob, alice, body)
    assert repaired(people, bob, alice, body) == b"to the one that was"


def test_a_signed_prekey_of_a_run_that_is_lost_is_asked_for() -> None:
    people, alice, bob = pair(one_time=0)
    yesterday = bob.state()
    bob.tend(now_s=NOW_S + prekeys.SIGNED_PREKEY_S, one_time_left=100)
    people.publish(bob)
    body = people.direct(alice, [2], b"x")
    bob = Account.restore(yesterday)
    with pytest.raises(Unreadable, match="signed prekey that it uses is gone"):
        people.read(bob, alice, body)
    people.publish(bob)
    assert repaired(people, bob, alice, body) == b"x"


def test_a_restored_device_numbers_its_next_keys_above_all_that_it_ever_published() -> None:
    _people, _alice, bob = pair()
    yesterday = bob.state()
    bob.tend(now_s=NOW_S, one_time_left=0)
    highest = max(number for number, _ in bob.publication().one_time)
    bob = Account.restore(yesterday)
    bob.published(bob.publication(), highest=highest)
    bob.tend(now_s=NOW_S + prekeys.SIGNED_PREKEY_S, one_time_left=0)
    made = bob.publication()
    assert min(made.signed_number, *(number for number, _ in made.one_time)) > highest


def test_a_signed_prekey_made_by_a_clock_that_was_ahead_is_replaced_once() -> None:
    """Otherwise it would stay until the clock has caught up, a year later, say."""
    _, alice, _ = pair()
    made = alice.publication().signed_number
    alice.tend(now_s=NOW_S - 3600, one_time_left=100)
    assert alice.publication().signed_number == made, "clocks are corrected all the time"
    alice.tend(now_s=NOW_S - 365 * 86_400, one_time_left=100)
    last = alice.publication().signed_number
    assert last > made
    alice.tend(now_s=NOW_S - 365 * 86_400 + 60, one_time_left=100)
    assert alice.publication().signed_number == last
