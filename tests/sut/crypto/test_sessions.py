"""1:1 messages over Double Ratchet sessions: any loss, order and repetition; several devices; repair; no forgery."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sut.crypto import envelope as envelopes
from sut.crypto.account import Account
from sut.crypto.errors import (
    CryptoError,
    IdentityChanged,
    Malformed,
    NoSession,
    Refused,
    Repeated,
    TooLarge,
    Unreadable,
)
from sut.crypto.fingerprint import device_code
from sut.crypto.prekeys import SIGNED_PREKEY_S
from tests.sut.crypto.people import CONV, NOW_S, People

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pair() -> tuple[People, Account, Account]:
    people = People()
    return people, people.join(1), people.join(2)


def test_two_people_talk() -> None:
    people, alice, bob = pair()
    first = people.direct(alice, [2], b"hello")
    assert people.read(bob, alice, first) == b"hello"
    answer = people.direct(bob, [1], b"hello yourself")
    assert people.read(alice, bob, answer) == b"hello yourself"
    assert b"hello" not in first
    assert people.taken[0] == (2, 2), "the session began with a one-time prekey"


def test_first_messages_go_on_until_an_answer_and_get_shorter_then() -> None:
    people, alice, bob = pair()
    bodies = [people.direct(alice, [2], b"x") for _ in range(3)]
    assert people.read(bob, alice, bodies[2]) == b"x", "the first two are lost or late"
    assert people.read(bob, alice, bodies[0]) == b"x"
    people.read(alice, bob, people.direct(bob, [1], b"y"))
    after = people.direct(alice, [2], b"x")
    assert len(after) == len(bodies[0]) - envelopes.OPENING_BYTES
    assert people.read(bob, alice, after) == b"x"


@SLOW
@given(
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1, max_size=24),
    data=st.data(),
)
def test_any_order_loss_and_repetition(steps: list[tuple[str, int]], data: st.DataObject) -> None:
    """Every body that arrives is read once, whatever else arrives before, after or never."""
    people, alice, bob = pair()
    accounts = {"a": alice, "b": bob}
    under_way: dict[str, list[tuple[bytes, bytes]]] = {"a": [], "b": []}  # to whom -> (body, text)
    read: dict[str, list[bytes]] = {"a": [], "b": []}
    for turn, (who, arrive) in enumerate(steps):
        other = "b" if who == "a" else "a"
        text = f"{turn} from {who}".encode()
        under_way[other].append((people.direct(accounts[who], [accounts[other].address[0]], text), text))
        for _ in range(min(arrive, len(under_way[who]))):
            body, expected = under_way[who].pop(data.draw(st.integers(0, len(under_way[who]) - 1)))
            assert people.read(accounts[who], accounts[other], body) == expected
            read[who].append(body)
            if data.draw(st.booleans()):
                with pytest.raises(Repeated):
                    people.read(accounts[who], accounts[other], body)
    for who, other in (("a", "b"), ("b", "a")):
        for body, expected in data.draw(st.permutations(under_way[who])):
            if data.draw(st.booleans()):
                assert people.read(accounts[who], accounts[other], body) == expected


@SLOW
@given(data=st.data())
def test_a_changed_envelope_is_refused_and_the_good_one_is_still_read(data: st.DataObject) -> None:
    people, alice, bob = pair()
    people.read(bob, alice, people.direct(alice, [2], b"begin"))
    people.read(alice, bob, people.direct(bob, [1], b"answer"))
    body = people.direct(alice, [2], b"a secret of some length")
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytes((*body[:at], body[at] ^ data.draw(st.integers(1, 255)), *body[at + 1 :]))
    with pytest.raises(CryptoError):
        bob.open(CONV, sender=alice.address, body=changed)
    assert people.read(bob, alice, body) == b"a secret of some length"


@SLOW
@given(body=st.binary(max_size=300))
def test_bytes_of_any_kind_are_an_error_of_ours(body: bytes) -> None:
    people, alice, bob = pair()
    people.fetch(bob, [1])
    for data in (body, bytes([envelopes.MAGIC]) + body):
        with pytest.raises(CryptoError):
            bob.open(CONV, sender=alice.address, body=data)


def test_an_envelope_is_bound_to_its_conversation_and_its_sender() -> None:
    people, alice, bob = pair()
    mallory = people.join(3)
    body = people.direct(alice, [2], b"for this conversation")
    people.fetch(bob, [1, 3])
    with pytest.raises(CryptoError):
        bob.open(CONV + 1, sender=alice.address, body=body)
    with pytest.raises(CryptoError):
        bob.open(CONV, sender=mallory.address, body=body)
    assert people.read(bob, alice, body) == b"for this conversation"


def test_a_recipient_cannot_give_its_key_to_another_payload() -> None:
    """Bob knows the payload key; with the service's help he swaps the payload for his other device to read."""
    people, alice, bob = pair()
    tablet = people.second(bob, 22)
    people.fetch(alice, [2])
    body = people.direct(alice, [2], b"pay 10")
    parsed = envelopes.parse(body)
    own = next(section for section in parsed.sections if section.device == 22)
    forged = envelopes.encode(parsed._replace(sections=(own,), payload=parsed.payload[::-1]))
    people.fetch(tablet, [1])
    with pytest.raises(Refused, match="not the one that the key was sent for"):
        tablet.open(CONV, sender=alice.address, body=forged)
    assert people.read(tablet, alice, body) == b"pay 10"


