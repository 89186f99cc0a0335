"""`petrel bench presence`: what is counted, between which times, over restarts; and its words on the command line."""

import json

import pytest

from chaos.bench import presence_rates as presence_bench
from chaos.bench.presence_rates import Mode
from chaos.cli import petrel as cli
from chaos.errors import HarnessError

S = 1_000_000_000


def sample(t_s: float, service: str, pid: int, **stats: float) -> bytes:
    return json.dumps({"t": int(t_s * S), "service": service, "pid": pid, "rss_bytes": 1, "stats": stats}).encode()


def told(t_s: float, service: str, pid: int, count: float) -> bytes:
    return sample(t_s, service, pid, presence_told=count, presence_looks=count / 2, presence_looked=count * 3)


def test_growth_of_all_gateways_between_the_times() -> None:
    lines = [
        told(9, "gateway-1", 1, 1_000),  # the ramp
        told(10, "gateway-1", 1, 2_000), told(10, "gateway-2", 2, 500), sample(10, "chat-1", 3, appended=5),
        told(20, "gateway-1", 1, 2_100), told(20, "gateway-2", 2, 500),
        told(15, "gateway-3", 4, 40), told(20, "gateway-3", 5, 10), told(19, "gateway-3", 5, 0),  # restarted
        told(21, "gateway-1", 1, 9_000),  # after the end
    ]  # fmt: skip
    found = presence_bench.rates(sorted(lines, key=lambda line: json.loads(line)["t"]), start_ns=10 * S, end_ns=20 * S)
    assert found == {"presence_told": 11.0, "presence_looks": 5.5, "presence_looked": 33.0}


def test_without_samples_nothing_can_be_said() -> None:
    with pytest.raises(HarnessError, match="no samples"):
        presence_bench.rates([told(5, "gateway-1", 1, 7)], start_ns=0, end_ns=10 * S)


def mode(name: str, told_per_s: float) -> Mode:
    return Mode(name=name, verdict="valid", told_per_s=told_per_s, looks_per_s=0, looked_per_s=0, run_dir="")


@pytest.mark.parametrize(("lazy", "eager", "expected"), [(50.0, 700.0, 14.0), (0.0, 700.0, 0.0)])
def test_the_ratio(lazy: float, eager: float, expected: float) -> None:
    assert presence_bench.ratio([mode("lazy", lazy), mode("eager", eager)]) == expected


def test_another_bench_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "nothing"]) == 64
    assert "presence" in capsys.readouterr().err
