"""Talking to the service: the HTTP API, the WebSocket connection, and errands that are repeated until done."""