def test_all_devices_of_both_read_and_a_revoked_one_does_not() -> None:
    people, alice, bob = pair()
    tablet = people.second(bob, 22)
    laptop = people.second(alice, 11)
    people.fetch(alice, [1, 2])
    body = people.direct(alice, [2], b"to all")
    assert [people.read(reader, alice, body) for reader in (bob, tablet, laptop)] == [b"to all"] * 3
    people.publish_list(2, bob.unlink(22))
    people.fetch(alice, [2])
    after = people.direct(alice, [2], b"not to the tablet")
    assert people.read(bob, alice, after) == b"not to the tablet"
    with pytest.raises(Unreadable, match="not addressed"):
        people.read(tablet, alice, after)
    with pytest.raises(CryptoError, match="only the first device"):
        tablet.unlink(2)


def test_a_device_is_added_by_its_code_and_all_devices_show_one_account_number() -> None:
    people, alice, _bob = pair()
    laptop = people.join(1, 11)
    _listed, (_first, offered) = people.bundles(1)
    assert device_code(1, offered.device, offered.identity_key) == laptop.device_code
    assert laptop.device_code != device_code(1, 12, offered.identity_key), "the code is of this device"
    assert laptop.account_number != alice.account_number
    laptop.adopt(alice.link(11, offered.identity_key))
    assert laptop.account_number == alice.account_number
    assert (alice.first, laptop.first) == (True, False)
    assert (alice.list_version(1), laptop.list_version(1), laptop.list_version(9)) == (2, 2, 0)
    again = Account.create(user=1, device=11, now_s=0)
    alice.link(11, again.identity_key)
    assert alice.devices(1) == (1, 11), "a device that lost its state takes its own place"


def test_both_begin_at_once_and_meet_in_one_session() -> None:
    people, alice, bob = pair()
    from_alice, from_bob = people.direct(alice, [2], b"a"), people.direct(bob, [1], b"b")
    assert people.read(bob, alice, from_alice) == b"a"
    assert people.read(alice, bob, from_bob) == b"b"
    for turn in range(4):
        text = str(turn).encode()
        assert people.read(bob, alice, people.direct(alice, [2], text)) == text
        assert people.read(alice, bob, people.direct(bob, [1], text)) == text
    body = people.direct(alice, [2], b"settled")
    assert envelopes.parse(body).sections[0].kind is envelopes.SectionKind.RATCHET


def test_repair_brings_back_what_an_old_state_cannot_read() -> None:
    """Bob comes back from a copy of yesterday's state: he asks, gets the keys, and both go on in a new session."""
    people, alice, bob = pair()
    people.read(bob, alice, people.direct(alice, [2], b"one"))
    people.read(alice, bob, people.direct(bob, [1], b"two"))
    yesterday = bob.state()
    for _ in range(3):
        people.read(bob, alice, people.direct(alice, [2], b"today"))
        people.read(alice, bob, people.direct(bob, [1], b"today"))
    bob = Account.restore(yesterday)
    lost = [people.direct(alice, [2], text) for text in (b"three", b"four")]
    for body in lost:
        with pytest.raises(Unreadable):
            people.read(bob, alice, body)
    people.fetch(bob, [1])
    asking = bob.ask_again(CONV, sender=alice.address, bodies=lost)
    opened = alice.open(CONV, sender=bob.address, body=asking)
    assert opened.plaintext is None
    assert len(opened.asked) == 2
    with pytest.raises(NoSession):
        bob.ask_again(CONV, sender=alice.address, bodies=lost)  # each asking needs a bundle of its own
    answers = alice.answer(CONV, asker=bob.address, refs=opened.asked[:1])
    unlocked = bob.open(CONV, sender=alice.address, body=answers[0]).unlocked
    assert unlocked == opened.asked[:1]
    assert people.read(bob, alice, lost[0]) == b"three"
    with pytest.raises(Unreadable):
        people.read(bob, alice, lost[1])  # alice left it out: he may not see that one
    assert people.read(bob, alice, people.direct(alice, [2], b"five")) == b"five"
    assert people.read(alice, bob, people.direct(bob, [1], b"six")) == b"six"


