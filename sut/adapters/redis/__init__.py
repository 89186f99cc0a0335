"""Redis under Sentinel: registry, presence, revocations; looks at a node from outside."""
