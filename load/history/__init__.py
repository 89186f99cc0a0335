"""The record of a run: event format (events.py), crash-safe file (writer.py), control lines, live counters, latencies.

Imports nothing else of load but the bodies of load.device.
"""
