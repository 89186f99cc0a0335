"""The Kubernetes manifests: valid by schema, whole in what they refer to, and in step with the code that they run."""

import math
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sut.deploy.k8s import topology as pods
from sut.deploy.kinds import KINDS
from sut.deploy.topology import Topology, load
from sut.gateway.gateway import LINGER_S
from tests.kit.kubernetes import conform
from tests.sut.deploy.k8s.conftest import SERVERS

OURS = ("gateway", "chat", "sequencer", "api")
Object = dict[str, Any]


def of(objects: list[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pod(objects: list[Object], kind: str) -> Object:
    spec: Object = of(objects, "StatefulSet")[kind]["spec"]["template"]["spec"]
    return spec


def test_all_objects_are_as_the_schemas_of_a_real_version_say(objects: list[Object]) -> None:
    assert conform(objects) == ""
    wrong = [{**objects[0], "sepc": {}}]
    assert "sepc" in conform(wrong)  # a checker that takes everything shows nothing


def test_what_is_written_for_the_cluster_is_for_its_owner_alone(example: Path) -> None:
    for name in ("topology.json", "servers.env"):
        assert stat.S_IMODE((example / name).stat().st_mode) == 0o600
    assert "S3-secret" not in (example / "topology.json").read_text()
    ignored = (Path(__file__).parents[4] / ".gitignore").read_text().split()
    assert {f"/sut/deploy/k8s/example/{name}" for name in ("topology.json", "servers.env")} <= set(ignored)
    assert load(example / "topology.json").secret_variables == ("PETREL_KAFKA_PASSWORD", "PETREL_KAFKA_USER")


def test_each_process_of_the_topology_has_a_pod_of_its_name_that_listens_where_it_says(
    example: Path, objects: list[Object]
) -> None:
    topology = load(example / "topology.json")
    sets, services = of(objects, "StatefulSet"), of(objects, "Service")
    assert set(sets) == set(OURS) == {service.kind for service in topology.services if not service.external}
    for kind in OURS:
        spec = sets[kind]["spec"]
        assert spec["ordinals"]["start"] == 1
        assert spec["serviceName"] == kind
        assert services[kind]["spec"]["clusterIP"] == "None"
        assert services[kind]["spec"]["publishNotReadyAddresses"]
        own = [service for service in topology.services if service.kind == kind]
        assert [service.name for service in own] == [f"{kind}-{number}" for number in range(1, len(own) + 1)]
        assert spec["replicas"] <= len(own)
        opened = {port["name"]: port["containerPort"] for port in pod(objects, kind)["containers"][0]["ports"]}
        for service in own:
            assert service.host == f"{service.name}.{kind}.petrel.svc.cluster.local"
            assert service.ports.items() <= opened.items()
            assert set(service.ports) == set(KINDS[kind].ports)
    api = topology.of_kind("api")[0]
    assert topology.api_url == "http://api-public.petrel.svc.cluster.local:8081"
    assert services["api-public"]["spec"]["ports"][0]["port"] == api.ports["http"]


def test_no_autoscaler_leaves_the_topology_and_none_touches_sequencers(example: Path, objects: list[Object]) -> None:
    topology = load(example / "topology.json")
    scalers = of(objects, "HorizontalPodAutoscaler")
    assert set(scalers) == {"gateway", "chat"}
    for kind, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == kind
        assert scaler["spec"]["maxReplicas"] == len(topology.of_kind(kind))
        assert scaler["spec"]["minReplicas"] <= of(objects, "StatefulSet")[kind]["spec"]["replicas"]
    assert of(objects, "StatefulSet")["sequencer"]["spec"]["replicas"] == len(topology.of_kind("sequencer"))


def test_a_gateway_has_the_time_to_send_its_devices_elsewhere(example: Path, objects: list[Object]) -> None:
    topology = load(example / "topology.json")
    spec = pod(objects, "gateway")
    before_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    settings = topology.settings
    needs_s = before_s + settings.drain_base_s + LINGER_S + settings.lease_ttl_s
    assert needs_s <= spec["terminationGracePeriodSeconds"] <= 2 * math.ceil(needs_s)
    for kind in OURS:
        assert pod(objects, kind)["terminationGracePeriodSeconds"] >= 3 * KINDS[kind].grace_s


def test_at_most_one_of_a_kind_is_evicted_at_once(objects: list[Object]) -> None:
    budgets = of(objects, "PodDisruptionBudget")
    for kind in OURS:
        labels = of(objects, "StatefulSet")[kind]["spec"]["template"]["metadata"]["labels"]
        assert budgets[kind]["spec"]["maxUnavailable"] == 1
        assert budgets[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_pod_has_more_rights_than_it_needs(objects: list[Object]) -> None:
    for kind in OURS:
        spec = pod(objects, kind)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])
    assert not of(objects, "RoleBinding")
    assert not of(objects, "Role")


def test_what_pods_and_policies_name_is_there(objects: list[Object]) -> None:
    secrets, accounts = of(objects, "Secret"), of(objects, "ServiceAccount")
    for kind in OURS:
        spec = pod(objects, kind)
        assert spec["serviceAccountName"] in accounts
        named = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        assert all(one["secretName"] in secrets for one in named if not one.get("optional"))
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == {
            volume["name"] for volume in spec["volumes"]
        }
    ports = {port["name"] for kind in OURS for port in pod(objects, kind)["containers"][0]["ports"]}
    policies = of(objects, "NetworkPolicy")
    assert policies["nothing"]["spec"]["podSelector"] == {}
    for policy in policies.values():
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            named_ports = {port["port"] for port in rule.get("ports", ()) if isinstance(port["port"], str)}
            assert named_ports <= ports


def test_a_probe_has_an_answer_before_its_time_is_over(objects: list[Object]) -> None:
    from sut.deploy.k8s import ready

    for kind in OURS:
        (container,) = pod(objects, kind)["containers"]
        for probe in ("startupProbe", "readinessProbe"):
            assert container[probe]["exec"]["command"][3] == "sut.deploy.k8s.ready"
            assert container[probe]["timeoutSeconds"] > 2 * ready.TIMEOUT_S


def test_a_domain_leads_devices_to_each_gateway(tmp_path: Path) -> None:
    assert pods.main([*SERVERS, "--domain", "chat.example", "--gateways", "3", "--out", str(tmp_path)]) == 0
    topology = load(tmp_path / "topology.json")
    assert isinstance(topology, Topology)
    urls = [topology.gateway_url(gateway, "/v1/connect") for gateway in topology.of_kind("gateway")]
    assert urls == [f"ws://gateway-{number}.chat.example:8080/v1/connect" for number in (1, 2, 3)]
    assert msgspec.json.encode(topology)


def test_a_directory_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pods.main([*SERVERS, "--out", str(tmp_path / "none")]) == 64
    assert capsys.readouterr().err.count("\n") == 1
