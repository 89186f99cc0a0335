"""The adapter to the small chat in its lossy form."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("tiny_adapter", Path(__file__).with_name("adapter.py"))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


class Lossy(module.Tiny):
    """One client of the lossy chat."""

    words = ("lossy",)
