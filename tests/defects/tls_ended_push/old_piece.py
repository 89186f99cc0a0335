"""Known bad: a TLS connection that ends under a write is no error that the push service knows, and ends the service."""

from __future__ import annotations

import httpx

from sut.adapters.push import apns
from sut.deploy.topology import Topology
from sut.services.push.pieces import PushPieces
from tests.defects.tls_ended_push import trigger

CAUGHT_BY = ("push",)


def push(topology: Topology) -> PushPieces:
    apns.NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL)
    return trigger.push(topology)
