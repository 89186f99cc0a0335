"""The patterns that need the whole chat system: its known-bad variants beside it, by the benches that measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from chaos.bench import counter, fanout, reconnect
from chaos.bench.antipatterns.pattern import Figure, NotRun, Pattern, Place, Result
from chaos.bench.benches import Request, Row
from chaos.errors import ChaosError
from chaos.run import rundir

SENDERS: Final = 16
RETURNING: Final = 300
MEMBERS: Final = 50
LARGE: Final = 500
STEP_S: Final = 5.0
BACK_BY_S: Final = 60.0


def _rows(
    place: Place,
    run: Callable[[Request], Sequence[Row]],
    points: tuple[int, ...],
    *,
    variant: str | None = None,
    duration_s: float = STEP_S,
) -> Sequence[Row]:
    """Return the rows of a bench. Raises NotRun if its system does not start, or the crowd fails, on this machine."""
    directory = rundir.make(place.directory).path
    request = Request(directory=directory, variant=variant, duration_s=duration_s, points=points, say=place.say)
    try:
        return run(request)
    except ChaosError as error:
        raise NotRun(str(error)) from None


def _number(row: Row, name: str) -> float:
    value: Mapping[str, object] = row
    found = value[name]
    assert isinstance(found, int | float)
    return float(found)


def _counter(place: Place) -> Result:
    (row,) = _rows(place, counter.run, (SENDERS,))
    return of_counter(row)


def of_counter(row: Row) -> Result:
    """Return the result of a row of the bench `counter`."""
    name = counter.VARIANT
    return Result(
        name=COUNTER.name, wrong=COUNTER.wrong, right=COUNTER.right,
        figures=(
            Figure(name="messages/s", wrong=_number(row, f"{name}: messages/s"),
                   right=_number(row, "usual: messages/s"), better="high"),
            Figure(name="p50, ms", wrong=_number(row, f"{name}: p50 ms"), right=_number(row, "usual: p50 ms")),
        ),
        where_wrong_wins="messages of different conversations have an order of their own",
    )  # fmt: skip


def _copies(place: Place) -> Result:
    (right,) = _rows(replace(place, directory=place.directory / "usual"), fanout.run, (MEMBERS,))
    wrong_place = replace(place, directory=place.directory / "body_per_member")
    (wrong,) = _rows(wrong_place, fanout.run, (MEMBERS,), variant="body_per_member")
    return of_copies(wrong, right)


def of_copies(wrong: Row, right: Row) -> Result:
    """Return the result of two rows of the bench `fanout`, one of the variant."""
    figures = [
        Figure(name=name, wrong=_number(wrong, name), right=_number(right, name))
        for name in ("stored B/message", "sequencer ms", "gateway ms")
    ]
    return Result(
        name=COPIES.name, wrong=COPIES.wrong, right=COPIES.right, figures=tuple(figures),
        where_wrong_wins="no member has to fetch, so gateways and chat services do less",
    )  # fmt: skip


def _cap(place: Place) -> Result:
    small, large = _rows(place, fanout.run, (MEMBERS, LARGE))
    return of_sizes(small, large)


def of_sizes(small: Row, large: Row) -> Result:
    """Return the result of two rows of the bench `fanout`, of different sizes."""
    names = ("sequencer ms", "gateway ms", "chat ms")
    figures = [Figure(name=f"{name} of a message", wrong=_number(large, name), right=_number(small, name))
               for name in names]  # fmt: skip
    return Result(
        name=CAP.name, wrong=CAP.wrong, right=CAP.right, figures=tuple(figures),
        where_wrong_wins="everybody is in one group; for a channel of readers another design is needed",
    )  # fmt: skip


def _jitter(place: Place) -> Result:
    (row,) = _rows(place, reconnect.run, (RETURNING,), duration_s=BACK_BY_S)
    return of_returns(row)


def of_returns(row: Row) -> Result:
    """Return the result of a row of the bench `reconnect`."""
    figures = [
        Figure(name=name, wrong=_number(row, f"fixed: {name}"), right=_number(row, f"jitter: {name}"))
        for name in ("dials in 100 ms, most", "handshakes in 100 ms, most", "all back after s")
    ]
    return Result(
        name=JITTER.name, wrong=JITTER.wrong, right=JITTER.right, figures=tuple(figures),
        where_wrong_wins="with few devices all are back sooner",
    )  # fmt: skip


COUNTER: Final = Pattern(
    name="global_counter", wrong="one counter for all conversations", right="a number in each conversation",
    measure=_counter,
)  # fmt: skip
COPIES: Final = Pattern(
    name="body_per_member", wrong=f"a copy for each of {MEMBERS} members", right="stored once, 16 bytes to each",
    measure=_copies,
)  # fmt: skip
CAP: Final = Pattern(
    name="uncapped_group", wrong=f"a message to {LARGE} members", right=f"a message to {MEMBERS} members", measure=_cap
)  # fmt: skip
JITTER: Final = Pattern(
    name="fixed_reconnect", wrong="reconnect after a fixed wait", right="reconnect with full jitter", measure=_jitter
)
PATTERNS: Final = (COUNTER, COPIES, CAP, JITTER)
