"""Crowds for benches: minimal devices, in processes of their own."""
