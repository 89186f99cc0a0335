"""What happened, as it is recorded: the format of events (events.py), the crash-safe file (writer.py), control lines,
live counters, latencies. Imports nothing else of load but the bodies of load.device.
"""
