"""The gateway: sockets, heartbeats, its lease, local delivery. Stateful. Contains no business rule. Imports
sut.process, sut.ports and sut.protocol.
"""
