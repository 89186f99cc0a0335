"""Known bad: some clients send in the clear what they should encrypt, and it reaches the log and the store.

The wrong is in the client: the swarm does it (load/device/crypto.py) when this variant is on. The services are as
they are, since whatever a body holds they keep; what they keep is what the hunt for plaintext looks through.
"""
