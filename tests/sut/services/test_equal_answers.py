"""A stranger cannot tell a conversation that exists from one that does not; who was removed learns nothing of later."""

import pytest

from sut.ports import Kind, LogRecord
from sut.protocol.frames import Nack
from sut.services.api.control import direct_id, group_id
from sut.services.sequencer.rule import DIRECT, GROUP, MANAGED, apply
from sut.services.sequencer.state import Conversation, Refused
from sut.services.visibility import known_to

CONV, ANN, BOB, CAT, DAN, EVE = 77, 1, 2, 3, 4, 9
CHANGES = [
    (Kind.MESSAGE, EVE, ()),
    (Kind.ADD, EVE, (EVE,)),
    (Kind.ADD, EVE, (BOB,)),
    (Kind.REMOVE, EVE, (EVE,)),
    (Kind.REMOVE, EVE, (BOB,)),
    (Kind.ROLE, EVE, (EVE,)),
    (Kind.ROLE, EVE, (BOB,)),
]


def record(kind: Kind, user: int, members: tuple[int, ...], body: bytes = b"\1") -> LogRecord:
    return LogRecord(kind, CONV, user, 10 * user, 1, body, members, None)


def state_of(kind: str) -> Conversation:
    state, _ = apply(None, 1, record(Kind.CREATE, ANN, (ANN, BOB), kind.encode()), group_cap=10)
    assert state is not None
    return state


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change[0].name}-{change[2]}")
@pytest.mark.parametrize("kind", [DIRECT, GROUP, MANAGED])
def test_the_rule_refuses_a_stranger_alike(kind: str, change: tuple[Kind, int, tuple[int, ...]]) -> None:
    _, nowhere = apply(None, 2, record(*change), group_cap=10)
    _, somewhere = apply(state_of(kind), 2, record(*change), group_cap=10)
    assert nowhere == somewhere == Refused(Nack.FOREIGN)


def test_who_was_removed_is_known_to_and_knows_nobody_who_came_later() -> None:
    state = state_of(GROUP)
    for offset, (kind, user, members) in enumerate(
        [
            (Kind.ADD, ANN, (CAT,)),  # 1
            (Kind.MESSAGE, ANN, ()),  # 2
            (Kind.REMOVE, ANN, (CAT,)),  # 3
            (Kind.ADD, ANN, (DAN,)),  # 4
            (Kind.MESSAGE, DAN, ()),  # 5
        ],
        start=2,
    ):
        apply(state, offset, record(kind, user, members), group_cap=10)
    assert known_to(CAT, state.spans, state.head) == (2, {ANN, BOB, CAT})
    assert known_to(BOB, state.spans, state.head) == (5, {ANN, BOB, CAT, DAN})
    assert known_to(DAN, state.spans, state.head) == (5, {ANN, BOB, CAT, DAN})
    assert known_to(EVE, state.spans, state.head) == (0, frozenset())
    fresh = state_of(DIRECT)
    assert known_to(BOB, fresh.spans, fresh.head) == (0, {ANN, BOB})


def test_ids_need_the_secret() -> None:
    one, other = b"\1" * 32, b"\2" * 32
    assert direct_id(one, ANN, BOB) == direct_id(one, BOB, ANN)
    assert len({direct_id(one, ANN, BOB), direct_id(other, ANN, BOB), direct_id(b"", ANN, BOB)}) == 3
    assert group_id(one, ANN, "k") != group_id(other, ANN, "k")
    assert 0 < direct_id(one, ANN, BOB) < 1 << 63
