"""Reports of devices, joined: the highest number of each, in frames of bounded size."""

from hypothesis import given
from hypothesis import strategies as st

from sut.gateway import reports as module
from sut.gateway.reports import MAX_ITEMS, Reports
from sut.protocol.signals import ReceiptKind

_WORDS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from(ReceiptKind), st.integers(1, 9)))


@given(_WORDS)
def test_each_goes_once_with_its_highest_number(words: list[tuple[int, int, ReceiptKind, int]]) -> None:
    reports = Reports()
    expected: dict[tuple[int, int, int], int] = {}
    for device, conv, kind, seq in words:
        assert reports.note(conv, kind, seq, user=10 * device, device=device)
        expected[device, conv, kind] = max(seq, expected.get((device, conv, kind), 0))
    items = [item for frame in reports.take() for item in frame.items]
    assert sorted(items) == sorted(
        (10 * device, device, conv, kind, seq) for (device, conv, kind), seq in expected.items()
    )
    assert reports.take() == []


def test_frames_are_bounded_and_what_is_too_much_is_dropped(monkeypatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2 * MAX_ITEMS + 1)
    reports = Reports()
    taken = [reports.note(conv, ReceiptKind.READ, 1, user=1, device=1) for conv in range(2 * MAX_ITEMS + 3)]
    assert taken == [True] * (2 * MAX_ITEMS + 1) + [False] * 2
    assert reports.note(0, ReceiptKind.READ, 2, user=1, device=1), "a higher number of one that waits"
    assert [len(frame.items) for frame in reports.take()] == [MAX_ITEMS, MAX_ITEMS, 1]
