"""The result of a look from outside, and how several of them combine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chaos.errors import FaultError


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of one look from outside: whether the claim holds, and a printable text of what was seen."""

    ok: bool
    text: str

    def __bool__(self) -> bool:
        return self.ok


Look = Callable[[], Proof]


def every(proofs: Iterable[Proof]) -> Proof:
    """Return a proof that holds if all hold.

    Reads lazily and stops at the first proof that does not hold; the text ends with that one.
    """
    texts = []
    for proof in proofs:
        texts.append(proof.text)
        if not proof:
            return Proof(ok=False, text="; ".join(texts))
    return Proof(ok=True, text="; ".join(texts))


def in_turn(*looks: Look) -> Proof:
    """Take one look after the other, up to the first that does not hold; returns their combined proof."""
    return every(look() for look in looks)


def must(proof: Proof) -> None:
    """Raise FaultError with the proof's text if it does not hold."""
    if not proof:
        raise FaultError(proof.text)
