"""`petrel checks`: what each check guarantees, what it calls an anomaly, and an example of one."""

from __future__ import annotations

import msgspec
from rich.padding import Padding
from rich.text import Text

from chaos.screen.console import for_people
from chaos.verdict.checks import DESCRIPTIONS


def checks(*, as_json: bool) -> int:
    """Print the checks, for people or as one JSON array of their descriptions. Returns 0."""
    described = list(DESCRIPTIONS.values())
    if as_json:
        print(msgspec.json.encode(described).decode(), flush=True)  # noqa: T201
        return 0
    console = for_people()
    for check in described:
        console.print(Text(f"{check.name}: ", "bold") + Text(check.promise))
        unknown = [f"unknown    when {check.unknown}"] if check.unknown else []
        for text in (f"guarantee  {check.guarantee}", f"anomaly    {check.anomaly}", *unknown):
            console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))
        for line in check.example:
            console.print(Padding(Text(line, "dim"), (0, 0, 0, 4), expand=False))
    return 0
