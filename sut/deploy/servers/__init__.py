"""Foreign servers: their files, configuration and keys, and servers that are already running elsewhere."""
