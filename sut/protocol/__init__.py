"""The frames, and the session state machines of both ends. Sans-I/O: no asyncio, no sockets, no clock.

Imports nothing else from sut.
"""
