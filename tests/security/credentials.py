"""Tokens that prove nothing, one of every kind, for the key that they are tried against."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sut.protocol.tokens import issue


def part(data: Any) -> str:
    """A piece of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: dict[str, Any], claims: Any, key: bytes) -> str:
    """A token with any header, truly signed with HMAC-SHA256."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(key, text.encode(), hashlib.sha256))}"


def forged(key: bytes, user: int = 1, device: int = 11) -> dict[str, str]:
    """By what is wrong with it."""
    now = int(time.time())
    claims = {"sub": str(user), "dev": device, "iat": now, "exp": now + 600}
    good = issue(key, user, device, 600, now)
    head, body, signature = good.split(".")
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.",
        "None": f"{part({'alg': 'None', 'typ': 'JWT'})}.{part(claims)}.{signature}",
        "no algorithm": signed({"typ": "JWT"}, claims, key),
        "another key": issue(bytes(32), user, device, 600, now),
        "the key's hex": issue(key.hex().encode(), user, device, 600, now),
        "HS512": jwt.encode(claims, key, algorithm="HS512"),
        "HS384": jwt.encode(claims, key, algorithm="HS384"),
        "RS256": jwt.encode(claims, rsa_key, algorithm="RS256"),
        "ES256": jwt.encode(claims, ec_key, algorithm="ES256"),
        "a public key as secret": signed({"alg": "HS256", "typ": "JWT"}, claims, pem),
        "its own key": signed({"alg": "HS256", "jwk": {"kty": "oct", "k": part(bytes(32))}}, claims, bytes(32)),
        "another user in a signed token": f"{head}.{part(claims | {'sub': str(user + 1)})}.{signature}",
        "another device in a signed token": f"{head}.{part(claims | {'dev': device + 1})}.{signature}",
        "a signature cut": good[:-6],
        "no signature": f"{head}.{body}.",
        "a bit flipped": good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:],
        "an unencoded payload": signed({"alg": "HS256", "b64": False, "crit": ["b64"]}, claims, key),
        "expired": issue(key, user, device, 600, now - 601),
        "expired long ago": issue(key, user, device, 1, 1),
        "no expiry": signed({"alg": "HS256"}, {k: v for k, v in claims.items() if k != "exp"}, key),
        "expiry as text": signed({"alg": "HS256"}, claims | {"exp": "never"}, key),
        "expiry infinite": signed({"alg": "HS256"}, claims | {"exp": 1e400}, key),
        "issued as text": signed({"alg": "HS256"}, claims | {"iat": "today"}, key),
        "a negative user": signed({"alg": "HS256"}, claims | {"sub": "-1"}, key),
        "a device as text": signed({"alg": "HS256"}, claims | {"dev": str(device)}, key),
        "claims that are a list": signed({"alg": "HS256"}, [claims], key),
        "claims that are not JSON": signed({"alg": "HS256"}, b"\xff\xfe", key),
        "a header that is not JSON": f"{part(b'{')}.{body}.{signature}",
        "five parts": f"{good}.x.y",
        "one part": "x",
        "dots": "...",
        "long": "A" * 6000,
    }
