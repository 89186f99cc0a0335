"""Communication with the service: the HTTP API, the WebSocket connection, and background requests with retries."""
