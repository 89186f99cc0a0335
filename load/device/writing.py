"""What a person's message is as bytes: made when it is transmitted for the first time, and then never again.

So it can name what was shown by then. Encryption goes on with every message, so a message is encrypted once too: a
repetition is the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from load.device import body as bodies
from sut.protocol.causal import Dependency

if TYPE_CHECKING:
    from load.device.crypto_person import Person
    from load.device.device import Run


class Draft(NamedTuple):
    """A message as its person wants it."""

    conv: int
    msg: int
    """history.message_id."""
    due_offset_ns: int
    """When it was planned, in ns after t0."""
    size: int


def compose(run: Run, person: Person | None, draft: Draft, dependencies: Sequence[Dependency]) -> bytes:
    """The body, encrypted if `person` encrypts and has the keys."""
    if person is not None:
        sealed = person.seal(draft, dependencies)
        if sealed is not None:
            return sealed
    conv, msg, due_offset_ns, size = draft
    if run.crypto is not None:
        size = run.crypto.true_size(size, group=conv in run.groups)
    return bodies.make(
        seed=run.seed,
        msg=msg,
        due_offset_ns=due_offset_ns,
        size=size,
        canary=run.tracer,
        dependencies=dependencies,
    )
