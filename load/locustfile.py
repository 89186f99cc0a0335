# mypy: disable-error-code="no-untyped-call,untyped-decorator"
"""The swarm that follows a plan: one Locust user is one device, or (tier fleet) one process of many devices.

    locust -f load/locustfile.py [--headless] [--processes N] [-u USERS -r PER_SECOND]

load/drive/conductor.py has all but the user. A Locust file of one's own begins with load/user.py.
"""

from __future__ import annotations

from typing import ClassVar

from locust import User, constant, task

from load.drive.conductor import LOCUST


class DeviceUser(User):
    """A Locust user that is one device of the plan for as long as it lives; in the tier fleet, one fleet process."""

    wait_time = constant(0)
    host = "stormpetrel"
    """Required by Locust's page, which shows it; --petrel-dir determines where the devices connect."""
    lives_by: ClassVar = "plan"

    @task
    def live(self) -> None:
        """Be the device; ends when Locust stops this user."""
        session = LOCUST.wait_for_device()
        try:
            session.run()
        finally:
            LOCUST.give_back(session)

    def stop(self, force: bool = False) -> bool:
        """Stop at once, whatever --stop-timeout says: a device has no end of its own that could be waited for."""
        stopped: bool = super().stop(force=True)
        return stopped
