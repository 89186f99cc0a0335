"""The gateway: sockets, heartbeats, its lease, local delivery. Stateful. Knows no business rule. Imports
sut.process, sut.ports and sut.protocol.
"""
