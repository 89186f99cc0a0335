"""What `petrel observe` writes: the configuration and rules as they ship, and the targets of the system."""

import json
from pathlib import Path

from chaos.run import sketch
from chaos.run.observe import prometheus
from tests.kit.promtool import promtool


def test_the_targets_are_all_our_processes_and_the_exporter(tmp_path: Path) -> None:
    topology = sketch.topology("cluster")
    path = prometheus.write_configuration(topology, tmp_path / "observe", exporter_port=999)
    targets = json.loads((path.parent / "targets" / "petrel.json").read_text())
    ours = [service for service in topology.services if "metrics" in service.ports]
    assert {target["labels"]["service"] for target in targets} == {service.name for service in ours}
    assert {target["targets"][0] for target in targets} == {f"127.0.0.1:{s.ports['metrics']}" for s in ours}
    assert json.loads((path.parent / "targets" / "exporter.json").read_text()) == [{"targets": ["127.0.0.1:999"]}]
    for rules in (prometheus.SOURCE / "rules").glob("*.yml"):
        assert (path.parent / "rules" / rules.name).read_bytes() == rules.read_bytes()


def test_prometheus_accepts_what_is_written(tmp_path: Path) -> None:
    path = prometheus.write_configuration(sketch.topology("embedded"), tmp_path, exporter_port=999)
    assert promtool("check", "config", path) == ""
