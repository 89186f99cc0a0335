#!/usr/bin/env bash
# The same redelivered message is a "duplicate" now and "not authentic" after the next reply.
#
# Version:   DoubleRatchet 1.3.0 (PyPI), with its recommended primitives; cryptography 50.0.2
# Guess:     A message that comes twice (at-least-once delivery) raises DuplicateMessageException, always. A message
#            that comes too late, whose key was dropped for max_num_skipped_message_keys, raises another error.
# Behaviour: DuplicateMessageException only while the sender's chain is the newest. Once both have written again, the
#            duplicate raises AuthenticationFailedException, as a forged message does: its old ratchet key is taken for
#            a new one. And a late message of the newest chain, never decrypted, is called a duplicate.
#            So neither of the two tells tampering, redelivery and loss apart.
# Seen:      again, same chain:       DuplicateMessageException
#            again, after a reply:    AuthenticationFailedException
#            first time, key dropped: DuplicateMessageException
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check DoubleRatchet==1.3.0 cryptography==50.0.2

"$work/venv/bin/python" - <<'PY'
import asyncio
import secrets
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from doubleratchet import DoubleRatchet
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)

AD = b"alice and bob"


class Aead(aead_aes_hmac.AEAD):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @staticmethod
    def _get_info():
        return b"message"


class RootKdf(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @staticmethod
    def _get_info():
        return b"root"


class ChainKdf(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256


class Session(DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data, header):
        numbers = (header.sending_chain_length, header.previous_sending_chain_length)
        return associated_data + header.ratchet_pub + b"".join(number.to_bytes(8, "big") for number in numbers)


SETTINGS = {
    "diffie_hellman_ratchet_class": diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
    "root_chain_kdf": RootKdf,
    "message_chain_kdf": ChainKdf,
    "message_chain_constant": b"\x01\x02",
    "dos_protection_threshold": 4,
    "max_num_skipped_message_keys": 4,
    "aead": Aead,
}


async def pair():
    secret, key = secrets.token_bytes(32), X25519PrivateKey.generate()
    alice, first = await Session.encrypt_initial_message(
        shared_secret=secret, recipient_ratchet_pub=key.public_key().public_bytes_raw(), message=b"hello",
        associated_data=AD, **SETTINGS,
    )
    bob, _ = await Session.decrypt_initial_message(
        shared_secret=secret, own_ratchet_priv=key.private_bytes_raw(), message=first, associated_data=AD, **SETTINGS
    )
    return alice, bob


async def outcome(reader, message):
    try:
        return (await reader.decrypt_message(message, AD)).decode()
    except Exception as error:
        return type(error).__name__


async def main():
    alice, bob = await pair()
    message = await alice.encrypt_message(b"once", AD)
    assert await outcome(bob, message) == "once"
    again = await outcome(bob, message)
    assert await outcome(alice, await bob.encrypt_message(b"reply", AD)) == "reply"
    assert await outcome(bob, await alice.encrypt_message(b"on", AD)) == "on"
    after_reply = await outcome(bob, message)

    alice, bob = await pair()
    messages = [await alice.encrypt_message(str(number).encode(), AD) for number in range(9)]
    assert await outcome(bob, messages[4]) == "4"  # keys 0 to 3 are kept
    assert await outcome(bob, messages[8]) == "8"  # keys 5 to 7 too: the oldest three are dropped
    dropped = await outcome(bob, messages[0])
    print("again, same chain:      ", again)
    print("again, after a reply:   ", after_reply)
    print("first time, key dropped:", dropped)
    return again, after_reply, dropped


same = asyncio.run(main()) == (
    "DuplicateMessageException", "AuthenticationFailedException", "DuplicateMessageException"
)
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
