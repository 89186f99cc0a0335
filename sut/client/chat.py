"""One person's client without a screen: keeps the device connected, the model current, and does what the person says.

    async with Chat.open(access, name="alice", path=state_file, listener=show) as chat:
        running = asyncio.create_task(chat.run())
        conv = await chat.begin("bob")
        await chat.send(conv, "hello")

Everything happens in steps under one lock: something is told to the machine, its events change the model, all of it is
committed to disk, then frames leave and the listener hears of it. A step is never cut short by a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from sut.client import accounts
from sut.client.accounts import Accounts
from sut.client.api import Access, Api
from sut.client.core import ConversationChanged, Core, Errand, StatusChanged, Update
from sut.client.errands import Errands
from sut.client.errors import ApiProblem
from sut.client.inbound import Inbound
from sut.client.link import Link, Status
from sut.client.model import Conversation, Line, LineKind
from sut.client.names import user_of
from sut.client.outbound import Outbound
from sut.client.state import Outgoing, State
from sut.protocol.client import Client
from sut.protocol.client_events import (
    Acked,
    ClientEvent,
    ClientSettings,
    GaveUp,
    MemberChange,
    Nacked,
    Notified,
    Online,
    Show,
    Stalled,
    Violation,
)

GIVE_UP_S: Final = 7 * 24 * 3600.0
"""A message is sent again and again for a week; a person would rather wait than not know."""
CHECK_S: Final = 1.5
"""After a notification of a number that then cannot be fetched: ask whether this user still is a member."""
SETTINGS: Final = ClientSettings(give_up_s=GIVE_UP_S)
_LOGGER = logging.getLogger(__name__)
