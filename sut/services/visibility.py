"""The part of a conversation that a user may see: the numbers inside the user's spans, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sut.ports import Span, StoredMessage
from sut.protocol.frames import MAX_BODY, Message, Page

PAGE_BYTES = 4 * MAX_BODY
"""Bytes of the bodies in one PAGE. Beyond it the page ends early, after at least one message."""


def visible_head(spans: Sequence[Span], head: int) -> int:
    """Return the highest number this user may see, given the user's spans in order; 0 when there is none."""
    if not spans:
        return 0
    end = spans[-1].end
    return head if end == 0 else min(head, end - 1)


def known_to(user: int, spans: Mapping[int, Sequence[Span]], head: int) -> tuple[int, frozenset[int]]:
    """The highest number that a user may see, and who had come by then; nobody for who never was a member.

    `spans`: of all users.
    """
    own = spans.get(user)
    if not own:
        return 0, frozenset()
    limit = visible_head(own, head)
    return limit, frozenset(other for other, stays in spans.items() if stays and stays[0].first <= limit + 1)


def sees(spans: Sequence[Span], seq: int) -> bool:
    """Return True if a user with these spans may see the number."""
    return any(span.first <= seq and (span.end == 0 or seq < span.end) for span in spans)


def cut_page(
    conv: int, spans: Sequence[Span], rows: Iterable[StoredMessage], *, after: int, covered: int, head: int
) -> Page:
    """Return a PAGE of what this user may see of `rows`, which are all rows of (after, covered] in order.

    Ends early, with a lower `through`, when the bodies would exceed PAGE_BYTES.
    """
    limit = visible_head(spans, head)
    through = min(covered, limit)
    messages: list[Message] = []
    size = 0
    for row in rows:
        if row.seq > through:
            break
        if not sees(spans, row.seq):
            continue
        size += len(row.body)
        if size > PAGE_BYTES and messages:
            through = row.seq - 1
            break
        messages.append(Message(conv, row.seq, row.flags, row.user, row.device, row.client_seq, row.body))
    return Page(0, conv, limit, max(through, min(after, limit)), tuple(messages))


class Stretch(NamedTuple):
    """Consecutive numbers [first, end) that a user may see. `older`: the end of the stay before, 1 if there is none."""

    first: int
    end: int
    older: int


def stretch_before(spans: Sequence[Span], before: int, head: int) -> Stretch:
    """Return the newest stretch below `before` for a user with these ordered spans; [1, 1) when there is none."""
    for index in range(len(spans) - 1, -1, -1):
        span = spans[index]
        end = min(before, span.end or head + 1, head + 1)
        if span.first < end:
            return Stretch(span.first, end, spans[index - 1].end if index else 1)
    return Stretch(1, 1, 1)


def cut_back(
    conv: int, spans: Sequence[Span], rows: Sequence[StoredMessage], stretch: Stretch, *, exhausted: bool, head: int
) -> Page:
    """Return a PAGE of the newest of `rows`, which are the newest rows below the end of the stretch, in order.

    `exhausted`: there are no rows below these. The page covers [through, end). `through` is the end of the stay before
    if the stretch is used up, else the oldest message given. Bodies are limited as in `cut_page`.
    """
    visible = visible_head(spans, head)
    messages: list[Message] = []
    size = 0
    through = 1 if exhausted or stretch.first >= stretch.end else stretch.end
    for row in reversed(rows):
        if row.seq < stretch.first:
            break
        size += len(row.body)
        if size > PAGE_BYTES and messages:
            return Page(0, conv, visible, messages[-1].seq, tuple(reversed(messages)))
        messages.append(Message(conv, row.seq, row.flags, row.user, row.device, row.client_seq, row.body))
    if rows and rows[0].seq <= stretch.first:
        through = stretch.older
    elif messages and not exhausted:
        through = messages[-1].seq
    return Page(0, conv, visible, through, tuple(reversed(messages)))
