"""The adapters that ship, a file each. They import the port (chaos/targets/target.py) and libraries, nothing else."""

from __future__ import annotations

import pkgutil
from typing import Final

NAMES: Final = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_"))
