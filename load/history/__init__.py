"""What happened, as it is recorded: events, control lines, live counters, latencies. Imports nothing else of load."""
