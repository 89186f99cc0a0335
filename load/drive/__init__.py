"""Many devices in one process: sockets, timers, TLS, discovery, and the start and end of a swarm process.

Imports load.device.
"""
