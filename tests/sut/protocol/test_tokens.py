"""Device tokens: only what this key signed with HS256, with all its claims, in time."""

import base64
import contextlib
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.protocol import tokens
from sut.protocol.tokens import Identity, Proof, TokenError, issue, prove, verify

KEY = bytes(range(32))
NOW = 1_800_000_000.0
ids = st.integers(0, 2**63 - 1)


def signed(**changes: Any) -> str:
    """A token of our key with some claims changed, or left out with None."""
    claims = {"sub": "7", "dev": 8, "iat": int(NOW), "exp": int(NOW) + 60} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, KEY, algorithm="HS256")


def b64(data: Any) -> str:
    """A JWT part."""
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


@given(ids, ids)
def test_round_trip(user: int, device: int) -> None:
    assert verify(issue(KEY, user, device, 60, NOW), KEY, NOW) == Identity(user, device)


def test_valid_until_the_second_it_expires() -> None:
    token = issue(KEY, 1, 2, ttl_s=60, now_s=NOW)
    assert verify(token, KEY, NOW + 59)
    with pytest.raises(TokenError, match=r"^token has expired$"):
        verify(token, KEY, NOW + 60)


def test_the_clock_of_the_machine_serves_when_none_is_given() -> None:
    assert verify(issue(KEY, 1, 2, ttl_s=10**9, now_s=NOW), KEY)
    with pytest.raises(TokenError, match=r"^token has expired$"):
        verify(issue(KEY, 1, 2, ttl_s=1, now_s=1.0), KEY)


def test_a_token_from_a_clock_ahead_of_ours_is_good() -> None:
    assert verify(issue(KEY, 1, 2, ttl_s=60, now_s=NOW + 30), KEY, NOW)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (issue(bytes(32), 1, 2, 60, NOW), "bad signature"),
        (signed()[:-3] + "AAA", "bad signature"),
        (f"{b64({'alg': 'none'})}.{b64({'sub': '1'})}.", "not signed with HS256"),
        (jwt.encode({"sub": "7"}, bytes(64), algorithm="HS512"), "not signed with HS256"),
        (signed(sub=None), "lacks the claim sub"),
        (signed(dev=None), "lacks the claim dev"),
        (signed(exp=None), "lacks the claim exp"),
        (signed(sub="-1"), "malformed claim sub"),
        (signed(sub="x"), "malformed claim sub"),
        (signed(sub="²"), "malformed claim sub"),
        (signed(sub=str(2**63)), "malformed claim sub"),
        (signed(sub="9" * 5000), "malformed claim sub"),
        (signed(sub=7), "malformed"),
        (signed(dev="8"), "malformed claim dev"),
        (signed(dev=True), "malformed claim dev"),
        (signed(dev=-8), "malformed claim dev"),
        (signed(dev=8.0), "malformed claim dev"),
        (signed(exp="soon"), "malformed"),
        ("", "malformed"),
        ("a.b.c", "malformed"),
        ("é.é.é", "malformed"),
        ("\ud800.a.b", "malformed"),
        (base64.urlsafe_b64encode(b"[" * 5900).decode() + ".e30.AA", "malformed"),
    ],
)
def test_refused(token: str, message: str) -> None:
    with pytest.raises(TokenError, match=message) as caught:
        verify(token, KEY, NOW)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60) | st.from_regex(r"[\w-]{2,20}\.[\w-]{2,20}\.[\w-]{2,20}", fullmatch=True))
def test_noise_is_a_token_error(token: str) -> None:
    with pytest.raises(TokenError):
        verify(token, KEY, NOW)


@given(st.dictionaries(st.sampled_from(["sub", "dev", "iat", "exp"]), st.none() | st.text() | ids | st.floats()))
def test_signed_nonsense_is_a_token_error_or_an_identity(changes: dict[str, Any]) -> None:
    token = jwt.encode(changes, KEY, algorithm="HS256") if not isinstance(changes.get("sub"), float) else ""
    for now_s in (NOW, None):
        with contextlib.suppress(TokenError):
            assert isinstance(verify(token, KEY, now_s), Identity)


def examined(token: str) -> Proof | str:
    """What PyJWT makes of it."""
    try:
        return tokens._examined(token, KEY, NOW)
    except TokenError as error:
        return str(error)


@given(ids, ids, ids)
def test_a_token_of_ours_is_the_same_for_both_readings(user: int, device: int, login_s: int) -> None:
    token = issue(KEY, user, device, 60, NOW, login_s=login_s)
    assert tokens._proven(token, KEY, NOW) == examined(token) == Proof(user, device, int(NOW), login_s)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert tokens._proven(token, bytes(32), NOW) is None
    assert tokens._proven(token, KEY, NOW + 60) is None


@given(
    st.dictionaries(
        st.sampled_from(["sub", "dev", "iat", "exp", "auth_time", "aud", "nbf", "iss"]),
        st.sampled_from(["7", "7\n", "²", "x", 7, 7.0, -1, True, 2**63, int(NOW), int(NOW) + 9, [], {}]),
    )
)
def test_what_the_quick_reading_accepts_the_careful_one_does(changes: dict[str, Any]) -> None:
    with contextlib.suppress(TypeError):  # PyJWT does not sign every nonsense
        token = signed(auth_time=int(NOW), **changes) if "auth_time" not in changes else signed(**changes)
        found = tokens._proven(token, KEY, NOW)
        assert found is None or found == examined(token)


@given(st.data())
def test_one_changed_character_is_no_token(data: st.DataObject) -> None:
    token = issue(KEY, 7, 8, 60, NOW)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != token[place]))
    with contextlib.suppress(TokenError):  # the last character of a signature has bits that say nothing
        assert prove(token[:place] + other + token[place + 1 :], KEY, NOW) == prove(token, KEY, NOW)
        assert place == len(token) - 1
