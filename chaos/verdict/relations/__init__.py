"""What several checks derive from a history: sends, acks, displays, read-backs, presence of devices, fault windows."""
