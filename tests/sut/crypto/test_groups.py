"""Group messages with sender keys: loss and order, who joins reads from then on, who is removed reads no more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sut.crypto import envelope as envelopes
from sut.crypto.account import Account
from sut.crypto.errors import CryptoError, Refused, Repeated, Unreadable
from sut.crypto.sender_key import MAX_SKIPPED, Distribution, Follower, new_chain
from tests.sut.crypto.people import CONV, People

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def crowd(count: int) -> tuple[People, list[Account]]:
    people = People()
    return people, [people.join(user) for user in range(1, count + 1)]


def test_a_group_talks_and_the_key_is_handed_out_once() -> None:
    people, (alice, bob, carol) = crowd(3)
    first = people.group(alice, [1, 2, 3], b"hello all")
    assert len(first) == 1, "the keys of so few ride with the message"
    second = people.group(alice, [1, 2, 3], b"again")
    assert len(second[0]) == envelopes.group_size(len(b"again"))
    for reader in (bob, carol):
        assert people.read_all(reader, alice, first) == b"hello all"
        assert people.read_all(reader, alice, second) == b"again"
        assert people.read_all(alice, reader, people.group(reader, [1, 2, 3], b"hi")) == b"hi"


@SLOW
@given(data=st.data())
def test_any_order_loss_and_repetition_once_the_key_is_there(data: st.DataObject) -> None:
    people, (alice, bob) = crowd(2)
    people.read_all(bob, alice, people.group(alice, [1, 2], b"first"))
    texts = [f"message {i}".encode() for i in range(data.draw(st.integers(1, 12)))]
    bodies = [(people.group(alice, [1, 2], text)[0], text) for text in texts]
    arriving = data.draw(st.permutations(bodies))[: data.draw(st.integers(0, len(bodies)))]
    for body, text in arriving:
        assert people.read(bob, alice, body) == text
        if data.draw(st.booleans()):
            with pytest.raises(Repeated):
                people.read(bob, alice, body)


def test_who_is_removed_cannot_read_on_though_all_bytes_are_there() -> None:
    people, (alice, bob, carol) = crowd(3)
    for sender in (alice, bob, carol):
        bodies = people.group(sender, [1, 2, 3], b"all three")
        for reader in {alice, bob, carol} - {sender}:
            assert people.read_all(reader, sender, bodies) == b"all three"
    for sender, reader in ((alice, bob), (bob, alice)):
        bodies = people.group(sender, [1, 2], b"without carol")
        assert people.read_all(reader, sender, bodies) == b"without carol"
        for body in bodies:
            with pytest.raises(Unreadable):
                people.read(carol, sender, body)
        later = people.group(sender, [1, 2], b"still without carol")
        with pytest.raises(Unreadable):
            people.read_all(carol, sender, later)


def test_who_joins_cannot_read_what_was_before() -> None:
    people, (alice, bob, carol) = crowd(3)
    before = people.group(alice, [1, 2], b"before carol")
    people.read_all(bob, alice, before)
    after = people.group(alice, [1, 2, 3], b"with carol")
    assert people.read_all(bob, alice, after) == b"with carol"
    assert people.read_all(carol, alice, after) == b"with carol"
    with pytest.raises(Unreadable):
        people.read_all(carol, alice, before)


def test_a_revoked_device_cannot_read_on() -> None:
    people, (alice, bob) = crowd(2)
    phone = people.second(bob, 22)
    bodies = people.group(alice, [1, 2], b"both")
    assert people.read_all(phone, alice, bodies) == people.read_all(bob, alice, bodies) == b"both"
    people.publish_list(2, bob.unlink(22))
    people.fetch(alice, [2])
    after = people.group(alice, [1, 2], b"only the first")
    assert people.read_all(bob, alice, after) == b"only the first"
    with pytest.raises(Unreadable):
        people.read_all(phone, alice, after)


def test_a_revoked_device_is_not_believed_any_more() -> None:
    people, (alice, bob) = crowd(2)
    phone = people.second(bob, 22)
    people.fetch(phone, [1, 2])
    assert people.read_all(alice, phone, people.group(phone, [1, 2], b"while it was bob's")) == b"while it was bob's"
    stolen = phone.seal_group(CONV, [1, 2], b"now it is a thief's")[0]
    bob.unlink(22)
    alice.learn(2, bob.device_list, [])
    with pytest.raises(Unreadable):
        alice.open(CONV, sender=phone.address, body=stolen)
    assert people.read_all(alice, bob, people.group(bob, [1, 2], b"from bob")) == b"from bob"


def test_a_member_cannot_write_in_anothers_name() -> None:
    """Bob knows Alice's chain key, but not her signing key."""
    people, (alice, bob, carol) = crowd(3)
    body = people.group(alice, [1, 2, 3], b"from alice")[0]
    assert people.read(carol, alice, body) == b"from alice"
    assert people.read(bob, alice, body) == b"from alice"
    mine = people.group(bob, [1, 2, 3], b"from bob, really")[0]
    people.fetch(carol, [2])
    follower = bob._ring.followers[CONV, 1]
    bob._ring.chains[CONV].chain = follower.chains[0].chain
    bob._ring.chains[CONV].iteration = follower.chains[0].iteration
    bob._ring.chains[CONV].chain_key = follower.chains[0].chain_key
    forged = bob.seal_group(CONV, [1, 2, 3], b"from alice, honestly")[0]
    with pytest.raises(Refused, match="signature"):
        carol.open(CONV, sender=alice.address, body=forged)
    assert people.read(carol, bob, mine) == b"from bob, really"


