"""What the push service needs to reach its providers, as files in DIR/push, and the stand-ins' half of it.

    providers.json            where each provider is, whose certificates are believed, and with which keys we sign
    apns.p8                   the key that signs APNs provider tokens (ES256), as Apple hands it out
    fcm.json                  the service account, as Google hands it out
    ca.pem                    believed by us; signs the stand-ins' certificate
    stand-in/                 the stand-ins' certificate and key, and the public halves of our two keys

Where the topology has stand-ins all of it is made anew at each start. Whoever has accounts with the real ones writes
the first three files, and runs a topology without stand-ins.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from sut.deploy.topology import Topology, TopologyError

T = TypeVar("T")


class ApnsAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account with Apple."""

    url: str
    """https://api.push.apple.com, or the stand-in."""
    key_file: str
    key_id: str
    team_id: str
    topic: str
    """The app's bundle id."""
    ca_file: str = ""
    """Whose certificates are believed; "": the usual ones."""


class FcmAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account with Google."""

    url: str
    """https://fcm.googleapis.com, or the stand-in."""
    account_file: str
    ca_file: str = ""


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What of Google's service account file is needed."""

    project_id: str
    private_key_id: str
    private_key: str
    client_email: str
    token_uri: str
    type: str = "service_account"


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """providers.json. File names are relative to its directory."""

    apns: ApnsAccount | None = None
    fcm: FcmAccount | None = None


class PushFiles(NamedTuple):
    """The places above, of one topology's directory."""

    directory: Path

    @property
    def accounts(self) -> Path:
        """providers.json."""
        return self.directory / "push" / "providers.json"

    def of(self, name: str) -> Path:
        """One of our own files."""
        return self.directory / "push" / name

    def stand_in(self, name: str) -> Path:
        """One of the stand-ins' files."""
        return self.directory / "push" / "stand-in" / name


def read_accounts(topology: Topology) -> Accounts:
    """Our accounts; none when there is no such file. Raises TopologyError."""
    return _read(PushFiles(topology.path).accounts, Accounts, missing=Accounts())


def read_service_account(path: Path) -> ServiceAccount:
    """Google's file. Raises TopologyError."""
    return _read(path, ServiceAccount)


def _read(path: Path, kind: type[T], *, missing: T | None = None) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise TopologyError(f"{path}: no such file") from None
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise TopologyError(f"{path}: {error}") from None
