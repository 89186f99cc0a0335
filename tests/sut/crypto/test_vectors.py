"""Published test vectors, as far as they touch what is used here: the libraries do what the specifications say."""

from __future__ import annotations

import asyncio

import pytest
import xeddsa
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from doubleratchet.recommended import HashFunction
from doubleratchet.recommended.crypto_provider_impl import CryptoProviderImpl
from doubleratchet.recommended.diffie_hellman_ratchet_curve25519 import DiffieHellmanRatchet
from x3dh.crypto_provider import HashFunction as X3dhHash
from x3dh.crypto_provider_cryptography import CryptoProviderImpl as X3dhProvider

from sut.crypto import fingerprint, primitives
from sut.crypto.errors import CryptoError, Refused
from sut.crypto.sender_key import new_chain

h = bytes.fromhex
ALICE, BOB = (
    h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
    h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
)
ALICE_PUBLIC, BOB_PUBLIC = (
    h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
    h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
)
SHARED = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def test_x25519_rfc_7748_section_6_1() -> None:
    """In both libraries that agree here."""
    assert primitives.public_of(ALICE) == ALICE_PUBLIC
    assert primitives.public_of(BOB) == BOB_PUBLIC
    assert xeddsa.x25519(ALICE, BOB_PUBLIC) == xeddsa.x25519(BOB, ALICE_PUBLIC) == SHARED
    assert DiffieHellmanRatchet._perform_diffie_hellman(ALICE, BOB_PUBLIC) == SHARED
    assert DiffieHellmanRatchet._derive_pub(BOB) == BOB_PUBLIC


def test_hkdf_rfc_5869_test_case_1() -> None:
    """As the X3DH and the Double Ratchet library derive."""
    wanted = h("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    salt, info, key = h("000102030405060708090a0b0c"), h("f0f1f2f3f4f5f6f7f8f9"), h("0b" * 22)
    assert asyncio.run(CryptoProviderImpl.hkdf_derive(HashFunction.SHA_256, 42, salt, info, key)) == wanted
    assert primitives.now(X3dhProvider.hkdf_derive(X3dhHash.SHA_256, 42, salt, info, key)) == wanted


def test_hmac_rfc_4231_test_case_2() -> None:
    wanted = h("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    assert primitives.mac(b"Jefe", b"what do ya want for nothing?") == wanted


@pytest.mark.parametrize(
    ("private", "public", "message", "signature"),
    [
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_ed25519_rfc_8032_section_7_1(private: str, public: str, message: str, signature: str) -> None:
    assert primitives.sign_with(h(private), h(message)) == h(signature)
    primitives.check_signed_with(h(public), h(message), h(signature), what="it")
    with pytest.raises(Refused):
        primitives.check_signed_with(h(public), h(message) + b"!", h(signature), what="it")


def test_chacha20_poly1305_rfc_8439_section_2_8_2() -> None:
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    text += b"sunscreen would be it."
    key = h("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
    sealed = ChaCha20Poly1305(key).encrypt(h("070000004041424344454647"), text, h("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[:16] == h("d31a8d34648e60db7b86afbc53ef7ec2")
    assert sealed[-16:] == h("1ae10b594f09e26a7e902ecbd0600691")


def test_numeric_fingerprint_of_libsignal() -> None:
    """NumericFingerprintGeneratorTest: version 0 of the format, 5200 iterations."""
    alice = h("06863bc66d02b40d27b8d49ca7c09e9239236f9d7d25d6fcca5ce13c7064d868")
    bob = h("f781b6fb32fed9ba1cf2de978d4d5da28dc34046ae814402b5c0dbd96fda907b")
    halves = sorted((fingerprint.half(alice, b"+14152222222"), fingerprint.half(bob, b"+14153333333")))
    assert "".join(halves) == "300354477692869396892869876765458257569162576843440918079131"
    assert fingerprint.grouped("".join(halves)).startswith("30035 44776 92869 ")
    assert fingerprint.half(bob, b"+14152222222") not in halves


def test_safety_numbers_are_the_same_at_both_sides() -> None:
    one = fingerprint.safety_number(own_key=ALICE_PUBLIC, own_user=1, other_key=BOB_PUBLIC, other_user=2)
    other = fingerprint.safety_number(own_key=BOB_PUBLIC, own_user=2, other_key=ALICE_PUBLIC, other_user=1)
    assert one == other
    assert len(one) == 60
    assert one.isdecimal()


def test_xeddsa_signs_with_the_identity_key() -> None:
    signature = primitives.sign(ALICE, b"message")
    primitives.check_signature(ALICE_PUBLIC, b"message", signature, what="it")
    for public, message in ((BOB_PUBLIC, b"message"), (ALICE_PUBLIC, b"massage"), (b"", b"message")):
        with pytest.raises(Refused):
            primitives.check_signature(public, message, signature, what="it")


def test_sender_key_steps_are_those_of_the_specification() -> None:
    """Message key HMAC(chain key, 1), next chain key HMAC(chain key, 2)."""
    chain = new_chain()
    before = chain.chain_key
    _, key = chain.step()
    assert key == primitives.mac(before, b"\x01")
    assert chain.chain_key == primitives.mac(before, b"\x02")


def test_a_coroutine_that_waits_is_refused() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(CryptoError, match="must not"):
        primitives.now(waits())
