"""The swarm: simulated people on simulated devices, and the record of what happened to them.

Imports only sut.protocol and sut.crypto of the system, as any client would.
"""
