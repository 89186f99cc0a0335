"""Shared by several backends: joined questions and writes, bounded threads, time limits."""
