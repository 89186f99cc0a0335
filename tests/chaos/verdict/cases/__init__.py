"""Small histories by hand with the verdict they must get: a correct one for each situation, a bad one for each anomaly,
an unknown one for each reason to doubt.

`python -m tests.verdict.cases` writes them to tests/chaos/verdict/histories/{good,bad,unknown}/NAME.jsonl, with what
each must be judged in index.json, for `petrel verify --history`. The name of a bad one begins with the check that
finds it.
"""

from tests.chaos.verdict.cases import content, correct, evidence, timing
from tests.chaos.verdict.cases.registry import CASES, DIRECTORY, Case, talk

__all__ = ["CASES", "DIRECTORY", "Case", "content", "correct", "evidence", "talk", "timing"]
