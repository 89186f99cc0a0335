"""The packages of the image are those of the lock, with all that they need, and no others."""

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sut.deploy.docker.locked import NEEDED, TARGET, entries, part

ROOT = Path(__file__).resolve().parents[4]
LOCK = (ROOT / "locks" / "requirements.txt").read_text()
SAMPLE = """\
a==1 \\
    --hash=sha256:00
    # via b
b==2 ; python_full_version < '3.12' \\
    --hash=sha256:01
    # via
    #   c
    #   stormpetrel (pyproject.toml)
b==3 ; python_full_version >= '3.12' \\
    --hash=sha256:02
    # via c
c==4 \\
    --hash=sha256:03
d==5 \\
    --hash=sha256:04
    # via e
"""


def test_a_part_has_what_it_needs_in_every_version_and_nothing_else() -> None:
    assert entries(SAMPLE)["b"].via == {"c", "stormpetrel"}
    made = part(SAMPLE, ("c",))
    assert made == SAMPLE[: SAMPLE.index("d==5")].replace("    # via b\n", "").replace(
        "    # via\n    #   c\n    #   stormpetrel (pyproject.toml)\n", ""
    ).replace("    # via c\n", "")
    with pytest.raises(KeyError, match="x"):
        part(SAMPLE, ("x",))


def test_the_image_installs_what_the_lock_says_now() -> None:
    assert TARGET.read_text() == part(LOCK), "python -m sut.deploy.docker.locked locks/requirements.txt"


def test_what_the_services_import_is_installed() -> None:
    owners = metadata.packages_distributions()
    parts = ("gateway", "services", "standins", "process", "adapters", "protocol", "ports", "crypto")
    late = {"doubleratchet", "x3dh", "pydantic"}  # of people's clients: no service imports these modules
    imported = {
        name.split(".")[0]
        for part_ in parts
        for path in (ROOT / "sut" / part_).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    foreign = imported - set(sys.stdlib_module_names) - {"sut", ""} - late
    needed = {owners[name][0].lower().replace("_", "-") for name in foreign}
    installed = set(entries(TARGET.read_text()))
    assert needed <= installed, needed - installed
    assert set(NEEDED) <= installed
