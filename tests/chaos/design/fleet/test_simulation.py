"""The whole simulation: the shape of a day, and what the command prints and writes."""

import json
from pathlib import Path

import numpy as np
import pytest

from chaos.cli import petrel as cli
from chaos.design.fleet.simulation import PEAK_HOUR, day_shape


@pytest.mark.parametrize("peak", [1.5, 3.0])
def test_a_day_has_its_average_and_its_peak(peak: float) -> None:
    shape = day_shape(peak)
    assert shape.mean() == pytest.approx(1.0)
    assert shape.max() == pytest.approx(peak, rel=1e-6)
    assert int(np.argmax(shape)) == PEAK_HOUR


def test_the_command_simulates_a_small_fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    arguments = ["simulate", "users=1e6", "--scenario", "ten_percent", "--page", str(page), "--json"]
    assert cli.main(arguments) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["simulation"]
    (played,) = told["scenarios"]
    assert told["fleet"]["gateways"] == 20
    assert len(told["day"]) == 24
    assert 0 < played["figures"]["offline"] <= 100_000
    assert played["figures"]["worst_p99_ms"] >= played["figures"]["p99_ms"]
    assert len(played["series"]["offline"]) == played["duration_s"]
    text = page.read_text(encoding="utf-8")
    assert "ten percent" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


@pytest.mark.rare
@pytest.mark.timeout(600)
def test_full_scale_takes_at_most_five_minutes_and_4_gib(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys
    import time

    begun_s = time.monotonic()
    command = [sys.executable, "-m", "chaos.cli.petrel", "simulate", "--page", str(tmp_path / "page.html"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.read().splitlines()[-1])
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    assert time.monotonic() - begun_s < 300
    assert usage.ru_maxrss < 4 << 20, "in KiB"
    assert len(told["simulation"]["scenarios"]) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "one_percnt"], "no scenario 'one_percnt'; perhaps one_percent"),
        (["--against", "nowhere.json"], "nowhere.json: No such file"),
        (["--page", "nowhere/page.html"], "nowhere/page.html: no such directory"),
        (["users=0"], "users is above 0"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", *arguments]) == 64
    assert said in capsys.readouterr().err.splitlines()[-1]
