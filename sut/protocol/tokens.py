"""Device tokens: who a connection is, signed by the API, checked by a gateway without asking anybody.

A JWT with HS256 and nothing else: the algorithm is pinned, so that neither "none" nor another family can be
smuggled in by a header. Claims: sub (user, decimal text), dev (device), iat and exp (Unix seconds), and auth_time, when
the device logged in (Unix seconds). A refreshed token keeps auth_time: all tokens of one login are a family, which ends
LOGIN_S after it, and which a revocation voids as a whole.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jwt

_ALGORITHM: Final = "HS256"
LOGIN_S: Final = 30 * 86_400.0
"""How long tokens of one login can be refreshed; no token of it is valid for longer."""
_MAX_ID: Final = (1 << 63) - 1
_MAX_DIGITS: Final = 19
_EXPIRED: Final = "token has expired"
_OPTIONS: Final[dict[str, Any]] = {
    "require": ["sub", "dev", "iat", "exp"],
    # iat is not judged: the clocks of two machines may differ by more than the age of a fresh token, and exp alone
    # bounds its life.
    "verify_iat": False,
    "verify_nbf": False,
}


class TokenError(ValueError):
    """A token that proves nothing; the text says why in one line."""


class Identity(NamedTuple):
    """Whom a valid token speaks for."""

    user: int
    device: int


class Proof(NamedTuple):
    """What a valid token says. Unix times."""

    user: int
    device: int
    issued_s: int
    login_s: int
    """When the device logged in; `issued_s` where the token does not say."""


def issue(key: bytes, user: int, device: int, ttl_s: float, now_s: float, *, login_s: int | None = None) -> str:
    """A token for this device, valid from `now_s` (Unix time) for `ttl_s`, at least one second.

    `login_s`: of the token that it refreshes; None: this is a login.
    """
    issued_s = int(now_s)
    claims = {"sub": str(user), "dev": device, "iat": issued_s, "exp": issued_s + max(1, int(ttl_s))}
    claims["auth_time"] = issued_s if login_s is None else login_s
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def verify(token: str, key: bytes, now_s: float | None = None) -> Identity:
    """Whom the token speaks for at `now_s` (Unix time; None: now). Raises TokenError."""
    proven = prove(token, key, now_s)
    return Identity(proven.user, proven.device)


def prove(token: str, key: bytes, now_s: float | None = None) -> Proof:
    """What the token says, if it is valid at `now_s` (Unix time; None: now). Raises TokenError."""
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
    subject, expires = claims["sub"], claims["exp"]
    decimal = isinstance(subject, str) and subject.isascii() and subject.isdigit() and len(subject) <= _MAX_DIGITS
    user = _identifier(int(subject) if decimal else None, "sub")
    device, issued_s = _identifier(claims["dev"], "dev"), _identifier(claims["iat"], "iat")
    if now_s is not None and _identifier(expires, "exp") <= now_s:
        raise TokenError(_EXPIRED)
    return Proof(user, device, issued_s, _identifier(claims.get("auth_time", issued_s), "auth_time"))


def _identifier(value: object, claim: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_ID:
        return value
    raise TokenError(f"token has a malformed claim {claim}")
