"""The client's encryption on sut.crypto: pairwise sessions for 1:1 messages, sender keys for group messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sut.client.errors import ClientError
from sut.client.messages.cipher import Address, CannotRead, CannotSeal, Changed, NeedKeys, Opened, Sealed
from sut.crypto import envelope
from sut.crypto.account import Account
from sut.crypto.errors import CryptoError, IdentityChanged, KeyGone, Malformed, NoSession, Refused, Repeated, Unreadable


class Encryption:
    """A device's Account as a Cipher. Other parts of the client fetch the keys for `account`."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @classmethod
    def load(cls, saved: bytes, *, user: int, device: int, now_s: Callable[[], float]) -> Encryption:
        """Restore from the result of `state`; empty: create a new device with fresh keys. Raises ClientError."""
        if not saved:
            return cls(Account.create(user=user, device=device, now_s=int(now_s())))
        try:
            return cls(Account.restore(saved))
        except CryptoError as error:
            raise ClientError(f"the saved keys are broken: {error}") from None

    def seal(self, conv: int, users: Iterable[int], plaintext: bytes, *, direct: bool) -> list[Sealed]:
        with _errors():
            if direct:
                bodies = [self.account.seal_direct(conv, users, plaintext)]
            else:
                bodies = self.account.seal_group(conv, users, plaintext)
        return [_sealed(body) for body in bodies]

    def open(self, conv: int, sender: Address, body: bytes) -> Opened:
        try:
            opened = self.account.open(conv, sender=sender, body=body)
        except NoSession as error:
            raise NeedKeys(error.users) from None
        except IdentityChanged as error:
            raise Changed(error.user) from None
        except (Unreadable, KeyGone) as error:
            parsed = envelope.parse(body)
            shows = parsed.type is not envelope.Type.CONTROL
            raise CannotRead(str(error), ask=True, ref=parsed.ref, shows=shows) from None
        except (Malformed, Refused, Repeated) as error:
            raise CannotRead(str(error), ask=False) from None
        return Opened(opened.plaintext, opened.asked, bool(opened.unlocked), opened.ref)

    def ask(self, conv: int, sender: Address, bodies: Sequence[bytes]) -> Sealed:
        with _errors():
            return _sealed(self.account.ask_again(conv, sender=sender, bodies=bodies))

    def answer(self, conv: int, asker: Address, refs: Sequence[int]) -> list[Sealed]:
        with _errors():
            return [_sealed(body) for body in self.account.answer(conv, asker=asker, refs=refs)]

    def linked(self) -> bool:
        """Return True if this user has other devices."""
        try:
            return len(self.account.devices(self.account.address[0])) > 1
        except IdentityChanged:
            return True

    def list_version(self, user: int) -> int:
        return self.account.list_version(user)

    def state(self) -> bytes:
        return self.account.state()


def _sealed(body: bytes) -> Sealed:
    parsed = envelope.parse(body)
    return Sealed(body, 0 if parsed.type is envelope.Type.CONTROL else parsed.ref)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except NoSession as error:
        raise NeedKeys(error.users) from None
    except IdentityChanged as error:
        raise Changed(error.user) from None
    except CryptoError as error:
        raise CannotSeal(str(error)) from None
