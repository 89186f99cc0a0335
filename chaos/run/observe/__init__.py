"""What an SRE watches: the exporter that looks at every service from outside, and a Prometheus beside the system.

Imports `chaos.faults`, `load.history` and `sut.deploy`. Neither judges anything.
"""
