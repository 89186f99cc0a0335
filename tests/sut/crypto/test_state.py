"""The saved state: whole, written before a ciphertext leaves, sealed in a vault; device lists; formats and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sut.crypto import device_list, primitives
from sut.crypto import envelope as envelopes
from sut.crypto.account import Account
from sut.crypto.device_list import DeviceList
from sut.crypto.errors import CryptoError, IdentityChanged, Malformed, Refused, Repeated
from sut.crypto.vault import Vault
from tests.sut.crypto.people import CONV, NOW_S, People


def test_everything_survives_a_restart() -> None:
    people = People()
    alice, bob, carol = (people.join(user) for user in (1, 2, 3))
    for turn in range(3):
        text = str(turn).encode()
        assert people.read(bob, alice, people.direct(alice, [2], text)) == text
        assert people.read(alice, bob, people.direct(bob, [1], text)) == text
        assert people.read_all(carol, alice, people.group(alice, [1, 2, 3], text)) == text
        under_way = people.direct(alice, [2], b"under way")
        skipped = people.group(alice, [1, 2, 3], b"skipped")
        alice, bob, carol = (Account.restore(account.state()) for account in (alice, bob, carol))
        assert people.read(bob, alice, under_way) == b"under way"
        with pytest.raises(Repeated):
            people.read(bob, alice, under_way)
        assert people.read_all(carol, alice, skipped) == b"skipped"
    assert alice.safety_number(2) == bob.safety_number(1)
    assert Account.restore(alice.state()).state() == alice.state()


def test_the_state_is_saved_before_a_ciphertext_leaves() -> None:
    """A crash right after the save, before anybody saw the ciphertext: the next one has other keys."""
    people = People()
    saved: list[bytes] = []
    alice = Account.create(user=1, device=1, now_s=NOW_S, save=saved.append)
    bob, carol = people.join(2), people.join(3)
    people.accounts[1] = alice
    people.publish(alice)
    people.publish_list(1, alice.device_list)
    people.fetch(alice, [2, 3])
    for seal in (
        lambda account: account.seal_direct(CONV, [2], b"same text"),
        lambda account: account.seal_group(CONV, [1, 2, 3], b"same text")[-1],
    ):
        seal(alice)
        before = len(saved)
        lost = seal(alice)
        assert len(saved) == before + 1, "not saved before it was returned"
        after_crash = seal(Account.restore(saved[-1]))
        assert envelopes.parse(lost).ref != envelopes.parse(after_crash).ref
        assert envelopes.parse(lost).payload != envelopes.parse(after_crash).payload
    assert carol.address == (3, 3)
    assert bob.address == (2, 2)


def test_without_that_order_a_key_would_be_used_twice() -> None:
    """What the rule is for: from a state of before the ciphertext, the group key comes again."""
    people = People()
    alice = people.join(1)
    people.join(2)
    people.group(alice, [1, 2], b"first")
    before = alice.state()
    one = alice.seal_group(CONV, [1, 2], b"one text")[0]
    two = Account.restore(before).seal_group(CONV, [1, 2], b"two text")[0]
    assert envelopes.parse(one).ref == envelopes.parse(two).ref


def test_a_vault_opens_with_its_passphrase_only() -> None:
    state = People().join(1).state()
    vault = Vault("correct horse")
    sealed = vault.seal(state)
    assert state not in sealed
    assert vault.seal(state) != sealed
    again, opened = Vault.open("correct horse", sealed)
    assert opened == state
    assert Vault.open("correct horse", again.seal(b"next"))[1] == b"next"
    for passphrase, data in (("wrong", sealed), ("correct horse", sealed[:-1] + b"!"), ("correct horse", sealed[:10])):
        with pytest.raises(CryptoError):
            Vault.open(passphrase, data)


def test_a_device_list_is_what_its_first_device_signed() -> None:
    private = primitives.random_key()
    devices = ((1, primitives.public_of(private)), (2, primitives.public_of(primitives.random_key())))
    wanted = DeviceList(user=7, version=3, devices=devices)
    data = device_list.signed(wanted, private)
    assert device_list.parse(data) == wanted
    assert len(data) <= device_list.MAX_BYTES
    for at in range(len(data)):
        with pytest.raises(CryptoError):
            device_list.parse(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CryptoError):
            device_list.parse(data[:at])
    with pytest.raises(ValueError, match="the first device"):
        device_list.signed(wanted, primitives.random_key())


def test_an_older_list_changes_nothing_and_anothers_is_refused() -> None:
    people = People()
    alice, bob = people.join(1), people.join(2)
    old, bundles = people.bundles(2)
    people.join(2, 22)
    new = bob.link(22, people.accounts[22].identity_key)
    alice.learn(2, new, bundles)
    alice.learn(2, old, bundles)
    assert set(alice.devices(2)) == {2, 22}
    with pytest.raises(Refused, match="asked for user 1"):
        alice.learn(1, old, [])
    with pytest.raises(IdentityChanged):
        alice.learn(2, people.accounts[22].device_list, [])


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(envelopes.Type),
    ref=st.integers(0, (1 << 64) - 1),
    sections=st.lists(
        st.builds(
            envelopes.Section,
            st.integers(0, (1 << 64) - 1),
            st.sampled_from(envelopes.SectionKind),
            st.binary(max_size=80),
        ),
        max_size=4,
    ),
    payload=st.binary(min_size=1, max_size=100),
)
def test_envelopes_round_trip(
    kind: envelopes.Type, ref: int, sections: list[envelopes.Section], payload: bytes
) -> None:
    envelope = envelopes.Envelope(kind, ref, tuple(sections), b"" if kind is envelopes.Type.CONTROL else payload)
    body = envelopes.encode(envelope)
    assert envelopes.parse(body) == envelope
    assert envelopes.is_envelope(body)
    head = envelopes.HEAD_BYTES + sum(envelopes.SECTION_HEAD_BYTES + len(section.data) for section in sections)
    for at in range(head):
        with pytest.raises(Malformed):
            envelopes.parse(body[:at])


def test_an_envelope_in_bytes() -> None:
    section = envelopes.Section(5, envelopes.SectionKind.FIRST, b"\xaa\xbb")
    envelope = envelopes.Envelope(envelopes.Type.DIRECT, 9, (section,), b"\xcc")
    wanted = "c1 01 0000000000000009 0001  0000000000000005 02 0002 aabb  cc"
    assert envelopes.encode(envelope) == bytes.fromhex(wanted)


@pytest.mark.parametrize("size", [0, 1, 150, 2000])
def test_true_sizes(size: int) -> None:
    people = People()
    alice = people.join(1)
    for user in range(2, 6):
        people.join(user)
    first = people.direct(alice, [2], bytes(size))
    assert len(first) == envelopes.direct_size(size, devices=1, first=1)
    people.read(people.accounts[2], alice, first)
    people.read(alice, people.accounts[2], people.direct(people.accounts[2], [1], b"x"))
    assert len(people.direct(alice, [2], bytes(size))) == envelopes.direct_size(size, devices=1)
    bodies = people.group(alice, range(1, 6), bytes(size))
    assert len(bodies[0]) == envelopes.group_size(size, new=4, first=3)
    assert len(people.group(alice, range(1, 6), bytes(size))[0]) == envelopes.group_size(size)
