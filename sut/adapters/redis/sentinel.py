"""Finds the present Redis master by asking the Sentinels, for the services.

Sentinels learn of a failover one after the other, and one that was cut off reports an outdated master. Each of them
numbers the configuration that it believes in (config-epoch). So all are asked at once, and the answer with the highest
number decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from redis.exceptions import RedisError

from sut.adapters.redis.client import Address, RedisClient
from sut.adapters.shared.patience import patience
from sut.deploy.logins import Login
from sut.ports import Unavailable

_GRACE_S: Final = 0.02
"""Extra seconds to wait for the others after a majority has answered: one may be stopped."""


class _Claim(NamedTuple):
    """One Sentinel's answer. Claims are ordered by epoch first."""

    epoch: int
    master: Address


class MasterFinder:
    """Asks the Sentinels for the master. Belongs to one event loop."""

    def __init__(
        self, sentinels: Sequence[Address], master_name: str, *, deadline_s: float, login: Login | None = None
    ) -> None:
        self._sentinels = tuple(sentinels)
        self._name = master_name
        self._deadline_s = deadline_s
        self._login = login
        self._clients: tuple[RedisClient, ...] = ()

    async def find(self, patience_s: float | None = None) -> Address:
        """Return the master's own address. Raises Unavailable when no Sentinel names one within `patience_s`.

        None: within the usual deadline.
        """
        if not self._clients:
            self._clients = tuple(
                RedisClient(address, deadline_s=self._deadline_s, login=self._login) for address in self._sentinels
            )
        waiting = {asyncio.create_task(self._ask(client)) for client in self._clients}
        claims: list[_Claim] = []
        try:
            async with patience(self._deadline_s if patience_s is None else patience_s) as limit:
                majority = len(waiting) // 2 + 1
                while waiting:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    claims += [claim for task in done if (claim := task.result()) is not None]
                    if len(claims) == majority:
                        limit.reschedule(asyncio.get_running_loop().time() + _GRACE_S)
        except TimeoutError:
            pass
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if not claims:
            raise Unavailable(f"no Sentinel of {len(self._sentinels)} names a master {self._name!r}")
        return max(claims).master

    async def close(self) -> None:
        """Release the connections to the Sentinels."""
        for client in self._clients:
            await client.close()

    async def _ask(self, client: RedisClient) -> _Claim | None:
        try:
            answer = await client.ask("SENTINEL", "MASTER", self._name)
            items = [item.decode() for item in cast("list[bytes]", answer)]
            state = dict(zip(items[::2], items[1::2], strict=True))
            return _Claim(int(state["config-epoch"]), (state["ip"], int(state["port"])))
        except (RedisError, OSError, LookupError, ValueError, AttributeError, TypeError):
            return None
