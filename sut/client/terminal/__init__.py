"""The client in a terminal: line by line, or on a screen (tui/)."""
