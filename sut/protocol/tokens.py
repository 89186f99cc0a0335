"""Device tokens: they identify a connection, are signed by the API, and are checked by a gateway without a request.

A token is a JWT with HS256. The algorithm is pinned, so that a header cannot switch to "none" or another family.
Claims: sub (user, decimal text), dev (device), iat and exp (Unix seconds), and auth_time, the time of the device's
login (Unix seconds). A refreshed token keeps auth_time: all tokens of one login are a family. The family ends LOGIN_S
after the login, and a revocation voids all of it.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final, NamedTuple

import jwt
import msgspec

_ALGORITHM: Final = "HS256"
LOGIN_S: Final = 30 * 86_400.0
"""How long tokens of one login can be refreshed; no token of it is valid for longer."""
_MAX_ID: Final = (1 << 63) - 1
_MAX_DIGITS: Final = 19
_EXPIRED: Final = "token has expired"
_OPTIONS: Final[dict[str, Any]] = {
    "require": ["sub", "dev", "iat", "exp"],
    # iat is not checked: two clocks may differ by more than the age of a fresh token. exp alone
    # limits its lifetime.
    "verify_iat": False,
    "verify_nbf": False,
}
_HEADER: Final = jwt.encode({}, bytes(32), algorithm=_ALGORITHM).partition(".")[0].encode() + b"."
"""What every token of `issue` begins with."""


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    """The claims that `issue` writes, all of them and no others."""

    sub: str
    dev: int
    iat: int
    exp: int
    auth_time: int


_CLAIMS: Final = msgspec.json.Decoder(_Claims)


class TokenError(ValueError):
    """A token is not valid; the text says why in one line."""


class Identity(NamedTuple):
    """The user and the device that a valid token names."""

    user: int
    device: int


class Proof(NamedTuple):
    """The content of a valid token. Unix times."""

    user: int
    device: int
    issued_s: int
    login_s: int
    """When the device logged in; `issued_s` where the token does not say."""


def issue(key: bytes, user: int, device: int, ttl_s: float, now_s: float, *, login_s: int | None = None) -> str:
    """Return a token for this device, valid from `now_s` (Unix time) for `ttl_s`, at least one second.

    `login_s`: the login of the token that it refreshes; None: this is a login.
    """
    issued_s = int(now_s)
    expires_s = issued_s + max(1, int(ttl_s))
    claims = _Claims(str(user), device, issued_s, expires_s, issued_s if login_s is None else login_s)
    signed = _HEADER + urlsafe_b64encode(msgspec.json.encode(claims)).rstrip(b"=")
    return (signed + b"." + _signature(signed, key)).decode("ascii")


def _signature(signed: bytes, key: bytes) -> bytes:
    return urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")


def verify(token: str, key: bytes, now_s: float | None = None) -> Identity:
    """Return the identity in a token that is valid at `now_s` (Unix time; None: now). Raises TokenError."""
    proven = prove(token, key, now_s)
    return Identity(proven.user, proven.device)


def prove(token: str, key: bytes, now_s: float | None = None) -> Proof:
    """Return the content of a token that is valid at `now_s` (Unix time). Raises TokenError.

    `now_s` None: now. It takes longer.
    """
    return (_proven(token, key, now_s) if now_s is not None else None) or _examined(token, key, now_s)


def _proven(token: str, key: bytes, now_s: float) -> Proof | None:
    """Return the content of a valid token that is written as `issue` writes it; None for every other text.

    It costs a fifth of an examination, and nothing of a token is read before its signature is known to be right.
    """
    head, _, signature = token.rpartition(".")
    try:
        signed, shown = head.encode("ascii"), signature.encode("ascii")
    except UnicodeEncodeError:
        return None
    if not signed.startswith(_HEADER) or not hmac.compare_digest(_signature(signed, key), shown):
        return None
    payload = signed[len(_HEADER) :]
    try:
        claims = _CLAIMS.decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        if _identifier(claims.exp, "exp") <= now_s:
            return None
        numbers = (_identifier(claims.dev, "dev"), _identifier(claims.iat, "iat"))
        return Proof(_user(claims.sub), *numbers, _identifier(claims.auth_time, "auth_time"))
    except (msgspec.DecodeError, binascii.Error, TokenError):
        return None


def _examined(token: str, key: bytes, now_s: float | None) -> Proof:
    """Return the content of any valid token. Raises TokenError with the reason why it is none."""
    try:
        options: Any = {**_OPTIONS, "verify_exp": now_s is None}
        claims = jwt.decode(token, key, algorithms=[_ALGORITHM], options=options)
    except jwt.InvalidSignatureError:
        raise TokenError("token has a bad signature") from None
    except jwt.InvalidAlgorithmError:
        raise TokenError(f"token is not signed with {_ALGORITHM}") from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenError(f"token lacks the claim {error.claim}") from None
    except jwt.ExpiredSignatureError:
        raise TokenError(_EXPIRED) from None
    except (jwt.InvalidTokenError, UnicodeError):
        raise TokenError("token is malformed") from None
    user = _user(claims["sub"])
    device, issued_s = _identifier(claims["dev"], "dev"), _identifier(claims["iat"], "iat")
    if now_s is not None and _identifier(claims["exp"], "exp") <= now_s:
        raise TokenError(_EXPIRED)
    return Proof(user, device, issued_s, _identifier(claims.get("auth_time", issued_s), "auth_time"))


def _user(subject: object) -> int:
    if isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= _MAX_DIGITS:
        return _identifier(int(subject), "sub")
    raise TokenError("token has a malformed claim sub")


def _identifier(value: object, claim: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID:
        return value
    raise TokenError(f"token has a malformed claim {claim}")
