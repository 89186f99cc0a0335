"""The faults on the push providers. Their stand-ins do what Apple's and Google's services do on a bad day."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from chaos.faults.mechanisms.services import OnServices
from chaos.faults.proofs.observe import refuses_on
from chaos.faults.proofs.proof import Look
from chaos.faults.proofs.providers import behave, behaves, behaviour
from chaos.faults.undo import Behave, Undo


class _Provider(OnServices):
    """Both providers behave badly for a while."""

    kind = "provider"
    does: ClassVar[dict[str, float | bool]]
    """The behaviour that both have, by the fields of sut/standins/behaviour.py."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: the behaviour that they have now."""
        self._before = behaviour(self.victim)
        return (Behave(self.target, self._before),)

    def inject(self) -> None:
        """Set the behaviour of both. Raises FaultError."""
        before = json.loads(self._before)
        self._set = behave(self.victim, json.dumps({name: {**before[name], **self.does} for name in ("apns", "fcm")}))

    def damage(self) -> Iterable[Look]:
        """Return one look: they have that behaviour."""
        return (partial(behaves, self.victim, self._set),)

    def repair(self) -> Iterable[Look]:
        """Return one look: they have their former behaviour."""
        return (partial(behaves, self.victim, self._before),)


class ProvidersThrottle(_Provider):
    """Apple and Google answer most pushes with 429 and a time to wait, as they do to a sender that is too fast.

    Breaks: pushes wait. A push service that repeats at once is throttled for longer, and one that gives up loses them.
    Proven: both providers say that they answer 8 of 10 pushes so.
    Undone: they get their former behaviour.
    Healed: both say that they have it.
    """

    name = "providers_throttle"
    does: ClassVar[dict[str, float | bool]] = {"throttled": 0.8}


class ProvidersGoaway(_Provider):
    """Apple and Google end every other connection by GOAWAY, without an answer to what is under way.

    Breaks: of the pushes under way nobody knows whether they arrived. Sending them again may push twice, and not
    sending them loses them.
    Proven: both providers say that half of the pushes meet a GOAWAY.
    Undone: they get their former behaviour.
    Healed: both say that they have it.
    """

    name = "providers_goaway"
    does: ClassVar[dict[str, float | bool]] = {"goaway": 0.5}


class ProvidersAway(_Provider):
    """Apple and Google accept no connections and cut those that exist.

    Breaks: no push can be sent. They must wait, within bounds, and be sent once when the providers are back.
    Proven: both providers say so, and the ports of both refuse connections.
    Undone: they get their former behaviour.
    Healed: both say that they have it, and both ports accept connections.
    """

    name = "providers_away"
    does: ClassVar[dict[str, float | bool]] = {"away": True}

    def symptoms(self) -> Iterable[Look]:
        """Return looks: both ports refuse connections."""
        return (partial(refuses_on, self.victim, role) for role in ("apns", "fcm"))

    def recovery(self) -> Iterable[Look]:
        """Return looks: both ports accept connections."""
        return (partial(refuses_on, self.victim, role, expected=False) for role in ("apns", "fcm"))
