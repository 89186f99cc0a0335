"""Cassandra: the message store, keys and devices; a session with deadlines; looks at a node from outside."""
