"""Breaking the system on purpose, and judging what came of it."""
