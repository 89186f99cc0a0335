"""Relations that several checks derive from a history: sends, acks, displays, read-backs, presence, fault windows."""
