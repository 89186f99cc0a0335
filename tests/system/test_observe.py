"""`petrel observe` on a real system: all is scraped, nothing is unnamed, and a broken service raises its alert."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.errors import HarnessError
from chaos.run.observe import prometheus
from chaos.run.observe.prometheus import Observed
from sut.deploy.probes import probe
from sut.deploy.system import System
from sut.process.metrics.catalogue import unnamed
from tests.kit.pace import scaled
from tests.kit.promtool import needs_promtool, promtool
from tests.kit.waits import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(up: System) -> System:
    return up


@pytest.fixture(scope="module")
def observed(system: System) -> Iterator[Observed]:
    needs_promtool()
    with prometheus.beside(system, system.topology.path / "observe") as found:
        yield found


def ours(system: System) -> list[tuple[str, str, int]]:
    """Name, kind and port of each process that serves metrics."""
    return [(s.name, s.kind, s.ports["metrics"]) for s in system.topology.services if "metrics" in s.ports]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=scaled(10)) as answer:
        return bytes(answer.read())


def test_every_process_of_ours_serves_metrics_on_loopback_and_promtool_accepts_them(system: System) -> None:
    kinds = {kind for _, kind, _ in ours(system)}
    assert kinds == {"gateway", "chat", "sequencer", "api", "push", "provider"}
    for name, kind, port in ours(system):
        text = get(f"http://127.0.0.1:{port}/metrics")
        assert b'petrel_build_info{profile="embedded",variant="",version="' in text, kind
        assert promtool("check", "metrics", stdin=text) == "", name


def test_no_counter_lacks_a_name(system: System) -> None:
    for service in system.topology.services:
        if "peer" in service.ports:
            pong = probe.peer_ping((service.host, service.ports["peer"]), scaled(2), system.topology.peer_secret)
            assert pong is not None
            assert unnamed(service.kind, pong.stats) == set(), service.name


def test_prometheus_sees_all_of_it_up_and_healthy(system: System, observed: Observed) -> None:
    targets = len(ours(system)) + 1

    def up() -> int:
        return sum(round(series.points[0][1]) for series in prometheus.query(observed.url, "up"))

    wait_until(lambda: up() == targets, 20)
    names = {series.labels["instance"] for series in prometheus.query(observed.url, 'up{job="petrel"}')}
    assert names == {name for name, _, _ in ours(system)}
    wait_until(lambda: prometheus.query(observed.url, "count(petrel_service_healthy == 1)"), 20)
    (healthy,) = prometheus.query(observed.url, "count(petrel_service_healthy)")
    assert healthy.points[0][1] == len(system.topology.services)
    assert promtool("check", "metrics", stdin=get(observed.exporter_url)) == ""
    (masters,) = prometheus.query(observed.url, "sum(petrel_redis_master)")
    assert masters.points[0][1] == 1
    (seen,) = prometheus.query(observed.url, "count(petrel_service_resident_memory_bytes)")
    assert seen.points[0][1] == len(system.topology.services)


def test_a_paused_gateway_raises_its_alert_which_ends_with_it(system: System, observed: Observed) -> None:
    hung = 'ALERTS{alertname="ServiceHung",alertstate="firing",service="gateway-2"}'
    words = ["inject", "gateway_pause", "gateway-2", "--for", "600", "--dir", str(system.topology.path)]
    injecting = subprocess.Popen(
        [sys.executable, "-m", "chaos.cli.petrel", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: prometheus.query(observed.url, hung), 40)
        broken = prometheus.query(observed.url, "petrel_fault_active == 1")
        assert [series.labels["fault"] for series in broken] == ["by hand"]
        assert prometheus.query(observed.url, 'petrel_service_stopped{service="gateway-2"} == 1')
    finally:
        injecting.send_signal(signal.SIGTERM)
        injecting.wait(scaled(60))
    wait_until(lambda: not prometheus.query(observed.url, hung), 40)


def test_without_prometheus_one_line_says_what_to_do(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(HarnessError, match="no prometheus on PATH: apt-get install prometheus"):
        prometheus.program()
    words = ["observe", "--dir", str(system.topology.path)]
    done = subprocess.run(
        [sys.executable, "-m", "chaos.cli.petrel", *words],
        capture_output=True, text=True, check=False, timeout=scaled(60),
    )  # fmt: skip
    assert done.returncode == 70
    assert done.stderr.startswith("petrel: no prometheus on PATH")
    assert done.stderr.count("\n") == 1


def test_a_wrong_question_is_told_with_what_prometheus_says(observed: Observed) -> None:
    with pytest.raises(HarnessError, match="parse error"):
        prometheus.query(observed.url, "sum(")
