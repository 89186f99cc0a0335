"""A person's client, as a library: one device on one connection, with its state on disk and a conversation model."""
