"""Redis under Sentinel: registry, presence, revocations; and probes of one node from outside."""
