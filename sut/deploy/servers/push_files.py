"""The files in DIR/push that the push service needs to reach its providers, and the stand-ins' part of them.

    providers.json            the URL of each provider, the authorities to trust, and the keys to sign with
    apns.p8                   the key that signs APNs provider tokens (ES256), as Apple hands it out
    fcm.json                  the service account, as Google hands it out
    ca.pem                    trusted by us; signs the stand-ins' certificate
    stand-in/                 the stand-ins' certificate and key, and the public halves of our two keys

If the topology has stand-ins, all of it is made again at each start. A user with accounts at the real providers writes
the first three files, and runs a topology without stand-ins.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from sut.deploy.topology import Topology, read


class ApnsAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account with Apple (APNs)."""

    url: str
    """https://api.push.apple.com, or the stand-in."""
    key_file: str
    key_id: str
    team_id: str
    topic: str
    """The app's bundle id."""
    ca_file: str = ""
    """File of the authority to trust; "": the machine's authorities."""


class FcmAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account with Google (FCM)."""

    url: str
    """https://fcm.googleapis.com, or the stand-in."""
    account_file: str
    ca_file: str = ""


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The part of Google's service account file that is used."""

    project_id: str
    private_key_id: str
    private_key: str
    client_email: str
    token_uri: str
    type: str = "service_account"


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The content of providers.json. File names are relative to its directory."""

    apns: ApnsAccount | None = None
    fcm: FcmAccount | None = None


class PushFiles(NamedTuple):
    """The files above in one topology's directory."""

    directory: Path

    @property
    def accounts(self) -> Path:
        return self.directory / "push" / "providers.json"

    def of(self, name: str) -> Path:
        return self.directory / "push" / name

    def stand_in(self, name: str) -> Path:
        return self.directory / "push" / "stand-in" / name


def read_accounts(topology: Topology) -> Accounts:
    """Return our accounts; none when there is no such file. Raises TopologyError."""
    path = PushFiles(topology.path).accounts
    return read(path, Accounts) if path.exists() else Accounts()


def read_service_account(path: Path) -> ServiceAccount:
    """Return the account in Google's file. Raises TopologyError."""
    return read(path, ServiceAccount)
