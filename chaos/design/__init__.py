"""The design at any size: what it needs, computed from its numbers. Pure arithmetic; imports `chaos.errors` only."""
