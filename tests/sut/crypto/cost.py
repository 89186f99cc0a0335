"""What encryption costs: CPU milliseconds an operation. `python -m tests.sut.crypto.cost`

CPU time of this process, so that a busy machine changes little. The first operations are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sut.crypto.account import Account
from tests.sut.crypto.people import CONV, NOW_S, People

ROUNDS = 300
TEXT = bytes(150)


def cost(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Milliseconds."""
    for _ in range(rounds // 10):
        action()
    started = time.process_time()
    for _ in range(rounds):
        action()
    return (time.process_time() - started) / rounds * 1000


def main() -> None:
    people = People()
    alice, bob = people.join(1), people.join(2)
    print(f"make a device with 100 one-time prekeys   {cost(lambda: make().publication(), 30):7.3f}")

    def begin() -> None:
        fresh = make()
        fresh.learn(2, *people.bundles(2))
        marks.append(time.process_time())
        fresh.prepare([2])
        marks.append(time.process_time())

    marks: list[float] = []
    for _ in range(100):
        begin()
    spent = [end - start for start, end in zip(marks[40::2], marks[41::2], strict=True)]
    print(f"begin a session (X3DH)                    {sum(spent) / len(spent) * 1000:7.3f}")

    people.read(bob, alice, people.direct(alice, [2], TEXT))
    people.read(alice, bob, people.direct(bob, [1], TEXT))
    bodies: list[bytes] = []
    sealed = cost(lambda: bodies.append(people.direct(alice, [2], TEXT)))
    print(f"1:1: seal                                 {sealed:7.3f}")
    left = iter(bodies)
    opened = cost(lambda: people.read(bob, alice, next(left)), 290)
    print(f"1:1: open, same direction                 {opened:7.3f}")

    def turns() -> None:
        people.read(bob, alice, people.direct(alice, [2], TEXT))
        people.read(alice, bob, people.direct(bob, [1], TEXT))

    print(f"1:1: seal and open, turn by turn          {cost(turns) / 2:7.3f}")
    people.read_all(bob, alice, people.group(alice, [1, 2], TEXT))
    bodies.clear()
    sealed = cost(lambda: bodies.extend(people.group(alice, [1, 2], TEXT)))
    print(f"group: seal                               {sealed:7.3f}")
    left = iter(bodies)
    opened = cost(lambda: people.read(bob, alice, next(left)), 290)
    print(f"group: open                               {opened:7.3f}")
    crowd = People()
    members = [crowd.join(user, one_time=1) for user in range(1, 101)]
    crowd.fetch(members[0], range(2, 101))
    started = time.process_time()
    members[0].seal_group(CONV, range(1, 101), TEXT)
    print(f"group: first message to 99 new devices    {(time.process_time() - started) * 1000:7.3f}")
    print(f"save the state of a device with 2 sessions{cost(alice.state):7.3f}   ({len(alice.state())} bytes)")


def make() -> Account:
    return Account.create(user=1, device=1, now_s=NOW_S)


if __name__ == "__main__":
    main()
