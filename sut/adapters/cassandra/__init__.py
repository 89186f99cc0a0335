"""Cassandra: the message store, keys and devices; a session with deadlines; a probe of one node from outside."""
