"""`petrel bench NAME` and `petrel limits`: each measures one cost of the design.

A bench is one module with a `BENCH`. Imports chaos.run, load.bench and sut.deploy.
"""

from typing import Final

NAMES: Final = (
    "fanout", "storm", "counter", "reconnect", "presence", "overload", "hostile", "verify", "devices", "gateway",
    "calibrate",
)  # fmt: skip
"""The benches: a module of this package each."""
