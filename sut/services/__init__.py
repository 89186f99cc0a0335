"""Stateless or rebuildable from the log: the HTTP API, the chat service, the sequencer, push. Imports sut.process,
sut.ports, sut.protocol and, to open the backends, sut.adapters.
"""
