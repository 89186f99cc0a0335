"""Frames and the session state machines: sans-I/O, no asyncio, no sockets."""
