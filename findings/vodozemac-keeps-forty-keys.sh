#!/usr/bin/env bash
# An Olm session of vodozemac accepts a gap of 2000 messages, but keeps the keys of only the last 40 of them.
#
# Version:   vodozemac 0.10.0
# Guess:     An Olm session stores the keys of skipped messages. What it lets a peer skip, it can decrypt later. A gap
#            that is too large is an error, and the receiver then fetches the older messages first.
# Behaviour: A message 100 or 1500 ahead decrypts without an error. The keys of all skipped messages but the last 40 are
#            gone from then on: these can never be decrypted. A gap above 2000 is an error, and then nothing is lost.
# Seen:      the newest of 41 first     then 40 of the 40 older ones
#            the newest of 101 first    then 40 of the 100 older ones
#            the newest of 1501 first   then 40 of the 1500 older ones
#            the newest of 2002 first   refused, then 2001 of the 2001 older ones
set -euo pipefail
sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check vodozemac==0.10.0

"$work/venv/bin/python" - <<'PY'
import sys

import vodozemac


def sessions():
    """A session of Alice and the one that Bob made from her first message, after one reply."""
    alice, bob = vodozemac.Account(), vodozemac.Account()
    bob.generate_one_time_keys(1)
    (one_time_key,) = bob.one_time_keys.values()
    of_alice = alice.create_outbound_session(bob.curve25519_key, one_time_key)
    of_bob, _ = bob.create_inbound_session(alice.curve25519_key, of_alice.encrypt(b"hello").to_pre_key())
    of_alice.decrypt(of_bob.encrypt(b"hello to you"))
    return of_alice, of_bob


def reads(session, message):
    try:
        session.decrypt(message)
    except vodozemac.OlmDecryptionException:
        return False
    return True


seen = []
for count in (41, 101, 1501, 2002):
    of_alice, of_bob = sessions()
    messages = [of_alice.encrypt(str(number).encode()) for number in range(count)]
    newest = reads(of_bob, messages.pop())
    older = sum(reads(of_bob, message) for message in messages)
    seen.append((count, newest, older))
    first = f"the newest of {count} first"
    print(f"{first:<27}{'' if newest else 'refused, '}then {older} of the {count - 1} older ones")
same = seen == [(41, True, 40), (101, True, 40), (1501, True, 40), (2002, False, 2001)]
print("as stated" if same else "CHANGED")
sys.exit(not same)
PY
