"""The table of routes: what is served is what is documented, and the document in the repository is the present one."""

import json
import re
from pathlib import Path

import pytest

from sut.services.api import openapi
from sut.services.api.routes import ROUTES, Route, Who
from tests.sut.services.api_world import with_api

DOCUMENT = Path(openapi.__file__).with_name("openapi.json")


def plain(path: str) -> str:
    """A path without the names and patterns of its parameters."""
    return re.sub(r"\{[^{}]*(\{[^{}]*\})?[^{}]*\}", "{}", path)


def test_what_is_served_is_what_the_table_says() -> None:
    async def scenario(client, _control) -> None:
        served = {
            (route.method, plain(route.resource.canonical))
            for route in client.app.router.routes()
            if route.resource is not None and route.method != "HEAD"  # comes with each GET
        }
        assert served == {(route.method, plain(route.path)) for route in ROUTES}

    with_api(scenario)


def test_the_document_in_the_repository_is_the_present_one() -> None:
    assert DOCUMENT.read_bytes() == openapi.encoded(), f"write it again: python -m {openapi.__name__} > {DOCUMENT.name}"


def test_the_document_is_served() -> None:
    async def scenario(client, _control) -> None:
        answer = await client.get("/v1/openapi.json")
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.json() == openapi.document()

    with_api(scenario)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    text = openapi.encoded().decode()
    schemas = json.loads(text)["components"]["schemas"]
    referenced = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert referenced == set(schemas)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_says_what_follows_from_its_form(route: Route) -> None:
    operation = openapi.document()["paths"][route.path][route.method.lower()]
    assert [p["name"] for p in operation["parameters"] if p["in"] == "path"] == list(route.parameters)
    assert ("401" in operation["responses"]) == (route.who is not Who.ANYBODY)
    assert ("requestBody" in operation) == (route.takes is not None)
    assert str(route.status) in operation["responses"]
    if route.takes is not None:
        assert route.takes.__struct_config__.forbid_unknown_fields, "what a client misspells must not be ignored"


def test_ids_are_documented_with_their_bounds() -> None:
    schemas = openapi.document()["components"]["schemas"]
    assert schemas["IdText"]["pattern"].endswith(f"|{(1 << 63) - 1})$")
    assert schemas["Id"]["anyOf"][1] == {
        "type": "integer", "minimum": 1, "maximum": (1 << 63) - 1, "deprecated": True,
    }  # fmt: skip
