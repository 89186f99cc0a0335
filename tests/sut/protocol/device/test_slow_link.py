"""A device on a slow link, in virtual time: it catches up, and each byte comes once.

The gateway: one queue that the link empties, the documented buffer (256 KB beyond the kernel's, requests paused above
64 KB), pages of at most 64 KB.
"""

from __future__ import annotations

import random
from collections import deque

import pytest

from sut.protocol import frames as f
from sut.protocol.device.client import Client
from sut.protocol.device.events import ClientSettings

PAGE_BYTES, BUFFER, PAUSED, RTT_S, SEGMENT = 65_536, 256 * 1024, 64 * 1024, 0.2, 1_400


class Link:
    """One device, its gateway, and the link between them."""

    def __init__(self, rate: float, rows: dict[int, list[f.Message]], *, kernel: int, tells_bytes: bool) -> None:
        self.rate, self.rows, self.kernel, self.tells_bytes = rate, rows, kernel, tells_bytes
        self.client = Client(user=2, device=21, rng=random.Random(1), settings=ClientSettings())
        self.down: deque[list] = deque()
        self.up: deque[tuple[float, bytes]] = deque()
        self.now, self.shown, self.carried, self.fetches = 0.0, 0, 0.0, 0
        self.stalled = ""

    def push(self, frame: f.ServerFrame) -> None:
        data = f.encode(frame)
        self.down.append([float(len(data) + 4), data])
        assert self.queued() - self.kernel <= BUFFER + PAGE_BYTES, "4429"

    def queued(self) -> float:
        return sum(left for left, _ in self.down)

    def serve(self, data: bytes) -> None:
        match f.decode_client(data):
            case f.Sync(req, _, cursors):
                seen = dict(cursors)
                ahead = [f.Entry(c, len(r), 0) for c, r in self.rows.items() if seen.get(c, 0) < len(r)]
                self.push(f.Synced(req, 0, tuple(ahead)))
            case f.Fetch(req, conv, after, limit):
                self.fetches += 1
                rows: list[f.Message] = []
                for row in self.rows[conv][after : after + limit]:
                    if rows and sum(len(one.body) for one in rows) + len(row.body) > PAGE_BYTES:
                        break
                    rows.append(row)
                through = rows[-1].seq if rows else after
                self.push(f.Page(req, conv, len(self.rows[conv]), through, tuple(rows)))
            case f.Heartbeat():
                self.push(f.Beat(0))

    def work(self) -> None:
        for event in self.client.events():
            self.shown += type(event).__name__ == "Show"
            self.stalled = event.reason if type(event).__name__ == "Stalled" else self.stalled
        self.up.extend((self.now + RTT_S / 2, data) for data in self.client.frames())

    def step(self) -> None:
        """On to the next thing that happens."""
        times = [self.client.next_wakeup()]
        if self.up and (self.queued() - self.kernel <= PAUSED or self.up[0][0] > self.now):
            times.append(self.up[0][0])
        if self.down:
            times.append(self.now + min(self.down[0][0], SEGMENT) / self.rate)
        then = max(self.now, min(times))
        if self.down:
            came = min(self.down[0][0], (then - self.now) * self.rate)
            self.down[0][0] -= came
            self.carried += came
        self.now = then
        if self.down and self.tells_bytes:
            self.client.heard(self.now)
        if self.down and self.down[0][0] < 1e-6:
            self.client.receive(self.down.popleft()[1], self.now)
        while self.up and self.up[0][0] <= self.now and self.queued() - self.kernel <= PAUSED:
            self.serve(self.up.popleft()[1])
        if self.client.next_wakeup() <= self.now:
            self.client.tick(self.now)
        self.work()


@pytest.mark.parametrize("tells_bytes", [True, False])
@pytest.mark.parametrize(("convs", "per", "size"), [(8, 8, 16_384), (8, 40, 1_200), (1, 20, 16_384), (8, 200, 400)])
@pytest.mark.parametrize("rate_kb", [2, 6, 24, 128])
def test_a_device_catches_up_and_each_byte_comes_once(
    rate_kb: int, convs: int, per: int, size: int, tells_bytes: bool
) -> None:
    rows = {c: [f.Message(c, s, 0, 1, 11, s, bytes(size)) for s in range(1, per + 1)] for c in range(1, convs + 1)}
    link = Link(rate_kb * 1024.0, rows, kernel=128 * 1024, tells_bytes=tells_bytes)
    link.client.connected(0.0)
    link.push(f.Welcome(2, 21, 1, 30_000, f.MAX_BODY))
    needed = convs * per * (size + 40)
    while link.shown < convs * per:
        link.step()
        assert not link.stalled, link.stalled
        assert link.now < 1.3 * needed / link.rate + 20.0
    assert link.carried < 1.05 * needed + 4_096, "each byte once"


@pytest.mark.parametrize("tells_bytes", [True, False])
def test_pages_are_small_on_a_slow_link_and_grow_again_on_a_fast_one(tells_bytes: bool) -> None:
    rows = {1: [f.Message(1, s, 0, 1, 11, s, bytes(1_000)) for s in range(1, 2_001)]}
    link = Link(4_096.0, rows, kernel=0, tells_bytes=tells_bytes)
    link.client.connected(0.0)
    link.push(f.Welcome(2, 21, 1, 30_000, f.MAX_BODY))
    while link.shown < 300:
        link.step()
    slow = link.fetches
    assert slow > 300 / 64 * 3
    link.rate = 1e6
    while link.shown < 2_000:
        link.step()
    assert link.fetches - slow < 1_700 / 64 * 1.5


@pytest.mark.parametrize("tells_bytes", [True, False])
def test_a_link_that_died_in_the_middle_of_a_page_is_noticed(tells_bytes: bool) -> None:
    rows = {1: [f.Message(1, s, 0, 1, 11, s, bytes(16_384)) for s in range(1, 21)]}
    link = Link(65_536.0, rows, kernel=0, tells_bytes=tells_bytes)
    link.client.connected(0.0)
    link.push(f.Welcome(2, 21, 1, 30_000, f.MAX_BODY))
    while link.shown < 8:
        link.step()
    died, link.rate = link.now, 1e-9
    while not link.stalled:
        link.now = max(link.now, link.client.next_wakeup())
        link.client.tick(link.now)
        link.work()
    assert link.now - died < 15.0
