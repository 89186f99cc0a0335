"""The terminal output while a system starts, a run lasts and a verdict is given. Decides nothing."""
