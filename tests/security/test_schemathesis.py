"""The API against its own document: schemathesis, good and bad data, every check, on the whole system."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sut.services.api.routes import ROUTES, Who
from tests.security.people import Api

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(330)]

USER, DEVICE = 77, 6_917_529_027_641_081_855
"""A device that no generated request revokes by chance."""
PHASES = {Who.DEVICE: "examples,coverage,fuzzing,stateful", Who.OPERATOR: "examples,coverage,fuzzing"}
CONFIG = """
# An id of a body may be written 5.0, which is the same number there. Links that are guessed carry it into paths, where
# it is another text; those of the document do not.
[phases.stateful.inference]
algorithms = []

# Too many items may make a body that is too large before they are counted: 413 refuses it as well.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""
EXAMPLES = {Who.DEVICE: 150, Who.OPERATOR: 300}
"""Of each operation and phase. By number and not by time: then every machine asks the same."""


@pytest.mark.parametrize("who", list(EXAMPLES), ids=lambda who: who.name)
def test_the_api_is_as_its_document_says(running, tmp_path: Path, who: Who) -> None:
    topology = running.topology
    key = topology.api_key if who is Who.OPERATOR else Api(topology).tokens([(USER, DEVICE)])[0]
    mine = [route.name for route in ROUTES if (route.who is Who.OPERATOR) == (who is Who.OPERATOR)]
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{topology.api_url}/v1/openapi.json",
        *(argument for name in mine for argument in ("--include-operation-id", name)),
        "--header", f"Authorization: Bearer {key}",
        "--checks", "all", "--mode", "all", "--phases", PHASES[who],
        "--max-examples", str(EXAMPLES[who]), "--seed", "1", "--no-color", "--continue-on-failure",
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=320, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout)
    tested = re.search(r"([\d,]+) generated", done.stdout)
    assert tested is not None
    assert int(tested[1].replace(",", "")) > (150 if who is Who.DEVICE else 30)
    assert {name: process.restarts for name, process in running.state().items() if process.restarts} == {}
