"""Looks at the stand-ins of the push providers, and the change of their behaviour (sut/standins)."""

from __future__ import annotations

import http.client
from typing import Final

from chaos.errors import FaultError
from chaos.faults.proofs.proof import Proof
from sut.deploy.topology import Service

ASK_S: Final = 3.0


def behaviour(service: Service) -> str:
    """Return the behaviour of both providers as JSON. Raises FaultError."""
    return _asked(service, "GET", "")


def behave(service: Service, wanted: str) -> str:
    """Set the behaviour of both providers, and return it. Raises FaultError."""
    return _asked(service, "PUT", wanted)


def behaves(service: Service, wanted: str, *, expected: bool = True) -> Proof:
    """Observe whether the providers' behaviour is this one."""
    try:
        seen = behaviour(service)
    except FaultError as error:
        return Proof(ok=False, text=str(error))
    return Proof((seen == wanted) == expected, f"the providers behave as {seen}")


def _asked(service: Service, method: str, body: str) -> str:
    connection = http.client.HTTPConnection(service.host, service.ports["control"], timeout=ASK_S)
    try:
        connection.request(method, "/behaviour", body or None)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise FaultError(f"{service.name} does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise FaultError(f"{service.name} answered {response.status}: {text}")
    return text
