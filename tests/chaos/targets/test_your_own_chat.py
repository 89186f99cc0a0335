"""The example of docs/your-own-chat.md, as it is printed there: a chat on Socket.IO, its adapter and its experiment.

It needs node, the npm package socket.io in PETREL_SOCKETIO/node_modules, and the Python package python-socketio.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, split
from tests.kit.pace import scaled

MODULES = Path(os.environ.get("PETREL_SOCKETIO", "nowhere")) / "node_modules"
LACKS = [
    why
    for why, there in (
        ("node", shutil.which("node")),
        ("npm install socket.io@4.8.1 in the directory PETREL_SOCKETIO", MODULES.is_dir()),
        ("pip install python-socketio", importlib.util.find_spec("socketio")),
    )
    if not there
]
FILES = {"javascript": "server.js", "python": "my_chat.py", "yaml": "mine.yaml"}


def written(directory: Path) -> None:
    """Save the files of the page."""
    _, fences = split((ROOT / "docs/your-own-chat.md").read_text(encoding="utf-8"))
    for fence in fences:
        if fence.language in FILES:
            (directory / FILES[fence.language]).write_text(fence.text, encoding="utf-8")


def test_the_page_has_a_server_an_adapter_and_an_experiment(tmp_path: Path) -> None:
    from chaos.targets.experiment import load

    written(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES.values())
    experiment, beside = load(str(tmp_path / "mine.yaml"))
    assert beside == tmp_path
    assert [spec.adapter for spec in experiment.targets.values()] == ["my_chat.py"]
    compile((tmp_path / "my_chat.py").read_text(), "my_chat.py", "exec")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(LACKS), reason=f"it needs: {'; '.join(LACKS)}")
def test_a_chat_in_memory_loses_what_it_acknowledged_and_tells_nobody_what_was_missed(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "node_modules").symlink_to(MODULES.resolve())
    done = subprocess.run(
        [sys.executable, "-P", "-m", "chaos.cli.petrel", "another", "mine.yaml", "--seed", "1", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=scaled(120), check=False,
    )  # fmt: skip
    verdict = json.loads(done.stdout.splitlines()[-1])
    found = {check["name"] for check in verdict["checks"] if check["verdict"] == "invalid"}
    assert {"acked_lost", "catch_up"} <= found
    assert not {"duplicates", "phantoms", "order"} & found, verdict["checks"]
    assert all(fault["effective"] and fault["healed"] for fault in verdict["faults"])
