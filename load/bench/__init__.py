"""Crowds for benches: the lightest devices there are, in processes of their own."""
