"""The client in a terminal: line by line (plain.py), or on a screen (tui/)."""