@SLOW
@given(data=st.data())
def test_a_changed_envelope_is_refused_and_the_good_one_is_still_read(data: st.DataObject) -> None:
    people, (alice, bob) = crowd(2)
    people.read_all(bob, alice, people.group(alice, [1, 2], b"key"))
    body = people.group(alice, [1, 2], b"a message of some length")[0]
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytes((*body[:at], body[at] ^ data.draw(st.integers(1, 255)), *body[at + 1 :]))
    with pytest.raises(CryptoError):
        bob.open(CONV, sender=alice.address, body=changed)
    assert people.read(bob, alice, body) == b"a message of some length"


def test_a_member_whose_add_the_sender_had_not_seen_asks_and_reads() -> None:
    people, (alice, bob, carol) = crowd(3)
    people.read_all(bob, alice, people.group(alice, [1, 2], b"key"))
    crossed = people.group(alice, [1, 2], b"sent while carol was being added")
    people.fetch(carol, [1])
    with pytest.raises(Unreadable):
        people.read_all(carol, alice, crossed)
    people.fetch(carol, [1])
    asking = carol.ask_again(CONV, sender=alice.address, bodies=crossed)
    people.fetch(alice, [3])
    asked = alice.open(CONV, sender=carol.address, body=asking).asked
    (answer,) = alice.answer(CONV, asker=carol.address, refs=asked)
    assert carol.open(CONV, sender=alice.address, body=answer).unlocked == asked
    assert people.read_all(carol, alice, crossed) == b"sent while carol was being added"
    after = people.group(alice, [1, 2, 3], b"now with carol")
    assert people.read_all(carol, alice, after) == b"now with carol"


def test_the_keys_of_many_come_before_the_message_in_bodies_of_their_own() -> None:
    people, accounts = crowd(200)
    alice, users = accounts[0], range(1, 201)
    bodies = people.group(alice, users, bytes(2000))
    assert len(bodies) == 3
    assert all(len(body) <= envelopes.MAX_BODY for body in bodies)
    for reader in (accounts[1], accounts[80], accounts[199]):
        assert people.read_all(reader, alice, bodies) == bytes(2000)


def test_skipped_keys_are_bounded() -> None:
    chain = new_chain()
    follower = Follower()
    follower.follow(chain.distribution)
    keys = [chain.step()[1] for _ in range(2 * MAX_SKIPPED + 3)]
    followed = follower.chains[0]
    with pytest.raises(Unreadable, match="skips more"):
        followed.key_of(MAX_SKIPPED + 1)
    assert followed.key_of(MAX_SKIPPED) == keys[MAX_SKIPPED]
    followed.used(MAX_SKIPPED)
    followed.used(2 * MAX_SKIPPED + 1)
    assert len(followed.skipped) == MAX_SKIPPED
    assert followed.key_of(2 * MAX_SKIPPED) == keys[2 * MAX_SKIPPED]
    with pytest.raises(Repeated):
        followed.key_of(0)


def test_a_chain_that_comes_again_does_not_go_back() -> None:
    chain = new_chain()
    follower = Follower()
    given_at_first = chain.distribution
    follower.follow(given_at_first)
    follower.chains[0].used(4)
    follower.follow(given_at_first)
    assert follower.chains[0].iteration == 5
    other = Distribution(given_at_first.chain, 0, bytes(32), bytes(32))
    follower.follow(other)
    assert follower.chains[0].iteration == 0, "the sender began anew under a number that it does not remember"