def test_asking_in_vain_has_an_end() -> None:
    people, alice, bob = pair()
    body = people.direct(alice, [2], b"x")
    people.fetch(bob, [1])
    for _ in range(8):
        people.fetch(bob, [1])
        bob.ask_again(CONV, sender=alice.address, bodies=[body])
    people.fetch(bob, [1])
    with pytest.raises(Unreadable, match="without success"):
        bob.ask_again(CONV, sender=alice.address, bodies=[body])


def test_without_one_time_prekeys_the_signed_one_serves_and_old_ones_serve_a_while() -> None:
    people = People()
    alice, bob = people.join(1), people.join(2, one_time=0)
    body = people.direct(alice, [2], b"last resort")
    assert people.taken == []
    assert bob.tend(now_s=NOW_S + SIGNED_PREKEY_S, one_time_left=0)
    assert not bob.tend(now_s=NOW_S + SIGNED_PREKEY_S, one_time_left=100)
    people.publish(bob)
    assert people.read(bob, alice, body) == b"last resort"
    carol = people.join(3)
    assert people.read(bob, carol, people.direct(carol, [2], b"new")) == b"new"
    assert people.taken, "there are one-time prekeys again"


def test_a_one_time_prekey_serves_once() -> None:
    """Its private half goes with the first session: not even the same initiator begins another with it."""
    people, alice, bob = pair()
    people.fetch(alice, [2])
    before = alice.state()
    assert people.read(bob, alice, alice.seal_direct(CONV, [2], b"first")) == b"first"
    again = Account.restore(before).seal_direct(CONV, [2], b"second")
    with pytest.raises(Unreadable, match="one-time prekey that it uses is gone"):
        bob.open(CONV, sender=alice.address, body=again)


@pytest.mark.parametrize("group", [False, True])
def test_a_listed_device_whose_keys_the_service_has_removed_holds_up_nobody(group: bool) -> None:
    """Else a stolen token, which can revoke, would cut its owner off from whoever has no session yet."""
    people, alice, bob = pair()
    phone = people.join(2, 22)
    people.publish_list(2, bob.link(22, phone.identity_key))
    people.revoke(2, 22)

    def write(text: bytes) -> bytes:
        return people.group(alice, [1, 2], text)[-1] if group else people.direct(alice, [2], text)

    assert people.read(bob, alice, write(b"one")) == b"one"
    assert alice.missing([2]) == ()
    people.publish(phone)  # it is back, and the service says so
    people.fetch(alice, [2])
    people.fetch(phone, [1])
    body = write(b"two")
    assert people.read(bob, alice, body) == people.read(phone, alice, body) == b"two"


def test_an_unsigned_prekey_is_refused() -> None:
    people, alice, _ = pair()
    devices, (bundle,) = people.bundles(2)
    alice.learn(2, devices, [bundle._replace(signed_key=bytes(31) + b"\x09")])
    with pytest.raises(Refused, match="signature"):
        alice.seal_direct(CONV, [2], b"x")


def test_another_identity_is_seen_and_waits_for_somebody_to_accept_it() -> None:
    people, alice, bob = pair()
    people.read(bob, alice, people.direct(alice, [2], b"x"))
    alice.verify(2)
    assert alice.verified(2)
    before = alice.safety_number(2)
    assert before == bob.safety_number(1)
    other = People()
    impostor = other.join(2)
    with pytest.raises(IdentityChanged):
        alice.learn(2, *other.bundles(2))
    assert not alice.verified(2)
    with pytest.raises(IdentityChanged):
        alice.seal_direct(CONV, [2], b"y")
    alice.accept(2)
    alice.learn(2, *other.bundles(2))
    assert alice.safety_number(2) != before
    other.accounts[1] = alice
    body = alice.seal_direct(CONV, [2], b"z")
    impostor.learn(1, *people.bundles(1))
    assert impostor.open(CONV, sender=(1, 1), body=body).plaintext == b"z"
    with pytest.raises(CryptoError):
        people.read(bob, alice, body)


def test_too_large_and_unknown_are_said_before_a_key_is_used() -> None:
    people, alice, _ = pair()
    with pytest.raises(NoSession):
        alice.seal_direct(CONV, [2], b"x")
    people.fetch(alice, [2])
    with pytest.raises(TooLarge):
        alice.seal_direct(CONV, [2], bytes(envelopes.MAX_BODY))
    with pytest.raises(Malformed):
        Account.restore(b"{}")
