"""The client on a terminal screen, with Textual."""
