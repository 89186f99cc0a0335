"""axe-core in a page: what it says is wrong for people who use a keyboard or a screen reader."""

import functools
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from tests.kit.browser import Page
from tests.kit.pace import scaled

VERSION = "4.14.1"


@functools.cache
def source() -> str:
    """The script of axe-core, from the npm registry. Skips the test where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH: axe-core cannot be had")
    with tempfile.TemporaryDirectory() as directory:
        got = subprocess.run(
            [npm, "pack", f"axe-core@{VERSION}", "--silent"], cwd=directory, capture_output=True, text=True,
            check=False, timeout=scaled(60),
        )  # fmt: skip
        if got.returncode:
            pytest.skip(f"axe-core cannot be had: {got.stderr.strip()[:200]}")
        with tarfile.open(Path(directory) / f"axe-core-{VERSION}.tgz") as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            return script.read().decode()


def violations(page: Page) -> list[str]:
    """One line a violation: its rule, and the first element that breaks it."""
    page.run(f"{source()}; true")
    found = page.run(
        "axe.run(document).then(r => r.violations.map(v => v.id + ': ' + v.nodes.length + ' times, first ' "
        "+ v.nodes[0].html.slice(0, 160) + ' ' + v.nodes[0].failureSummary))"
    )
    return [str(line) for line in found]
