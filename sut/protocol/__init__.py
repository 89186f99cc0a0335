"""Frames and the session state machines of both ends. Sans-I/O: no asyncio, no sockets, no clock. Imports nothing of
sut.
"""
