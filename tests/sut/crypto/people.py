"""People with real accounts and a shelf of published keys between them; bodies are handed over by the test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sut.crypto.account import Account
from sut.crypto.errors import NoSession
from sut.crypto.prekeys import Bundle, Publication

CONV = 77
NOW_S = 1_800_000_000


class People:
    """Accounts by name of their user; each account's address is (user, device)."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        """By device."""
        self._lists: dict[int, bytes] = {}
        self._published: dict[int, dict[int, Publication]] = defaultdict(dict)
        self._one_time: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self.taken: list[tuple[int, int]] = []
        """(device, number) of each one-time prekey handed out."""

    def join(self, user: int, device: int | None = None, *, one_time: int = 10) -> Account:
        account = Account.create(user=user, device=device or user, now_s=NOW_S, one_time=one_time)
        self.accounts[account.address[1]] = account
        self.publish(account)
        if user not in self._lists:
            self._lists[user] = account.device_list
        return account

    def second(self, account: Account, device: int) -> Account:
        """Another device of the account's user: linked by it, on the published list, and aware of that list."""
        user = account.address[0]
        other = self.join(user, device)
        self.publish_list(user, account.link(device, other.identity_key))
        other.adopt(account.device_list)
        return other

    def publish(self, account: Account) -> None:
        publication = account.publication()
        user, device = account.address
        self._published[user][device] = publication
        self._one_time[device] += publication.one_time
        account.published(publication)

    def publish_list(self, user: int, data: bytes) -> None:
        self._lists[user] = data

    def revoke(self, user: int, device: int) -> None:
        """The service forgets a device; the list that names it is not the service's."""
        del self._published[user][device]

    def bundles(self, user: int) -> tuple[bytes, list[Bundle]]:
        found = []
        for device, published in self._published[user].items():
            one_time = self._one_time[device].pop(0) if self._one_time[device] else (0, b"")
            if one_time[0]:
                self.taken.append((device, one_time[0]))
            found.append(
                Bundle(
                    device,
                    published.identity_key,
                    published.signed_number,
                    published.signed_key,
                    published.signature,
                    *one_time,
                )
            )
        return self._lists[user], found

    def fetch(self, account: Account, users: Iterable[int]) -> None:
        for user in users:
            account.learn(user, *self.bundles(user), complete=True)

    def direct(self, sender: Account, users: Iterable[int], text: bytes, conv: int = CONV) -> bytes:
        try:
            return sender.seal_direct(conv, users, text)
        except NoSession as error:
            self.fetch(sender, error.users)
            return sender.seal_direct(conv, users, text)

    def group(self, sender: Account, users: Iterable[int], text: bytes, conv: int = CONV) -> list[bytes]:
        try:
            return sender.seal_group(conv, users, text)
        except NoSession as error:
            self.fetch(sender, error.users)
            return sender.seal_group(conv, users, text)

    def read(self, reader: Account, sender: Account, body: bytes, conv: int = CONV) -> bytes | None:
        """The plaintext; the sender's keys are fetched if they are not known yet."""
        try:
            return reader.open(conv, sender=sender.address, body=body).plaintext
        except NoSession as error:
            self.fetch(reader, error.users)
            return reader.open(conv, sender=sender.address, body=body).plaintext

    def read_all(self, reader: Account, sender: Account, bodies: Iterable[bytes]) -> bytes | None:
        """The last body's plaintext."""
        texts = [self.read(reader, sender, body) for body in bodies]
        assert all(text is None for text in texts[:-1])
        return texts[-1]
