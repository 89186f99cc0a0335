"""Redis under Sentinel: registry, presence, revocations; probes of one node from outside."""
