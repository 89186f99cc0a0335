"""Small histories by hand with the verdict they must get: a correct one for each situation, a bad one for each anomaly,
an unknown one for each reason to doubt.

`python -m tests.chaos.verdict.cases` writes them to histories/{good,bad,unknown}/NAME.jsonl, with what each must be
judged in index.json, for `petrel verify --history`. The name of a bad one begins with the check that finds it. Those of
histories/reported were made by others.
"""

from tests.chaos.verdict.cases import (
    answers,
    bounds,
    changed,
    content,
    correct,
    evidence,
    felt,
    fitness,
    goodput,
    returns,
    surplus,
    timing,
)
from tests.chaos.verdict.cases.registry import CASES, DIRECTORY, Case, talk
from tests.chaos.verdict.cases.reported import REPORTED

__all__ = [
    "CASES", "DIRECTORY", "REPORTED", "Case", "answers", "bounds", "changed", "content", "correct", "evidence", "felt",
    "fitness", "goodput", "returns", "surplus", "talk", "timing",
]  # fmt: skip
