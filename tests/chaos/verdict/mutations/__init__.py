"""Ways in which a chat system goes wrong, one at a time, done to a correct history.

Each takes the lines and chance, changes the lines in place, and names the check that must find it; False: this history
has nothing that could go wrong in that way. They are careful to break one promise only as far as that can be.
"""

from tests.chaos.verdict.mutations import content, timing
from tests.chaos.verdict.mutations.common import MUTATIONS

__all__ = ["MUTATIONS", "content", "timing"]
