"""The HTTP API: tokens, conversations, members, discovery. Stateless; changes go through the log like messages."""
