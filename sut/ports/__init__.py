"""The interfaces between the chat system's rules and the servers it stands on.

One adapter per backend implements each interface (sut/adapters/). The contract tests in tests/adapters run
unchanged against every backend. All methods are coroutines. All may raise Unavailable: the backend did not answer
within its deadline, and the effect of a write is unknown.
"""

from __future__ import annotations

from sut.ports.errors import SutError, Unavailable
from sut.ports.keys import KeyStore, OneTimePrekey, PrekeyBundle, SignedPrekey, UserKeys
from sut.ports.log import Follower, Kind, Logged, LogRecord, MessageLog, Origin, Role
from sut.ports.push import Devices, Provider, Push, PushAddress, PushAnswer, PushProvider, RegisteredDevice, Verdict
from sut.ports.registry import Presence, Registry, Route
from sut.ports.revocations import Revocation, RevocationPage, Revocations
from sut.ports.store import (
    ConversationImage,
    ConversationRow,
    ConversationWrite,
    MessageStore,
    Pace,
    RoleMark,
    SenderMark,
    Span,
    StoredMessage,
)

__all__ = [
    "ConversationImage",
    "ConversationRow",
    "ConversationWrite",
    "Devices",
    "Follower",
    "KeyStore",
    "Kind",
    "LogRecord",
    "Logged",
    "MessageLog",
    "MessageStore",
    "OneTimePrekey",
    "Origin",
    "Pace",
    "PrekeyBundle",
    "Presence",
    "Provider",
    "Push",
    "PushAddress",
    "PushAnswer",
    "PushProvider",
    "RegisteredDevice",
    "Registry",
    "Revocation",
    "RevocationPage",
    "Revocations",
    "Role",
    "RoleMark",
    "Route",
    "SenderMark",
    "SignedPrekey",
    "Span",
    "StoredMessage",
    "SutError",
    "Unavailable",
    "UserKeys",
    "Verdict",
]
