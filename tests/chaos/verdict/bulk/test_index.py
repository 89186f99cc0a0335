"""Ids and their numbers: what is found is what a dictionary finds."""

import random

import numpy as np
import pytest

from chaos.verdict.bulk.index import Index

EDGE = (1 << 63) - 1


@pytest.mark.parametrize("spread", [3, 100, 1 << 40, 1 << 63])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_finds_what_a_dictionary_finds(spread: int, size: int) -> None:
    choice = random.Random(size)
    ids = sorted({choice.randrange(-spread, spread) for _ in range(size)})
    others = [choice.randrange(-spread, spread) for _ in range(1000)]
    asked = [*ids, *others, 0, -1, EDGE, -EDGE - 1, ids[0] - 1 if ids[0] > -EDGE else 0, min(ids[-1] + 1, EDGE)]
    numbers = {value: number for number, value in enumerate(ids)}
    found = Index(np.array(ids, np.int64)).of(np.array(asked, np.int64))
    assert found.tolist() == [numbers.get(value, -1) for value in asked]


def test_without_ids_nothing_is_found() -> None:
    assert Index(np.empty(0, np.int64)).of(np.array([0, 1, -1, EDGE])).tolist() == [-1] * 4
