"""The store against a model in a few lines: writes of two owners, repeated and late, in any order."""

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sut.adapters.sqlite.store import SqliteStore
from sut.ports import ConversationRow, ConversationWrite, SenderMark, Span, StoredMessage

CONVS = (5, 6)

_numbers = st.integers(1, 6)
_writes = st.builds(
    lambda conv, applied, seqs, spans, marks: ConversationWrite(
        ConversationRow(conv, "g", 1, applied, applied),
        tuple(StoredMessage(seq, 0, 1, 1, seq, b"%d" % applied) for seq in sorted(seqs)),
        tuple(Span(user, first, end) for (user, first), end in sorted(spans.items())),
        tuple(SenderMark(device, cs, cs) for device, cs in sorted(marks.items())),
    ),
    st.sampled_from(CONVS),
    _numbers,
    st.sets(_numbers, max_size=3),
    st.dictionaries(st.tuples(_numbers, _numbers), st.integers(0, 9), max_size=3),
    st.dictionaries(_numbers, _numbers, max_size=3),
)


class Model:
    """What a conversation must be after a number of writes."""

    def __init__(self) -> None:
        self.row: ConversationRow | None = None
        self.messages: dict[int, StoredMessage] = {}
        self.spans: dict[tuple[int, int], Span] = {}
        self.marks: dict[int, SenderMark] = {}

    def write(self, change: ConversationWrite) -> None:
        if self.row is not None and change.row.applied < self.row.applied:
            return
        self.row = change.row
        self.messages |= {message.seq: message for message in change.messages}
        self.spans |= {(span.user, span.first): span for span in change.spans}
        self.marks |= {mark.device: mark for mark in change.marks}

    def seen_by(self, user: int) -> int | None:
        spans = [self.spans[key] for key in sorted(self.spans) if key[0] == user]
        if self.row is None or not spans:
            return None
        return min(self.row.head, spans[-1].end - 1) if spans[-1].end else self.row.head


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


_unused = itertools.count(1, step=len(CONVS))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_writes, max_size=3), max_size=6))
def test_the_store_is_the_model(directory: Path, calls: list[list[ConversationWrite]]) -> None:
    base = next(_unused) * 10  # each example has its own conversations and users in the one store

    def moved(change: ConversationWrite) -> ConversationWrite:
        return replace(
            change,
            row=replace(change.row, conv=change.row.conv + base),
            spans=tuple(replace(span, user=span.user + base) for span in change.spans),
        )

    async def scenario() -> None:
        models = {conv + base: Model() for conv in CONVS}
        store = SqliteStore(directory, 1, deadline_s=20.0)
        try:
            for changes in ([moved(change) for change in call] for call in calls):
                await store.write(0, changes)
                for change in changes:
                    models[change.row.conv].write(change)
            for conv, model in models.items():
                image = await store.load(conv)
                assert (image is None) == (model.row is None)
                if image is not None:
                    assert image.row == model.row
                    assert {(span.user, span.first): span for span in image.spans} == model.spans
                    assert {mark.device: mark for mark in image.marks} == model.marks
                assert await store.page(conv, 0, 100) == [model.messages[seq] for seq in sorted(model.messages)]
            for user in range(base + 1, base + 7):
                expected = {conv: seen for conv in models if (seen := models[conv].seen_by(user)) is not None}
                assert await store.heads(user, list(models)) == expected
                named = await store.conversations_of(user, 0, 100)
                assert named == sorted(named)
                assert expected.keys() <= set(named) <= models.keys()
        finally:
            await store.close()

    asyncio.run(scenario())
