"""In which order a conversation is shown: by the times that senders put on their messages, or by its numbers.

Sender processes have clocks that are wrong by up to 200 ms, which phones are. They answer each other in turn, as people
do, so each message is the answer to the one before. The server numbers what arrives. The figure counts answers that
stand before their question.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from chaos.bench.antipatterns.pattern import Child, Figure, Pattern, Place, Result

SKEWS_MS: Final = (-200, 0, 60, 200)
MESSAGES: Final = 400
PAUSE_S: Final = 0.005
WRONG: Final = "shown by the sender's time"
RIGHT: Final = "shown by the number of the conversation"


def serve(skew_ms: int) -> None:
    """Answer each line with the time of a clock that is wrong by so much."""
    print("ready", flush=True)  # noqa: T201
    for _ in sys.stdin:
        print(time.time_ns() + skew_ms * 1_000_000, flush=True)  # noqa: T201


def measure(place: Place) -> Result:
    """Let the senders answer each other, and order what they said in both ways."""
    place.say(f"{len(SKEWS_MS)} senders with wrong clocks")
    senders = [Child(__name__, str(skew_ms)) for skew_ms in SKEWS_MS]
    said: list[tuple[int, int]] = []
    try:
        for sender in senders:
            sender.ready()
        for number in range(1, MESSAGES + 1):
            sender = senders[number % len(senders)]
            sender.say("")
            said.append((int(sender.read()), number))
            time.sleep(PAUSE_S)
    finally:
        for sender in senders:
            sender.kill()
    wrong, right = before_question([number for _, number in sorted(said)]), before_question(sorted(n for _, n in said))
    return Result(
        name=PATTERN.name, wrong=WRONG, right=RIGHT,
        figures=(Figure(name="answers before their question", wrong=float(wrong), right=float(right)),),
        anomaly=f"{wrong} of {MESSAGES} answers stand before their question" if wrong else "",
    )  # fmt: skip


def before_question(shown: list[int]) -> int:
    """Return how many messages are shown before the one that they answer, which has the number before theirs."""
    place = {number: index for index, number in enumerate(shown)}
    return sum(place[number] < place[number - 1] for number in shown if number - 1 in place)


PATTERN: Final = Pattern(name="timestamp_order", wrong=WRONG, right=RIGHT, measure=measure)

if __name__ == "__main__":
    serve(int(sys.argv[1]))
