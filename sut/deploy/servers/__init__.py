"""Foreign servers: where they come from, their configuration, their keys, and servers that somebody else runs."""
