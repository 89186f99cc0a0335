"""A stolen or lost device: whoever owns it, or the operator, takes its tokens back.

A device id says nothing of its user, and a token speaks for a pair of both, so what is revoked is the pair: a user can
only ever revoke a device of their own. A token issued later is good again; whether there may be one is the operator's
affair.
"""

from __future__ import annotations

from aiohttp import web

from sut.revoked import Revoked
from sut.services.api.guard import CALLER, ProblemError, answer, number, query
from sut.services.api.model import RevokedDevice, UserOf


class Revoking:
    """The handler of DELETE /v1/devices/{device}."""

    def __init__(self, revoked: Revoked) -> None:
        self._revoked = revoked

    async def revoke_device(self, request: web.Request) -> web.Response:
        """Repeating it is harmless: it voids what was issued meanwhile, too."""
        device, named = number(request, "device"), query(request, UserOf).user
        caller = request.get(CALLER)
        user = caller.user if caller is not None else named
        if user is None:
            raise ProblemError(400, "query: the operator must say whose device it is, by ?user=")
        if named not in (None, user):
            raise ProblemError(403, "not a device of yours")
        done = await self._revoked.revoke(user, device)
        return answer(RevokedDevice(done.user, done.device, done.at_s))
