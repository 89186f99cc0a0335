"""Maps ids of any kind to 64-bit integers, so that every check works on plain numbers.

There are four spaces: people and devices (`who`, one space because a receipt's `by` may be either), conversations,
messages, and body hashes. A space whose ids are all 64-bit integers stays as it is. Otherwise its ids (text, or larger
integers) become their places in a sorted dictionary: integers by value, then text. So the order of the lines has no
influence. The integer 1 and the text "1" are two ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import polars as pl

from chaos.verdict.model import Id

SPACES: Final = {"device": "who", "user": "who", "conv": "conv", "msg": "msg", "hash": "hash"}
"""The space of each id column."""


class Ids:
    """The dictionaries of a history. A space that is not in `texts` keeps its own integers."""

    def __init__(self, texts: dict[str, pl.Series] | None = None) -> None:
        """`texts`: for each space, the JSON text of every id, indexed by its integer."""
        self._texts = texts or {}

    @property
    def are_integers(self) -> bool:
        """True if every space keeps its own integers."""
        return not self._texts

    def decode(self, column: str, value: int) -> Id:
        """Return the id that the history gave, for one value of an id column."""
        texts = self._texts.get(SPACES[column])
        if texts is None:
            return value
        decoded: Id = msgspec.json.decode(texts[value])
        return decoded

    def encode(self, column: str, value: Id) -> int | None:
        """Return the integer of an id; None if the history has no such id."""
        texts = self._texts.get(SPACES[column])
        if texts is None:
            return value if isinstance(value, int) else None
        found: int | None = texts.index_of(msgspec.json.encode(value).decode())
        return found

    def twins(self, column: str, values: pl.Series) -> list[str]:
        """Return the ids among a column's values that occur both as a number and as the text of that number."""
        texts = self._texts.get(SPACES[column])
        if texts is None:
            return []
        known = {texts[value] for value in values.drop_nulls().unique().sort()}
        return sorted(text for text in known if f'"{text}"' in known)

    def json_text(self, column: str) -> pl.Expr:
        """Return a column's ids as JSON text."""
        texts = self._texts.get(SPACES[column])
        if texts is None:
            return pl.col(column).cast(pl.String)
        return pl.lit(texts).gather(pl.col(column)).alias(column)

    def plain(self, column: str) -> pl.Expr:
        """Return a column's ids: as integers if all ids of the space are, otherwise as text."""
        texts = self._texts.get(SPACES[column])
        if texts is None:
            return pl.col(column)
        decoded = pl.Series([str(msgspec.json.decode(text)) for text in texts], dtype=pl.String)
        return pl.lit(decoded).gather(pl.col(column)).alias(column)


def column_of(values: Sequence[Id | None]) -> pl.Series:
    """Return ids as a column: integers if all fit into 64 bits, otherwise JSON text."""
    try:
        return pl.Series(values, dtype=pl.Int64)
    except (TypeError, OverflowError):
        texts = [None if value is None else msgspec.json.encode(value).decode() for value in values]
        return pl.Series(texts, dtype=pl.String)


def intern(frames: Iterable[pl.DataFrame]) -> tuple[list[pl.DataFrame], Ids]:
    """Return the frames with all id columns (integers or JSON text) as integers, and the dictionaries."""
    frames = list(frames)
    texts: dict[str, pl.Series] = {}
    for space in dict.fromkeys(SPACES.values()):
        columns = [column for column, of in SPACES.items() if of == space]
        parts = [frame[column] for frame in frames for column in columns if column in frame.columns]
        if all(part.dtype == pl.Int64 for part in parts):
            continue
        distinct = pl.concat([part.cast(pl.String).unique() for part in parts]).unique().drop_nulls()
        texts[space] = dictionary = pl.Series(sorted(distinct.to_list(), key=_rank), dtype=pl.String)
        codes = pl.Enum(dictionary)
        for place, frame in enumerate(frames):
            here = [column for column in columns if column in frame.columns]
            frames[place] = frame.with_columns(
                pl.col(column).cast(pl.String).cast(codes).to_physical().cast(pl.Int64) for column in here
            )
    return frames, Ids(texts)


def _rank(text: str) -> tuple[bool, int, str]:
    value = msgspec.json.decode(text)
    return (True, 0, value) if isinstance(value, str) else (False, value, "")
