"""The manifests at a real API server: applied, applied again, admitted as pods, and deleted. Nothing runs there."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.kubernetes import ApiServer

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

Object = dict[str, Any]
NAMESPACE = "petrel"
PLURALS = {"NetworkPolicy": "networkpolicies"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("apiserver")) as running:
        yield running


def path(one: Object) -> str:
    group = one["apiVersion"]
    plural = PLURALS.get(one["kind"], f"{one['kind'].lower()}s")
    begin = f"/apis/{group}" if "/" in group else f"/api/{group}"
    within = f"/namespaces/{one['metadata']['namespace']}" if "namespace" in one["metadata"] else ""
    return f"{begin}{within}/{plural}/{one['metadata']['name']}"


def apply(server: ApiServer, one: Object) -> Object:
    """Server-side apply, as `kubectl apply --server-side` does it; a field that is not known is an error."""
    asked = f"{path(one)}?fieldManager=test&force=true&fieldValidation=Strict"
    status, answer = server.ask("PATCH", asked, one, "application/apply-patch+yaml")
    assert status in (200, 201), answer
    kept: Object = answer
    return kept


def in_order(objects: list[Object]) -> list[Object]:
    return sorted(objects, key=lambda one: one["kind"] != "Namespace")


def test_all_is_applied_kept_as_it_is_and_deleted(server: ApiServer, objects: list[Object]) -> None:
    first = [apply(server, one) for one in in_order(objects)]
    again = [apply(server, one) for one in in_order(objects)]
    assert [one["metadata"]["resourceVersion"] for one in again] == [
        one["metadata"]["resourceVersion"] for one in first
    ]
    for one in first:
        assert server.ask("GET", path(one))[0] == 200
    status, answer = server.ask("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/gateway")
    assert (status, answer["spec"]["ordinals"]) == (200, {"start": 1})
    wrong = {**objects[-1], "sepc": {}}
    asked = f"{path(wrong)}?fieldManager=test&force=true&fieldValidation=Strict"
    assert server.ask("PATCH", asked, wrong, "application/apply-patch+yaml")[0] >= 400

    pods_are_admitted(server, objects)

    for one in reversed(first):
        assert server.ask("DELETE", path(one))[0] in (200, 202), path(one)
    for one in first:
        if one["kind"] != "Namespace":  # a controller ends namespaces, and none runs here
            assert server.ask("GET", path(one))[0] == 404, path(one)


def pods_are_admitted(server: ApiServer, objects: list[Object]) -> None:
    """The pods of each set pass the namespace's rule (restricted), and one with more rights does not."""
    place = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
    sets = [one for one in objects if one["kind"] == "StatefulSet"]
    assert len(sets) == 4
    for one in sets:
        template = one["spec"]["template"]
        made = {"apiVersion": "v1", "kind": "Pod", **template}
        made["metadata"] = {**template["metadata"], "name": f"{one['metadata']['name']}-1", "namespace": NAMESPACE}
        status, answer = server.ask("POST", place, made)
        assert status == 201, answer
        bold = {**made, "spec": {**made["spec"], "hostNetwork": True}}
        status, answer = server.ask("POST", place, bold)
        assert status == 403
        assert "restricted" in answer["message"]


def test_the_account_of_the_pods_may_do_nothing(server: ApiServer) -> None:
    for verb, resource in (("get", "secrets"), ("list", "pods"), ("delete", "pods"), ("create", "pods")):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": f"system:serviceaccount:{NAMESPACE}:petrel",
                "resourceAttributes": {"namespace": NAMESPACE, "verb": verb, "resource": resource},
            },
        }
        status, answer = server.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        assert status == 201
        assert not answer["status"]["allowed"], verb
