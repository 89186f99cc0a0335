"""What is stateless or rebuildable from the log: accept, sequence and fan out, history, catch-up, the HTTP API."""
