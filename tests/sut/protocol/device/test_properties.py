"""Whatever arrives, in whatever order and however often: what is shown is what the user may see, in order, once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sut.protocol import frames as f
from sut.protocol.device.client import Client
from tests.sut.protocol.device.client_kit import CONV, give, make, online, sent, theirs

LENGTH = 14


class Service:
    """One conversation of LENGTH numbers, of which this user may see some."""

    def __init__(self, hidden: set[int], changes: set[int]) -> None:
        self.rows = [
            theirs(seq, b"", f.Flag.MEMBER_ADD) if seq in changes else theirs(seq)
            for seq in range(1, LENGTH + 1)
            if seq not in hidden
        ]
        self.head = LENGTH  # hidden numbers count: the user is still a member

    def page(self, fetch: f.Fetch, limit: int) -> f.Page:
        through = min(fetch.after + limit, self.head)
        rows = tuple(row for row in self.rows if fetch.after < row.seq <= through)
        return f.Page(fetch.req, CONV, self.head, through, rows)


def shown_numbers(client: Client) -> list[int]:
    return [
        event.message.seq if type(event).__name__ == "Show" else event.seq
        for event in client.events()
        if type(event).__name__ in ("Show", "MemberChange")
    ]


numbers = st.integers(1, LENGTH)
steps = st.one_of(
    st.tuples(st.just("message"), numbers),
    st.tuples(st.just("notify"), numbers),
    st.tuples(st.just("answer"), st.integers(0, 6)),  # pages of so many numbers to all that was asked until now
    st.tuples(st.just("repeat"), st.integers(1, 6)),  # an old question is answered once more
    st.tuples(st.just("wait"), st.integers(1, 40)),  # tenths of a second
    st.tuples(st.just("reconnect"), st.just(0)),
)


@settings(max_examples=300, deadline=None)
@given(hidden=st.sets(numbers), changes=st.sets(numbers), script=st.lists(steps, max_size=40))
def test_any_arrival_order_shows_everything_once_in_order(hidden, changes, script):
    service = Service(hidden, changes)
    client = make(max_buffered=3)
    online(client)
    now, open_fetches, old_fetches, shown = 0.0, [], [], []

    def answer(limit: int) -> None:
        for fetch in open_fetches:
            give(client, service.page(fetch, limit), now)
        old_fetches.extend(open_fetches)
        open_fetches.clear()

    def collect() -> None:
        for frame in sent(client):
            if isinstance(frame, f.Fetch):
                open_fetches.append(frame)
            elif isinstance(frame, f.Sync):
                give(client, f.Synced(frame.req, 0, (f.Entry(CONV, service.head, 0),)), now)
            elif isinstance(frame, f.Heartbeat):
                give(client, f.Beat(0), now)
        shown.extend(shown_numbers(client))

    for step, value in script:
        match step:
            case "message":
                for row in service.rows:
                    if row.seq == value:
                        give(client, row, now)
            case "notify":
                give(client, f.Notify((f.Entry(CONV, value, 0),)), now)
            case "answer":
                answer(value)
            case "repeat" if old_fetches:
                give(client, service.page(old_fetches[-1], value), now)
            case "wait":
                now += value / 10
                client.tick(now)
            case "reconnect":
                client.disconnected(now)
                open_fetches.clear()
                old_fetches.clear()
                client.connected(now)
                give(client, f.Welcome(1, 1, 1, 30_000, f.MAX_BODY), now)
        collect()
        cursor = client._inbox.cursors.get(CONV, 0)
        assert shown == [row.seq for row in service.rows if row.seq <= cursor], "no gap, no repetition, at any time"

    give(client, f.Notify((f.Entry(CONV, service.head, 0),)), now)
    for _ in range(200):
        collect()
        answer(5)
        if client.idle() and not open_fetches:
            break
        now = max(now, min(client.next_wakeup(), now + 10.0))
        client.tick(now)
    collect()
    assert client.idle()
    assert shown == [row.seq for row in service.rows]
